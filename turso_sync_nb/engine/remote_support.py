"""Reject schema and writes the remote does not support when they are executed, not at push time.

Servers differ in what tables they know, and in what can be done to them. Such a statement is explained on
the remote first, which changes nothing there. Offline, or where the remote cannot judge alone, nothing is
said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.engine.chain import ask
from turso_sync_nb.errors import ProtocolError, RemoteError, UsageError
from turso_sync_nb.protocol.pipeline import Execute, SqlError, Stmt

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.engine.remote import Remote

_NOT_EVERYWHERE: Final = re.compile(
    r"\bWITHOUT\s+ROWID\b|\bGENERATED\s+ALWAYS\b|\bAS\s*\(|\bVIRTUAL\s+TABLE\b|\bSTRICT\b", re.IGNORECASE
)
_IS_NO_JUDGEMENT: Final = re.compile(
    r"no such (table|column|function)|does not exist|already exists|malformed database schema", re.IGNORECASE
)
"""The remote's answers about a statement that needs one it has not seen yet, or about its own schema."""

_KEY_WITHOUT_ROWID: Final = (
    "SELECT k.name FROM pragma_table_list AS t, pragma_table_info(t.name, 'main') AS k "
    "WHERE t.schema = 'main' AND t.name = ? COLLATE NOCASE AND t.wr AND k.pk = 1"
)


def check_schema(remote: Remote, sql: str) -> None:
    """Refuse the CREATE ``sql`` if it makes something that the remote says it cannot hold.

    Raises:
        UsageError: it cannot; the message has the remote's reason.
    """
    if _NOT_EVERYWHERE.search(sql):
        _explain(remote, sql, "create", "make it in a TEMP or attached database, or otherwise")


def check_changed(remote: Remote, raw: apsw.Connection, word: str, table: str) -> None:
    """Refuse an UPDATE or DELETE (``word``) of a ``table`` whose rows the remote says it cannot change.

    Raises:
        UsageError: it cannot; the message has the remote's reason.
    """
    key: list[Any] = raw.execute(_KEY_WITHOUT_ROWID, (table,)).fetchall()
    for (column,) in key:
        change = f"UPDATE {quoted(table)} SET {quoted(column)} = 1" if word == "UPDATE" else ""
        sql = change or f"DELETE FROM {quoted(table)}"
        _explain(remote, sql, f"change {table}", "the remote needs a table with a rowid for that")


def _explain(remote: Remote, sql: str, what: str, hint: str) -> None:
    try:
        (answer,) = ask(remote, Execute(Stmt(f"EXPLAIN {sql}")))
    except (RemoteError, ProtocolError):
        return  # nobody can say now; a push will
    if isinstance(answer, SqlError) and not _IS_NO_JUDGEMENT.search(answer.message):
        raise UsageError(f"{what}: the remote cannot hold it: {answer.message}", hint=hint)

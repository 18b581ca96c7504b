"""What the remote cannot hold is said when it is made, not when it is pushed.

Servers differ in what tables they know. A CREATE that uses such a thing is explained on the remote first,
which changes nothing there. Offline, or where the remote cannot judge alone, nothing is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.errors import RemoteError, UsageError
from turso_sync_nb.protocol.pipeline import Execute, SqlError, Stmt

if TYPE_CHECKING:
    from turso_sync_nb.engine.remote import Remote

_NOT_EVERYWHERE: Final = re.compile(
    r"\bWITHOUT\s+ROWID\b|\bGENERATED\s+ALWAYS\b|\bAS\s*\(|\bVIRTUAL\s+TABLE\b|\bSTRICT\b", re.IGNORECASE
)
_DEPENDS: Final = re.compile(r"no such (table|column|function)|already exists", re.IGNORECASE)
"""What the remote says of a statement that goes with others it has not seen yet."""


def check_held(remote: Remote, sql: str) -> None:
    """Refuse the statement ``sql`` if it makes something that the remote says it cannot hold.

    Raises:
        UsageError: it cannot; the message has the remote's reason.
    """
    if first_word(sql) != "CREATE" or not _NOT_EVERYWHERE.search(sql):
        return
    try:
        (answer,) = remote.pipeline([Execute(Stmt(f"EXPLAIN {sql}"))])
    except RemoteError:
        return  # nobody can say now; a push will
    if isinstance(answer, SqlError) and not _DEPENDS.search(answer.message):
        raise UsageError(
            f"create: the remote cannot hold it: {answer.message}",
            hint="make it in a TEMP or attached database, or otherwise",
        )

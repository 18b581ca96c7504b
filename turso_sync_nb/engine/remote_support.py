"""Reject schema and writes the remote does not support when they are executed, not at push time.

Servers differ in the kinds of tables that they support, and in what can be done to them. Such a statement is
first sent to the remote as EXPLAIN, which changes nothing there. What an ALTER TABLE would lose is tried
there on a table of our own, in a transaction that is rolled back. Offline, or if the remote cannot tell,
nothing is rejected.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.definitions import mentions, rules_beside_checks
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.engine.chain import ROLLED_BACK, ask
from turso_sync_nb.engine.default_there import Default, default_of, unlike_there
from turso_sync_nb.errors import ProtocolError, RemoteError, ReplicaError, UsageError
from turso_sync_nb.protocol.pipeline import (
    Batch,
    BatchResponse,
    Execute,
    ExecuteResponse,
    SqlError,
    Step,
    StepOk,
    Stmt,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from turso_sync_nb.changes.model import SchemaChange
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.protocol.pipeline import Request, Response

ASKED_WITHIN_S: Final = 2.0
"""Seconds that a statement waits for the remote's judgement."""

SILENT_S: Final = 60.0
"""Seconds for which a remote that let a statement wait is asked no more: a migration has many of them."""

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

_CREATE_TABLE: Final = re.compile(
    r"""^CREATE TABLE ("(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`|'(?:[^']|'')*'|[^\s(]+)"""
)
"""The beginning of a table's definition, as SQLite writes it, with the name."""

_TRIAL: Final = (
    "BEGIN IMMEDIATE",
    "CREATE TABLE turso_sync_trial (a COLLATE NOCASE UNIQUE ON CONFLICT REPLACE, b INTEGER PRIMARY KEY DESC)",
    "ALTER TABLE turso_sync_trial ADD COLUMN c",
    "SELECT sql FROM sqlite_schema WHERE name = 'turso_sync_trial'",
    "ALTER TABLE turso_sync_trial RENAME COLUMN c TO C",
    "CREATE VIEW turso_sync_trial_view AS SELECT a FROM turso_sync_trial",
    "ALTER TABLE turso_sync_trial RENAME TO turso_sync_tried",
    "SELECT sql FROM sqlite_schema WHERE name = 'turso_sync_trial_view'",
    "CREATE TRIGGER turso_sync_trial_trigger INSTEAD OF INSERT ON turso_sync_trial_view BEGIN SELECT 1; END",
    "CREATE VIEW turso_sync_TRIAL_2 AS SELECT 1",
    "SELECT name FROM sqlite_schema WHERE name = 'turso_sync_trial_2'",
)
_REWRITTEN, _CASE, _VIEW, _TRIGGER, _SMALL = 3, 4, 7, 8, 10
"""Places of the steps that tell."""

_RENAMED_BY_CASE: Final = "rename by case only"
_VIEWS: Final = "views follow"
_INSTEAD: Final = "instead of"
_CAPITALS: Final = "names with capitals"
_ADVICE: Final = {
    _VIEWS: (
        "views on it would stay on its former name",
        "drop the views, rename the table, and create them again",
    ),
    _INSTEAD: ("it has no INSTEAD OF triggers", "write to the tables of the view themselves"),
    _RENAMED_BY_CASE: (
        "it does not take a name that differs in case alone",
        "rename the column to another name first, then to this one",
    ),
    _CAPITALS: (
        "it does not find names with capital letters that SQLite stored, and would damage the database",
        "leave it, a table without rows; or do this in the served file with SQLite while no server runs",
    ),
}
"""Reasons of a refusal, each with a way on."""


_USUAL: Final = "UTF-8"
"""The encoding of text that every server writes."""

_ENCODING: Final = "PRAGMA encoding"
_A_LETTER: Final = "SELECT hex(CAST('a' AS BLOB))"
_LETTER_IN_UTF_16: Final = ("6100", "0061")
"""The letter's bytes in a database of UTF-16, where the server knows that."""


class RemoteSupport:
    """Judge for one replica what its remote holds; asked once where it is of tables in general.

    ``remote`` returns the remote or ``None``, ``is_sqlite`` whether it is known to be SQLite.
    """

    def __init__(self, remote: Callable[[], Remote | None], is_sqlite: Callable[[], bool]) -> None:
        self._remote = remote
        self._is_sqlite = is_sqlite
        self._changeable: set[tuple[str, str]] = set()
        self._lost: frozenset[str] | None = None
        self._keeps_text = False
        self._defaults: set[Default] = set()
        """Defaults of columns that the remote reads as SQLite does."""
        self._silent_until_s = 0.0

    def check_text(self, encoding_here: Callable[[], str]) -> None:
        """Refuse to write to a database of UTF-16 by a server that would write UTF-8 into it.

        It could not be read any more. Asked once, and not where the database here is of UTF-8;
        ``encoding_here`` is empty where none came from the remote yet.

        Raises:
            ReplicaError: it would.
            RemoteError, ProtocolError: it does not say.
        """
        remote = self._remote()
        if self._keeps_text or remote is None:
            return
        encoding = encoding_here()
        if encoding != _USUAL:
            named, letter = map(_value, ask(remote, Execute(Stmt(_ENCODING)), Execute(Stmt(_A_LETTER))))
            encoding = encoding or named or _USUAL
            if encoding != _USUAL and letter not in _LETTER_IN_UTF_16:
                raise ReplicaError(
                    f"push: this database is {encoding}, and the remote would write {_USUAL} into it",
                    hint="serve it by SQLite (python -m turso_sync_nb serve FILE), or copy it into one "
                    f"of {_USUAL}; nothing was sent, and every change waits",
                )
        self._keeps_text = True

    def check_schema(self, sql: str) -> None:
        """Refuse the CREATE ``sql`` if it makes something that the remote says it cannot hold.

        Raises:
            UsageError: it cannot; the message has the remote's reason.
        """
        remote = self._remote()
        if remote is not None and _NOT_EVERYWHERE.search(sql):
            self._explain(remote, sql, "create", "make it in a TEMP or attached database, or otherwise")

    def check_changed(self, raw: apsw.Connection, word: str, table: str) -> None:
        """Refuse an UPDATE or DELETE (``word``) of a ``table`` whose rows the remote cannot change.

        Raises:
            UsageError: it cannot; the message has the remote's reason.
        """
        remote = self._remote()
        if remote is None or (word, table) in self._changeable:
            return
        key: list[Any] = raw.execute(_KEY_WITHOUT_ROWID, (table,)).fetchall()
        for (column,) in key:
            change = f"UPDATE {quoted(table)} SET {quoted(column)} = 1" if word == "UPDATE" else ""
            sql = change or f"DELETE FROM {quoted(table)}"
            self._explain(remote, sql, f"change {table}", "the remote needs a table with a rowid for that")
        self._changeable.add((word, table))

    def check_altered(self, change: SchemaChange) -> None:
        """Refuse a change of the schema that was done here if the remote would make something else of it.

        Raises:
            UsageError: it would.
        """
        remote = self._remote()
        if remote is None or self._is_sqlite():
            return
        if change.kind == "add_column" and _NOT_EVERYWHERE.search(change.sql):
            self._check_as_new(remote, change)
        if change.kind == "add_column":
            self._check_default(remote, change)
        if change.kind == "alter":
            hint = "create a new table with it, copy the rows, drop this one, rename the new one"
            self._explain(remote, change.sql, f"alter {change.name}", hint)
        needs = _needs(change)
        if not needs:
            return
        if self._lost is None:
            self._lost = _lost_by_alter(self._asked(remote, _trial()))
        for need in needs & (self._lost or frozenset()):
            if need == _CAPITALS and not self._has_any(remote, change):
                continue
            what, hint = _ADVICE.get(need) or (
                f"it would lose {need.upper()} of the table's definition",
                "create a new table with the columns, copy the rows, drop this one, rename the new one",
            )
            word = {"create": "make", "drop": "drop"}.get(change.kind, "alter")
            raise UsageError(f"{word} {change.name}: the remote cannot do it so: {what}", hint=hint)

    def _check_default(self, remote: Remote, change: SchemaChange) -> None:
        """Refuse a column with a default that the remote does not take, or reads as another value."""
        default = default_of(change)
        if default is None or default in self._defaults:
            return
        unlike = unlike_there(lambda trial: self._asked(remote, trial), default)
        if unlike is None:
            return  # nobody can say now; a push will, of a default that is not taken
        if unlike:
            raise UsageError(
                f"alter {change.name}: the remote cannot hold DEFAULT {default.sql}: {unlike}",
                hint="write the default as the column stores it, such as 0 for an INTEGER, 0.5 for a REAL; "
                "or leave it out and UPDATE the rows",
            )
        self._defaults.add(default)

    def _check_as_new(self, remote: Remote, change: SchemaChange) -> None:
        """Refuse a column with which the remote could not create the table."""
        for one in change.now:
            if one.type == "table":
                sql = _CREATE_TABLE.sub("CREATE TABLE turso_sync_trial", one.sql, count=1)
                self._explain(
                    remote, sql, f"alter {change.name}", "make the column in another table, or a view"
                )

    def _has_any(self, remote: Remote, change: SchemaChange) -> bool:
        """Return whether the remote stores one of these names with its capitals; False without an answer."""
        column, names = _with_capitals(change)
        query = f"SELECT name FROM sqlite_schema WHERE {column} IN ({', '.join('?' * len(names))}) LIMIT 1"
        answer = self._asked(remote, Execute(Stmt(query, tuple(names))))
        return isinstance(answer, ExecuteResponse) and bool(_text(answer.result))

    def _explain(self, remote: Remote, sql: str, what: str, hint: str) -> None:
        answer = self._asked(remote, Execute(Stmt(f"EXPLAIN {sql}")))
        if isinstance(answer, SqlError) and not _IS_NO_JUDGEMENT.search(answer.message):
            raise UsageError(f"{what}: the remote cannot hold it: {answer.message}", hint=hint)

    def _asked(self, remote: Remote, question: Request) -> Response | None:
        """Return the answer, or None if none comes soon: the statement has its locks, and others wait.

        A remote that was waited for in vain is not asked by the next statements.
        """
        asked_s = time.monotonic()
        if asked_s < self._silent_until_s:
            return None
        try:
            with remote.within(ASKED_WITHIN_S):
                return ask(remote, question)[0]
        except (RemoteError, ProtocolError):
            if time.monotonic() - asked_s > ASKED_WITHIN_S / 2:
                self._silent_until_s = time.monotonic() + SILENT_S
            return None


def _needs(change: SchemaChange) -> frozenset[str]:
    """Return the features that a server needs to apply ``change`` without loss."""
    if change.kind == "create":
        is_trigger = any(one.type == "trigger" and mentions(one.sql, ("instead",)) for one in change.now)
        return frozenset({_INSTEAD}) if is_trigger else frozenset()
    if change.kind in ("drop", "rename_table"):
        views = {_VIEWS} if any(one.type == "view" for one in change.now) else set[str]()
        return frozenset(views | ({_CAPITALS} if _with_capitals(change)[1] else set[str]()))
    if change.kind == "rename_column":
        by_case = folded(change.column) == folded(change.to)
        return frozenset({_RENAMED_BY_CASE}) if by_case else frozenset()
    if change.kind in ("add_column", "drop_column"):
        return frozenset().union(*(rules_beside_checks(one.sql) for one in change.now if one.type == "table"))
    return frozenset()


def _with_capitals(change: SchemaChange) -> tuple[str, list[str]]:
    """Return the column of sqlite_schema that a DROP or rename looks up, and its names with capitals."""
    owners = {one.name for one in change.was if one.type in ("table", "view")}
    names = {one.table if owners else one.name for one in change.was}
    return "tbl_name" if owners else "name", sorted(name for name in names if name != folded(name))


def _trial() -> Batch:
    steps = [Step(Stmt(sql), StepOk(0) if at else None) for at, sql in enumerate(_TRIAL)]
    return Batch((*steps, ROLLED_BACK))


def _lost_by_alter(answer: Response | None) -> frozenset[str] | None:
    """Return the features that the remote's ALTER TABLE loses, or None without an answer to the trial."""
    if not isinstance(answer, BatchResponse) or len(answer.result.step_results) != len(_TRIAL) + 1:
        return None
    rewritten, view = (_text(answer.result.step_results[at]) for at in (_REWRITTEN, _VIEW))
    if not rewritten:
        return None
    wanted = rules_beside_checks(_TRIAL[1])
    lost = set(wanted - rules_beside_checks(rewritten))
    if answer.result.step_errors[_CASE] is not None:
        lost.add(_RENAMED_BY_CASE)
    if answer.result.step_errors[_TRIGGER] is not None:
        lost.add(_INSTEAD)
    if _text(answer.result.step_results[_SMALL]):
        lost.add(_CAPITALS)
    if view and "turso_sync_tried" not in view:
        lost.add(_VIEWS)
    return frozenset(lost)


def _text(result: Any) -> str:
    return str(result.rows[0][0]) if result is not None and result.rows and result.rows[0] else ""


def _value(answer: Response) -> str:
    return _text(answer.result) if isinstance(answer, ExecuteResponse) else ""

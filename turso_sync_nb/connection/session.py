"""A session: one APSW connection and everything a user set on it, so that it can be opened again unseen.

A replica's files are now and then published anew under a connection (its last page arrived; a pull). The
connection is then closed and another opened, and nobody may notice: TEMP objects move by SQLite's backup,
in-memory attachments likewise, pragmas by value, ATTACH by name, and what SQLite cannot list (functions,
collations, handlers) is recorded here when it is made and made again.

What is **not** carried: ``changes()`` of the last statement; ``total_changes`` goes on from an offset.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

import apsw

from turso_sync_nb.connection.sql_errors import translated
from turso_sync_nb.connection.statements import is_changing
from turso_sync_nb.errors import ProgrammingError, SyncError, UsageError
from turso_sync_nb.storage.folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.engine.replica import Replica

PROGRESS_STEPS: Final = 20_000
"""Virtual-machine steps between two chances for Python to deliver Ctrl-C (0.06 s at most, measured)."""

_CARRIED_PRAGMAS: Final = (
    "temp_store",  # first: setting it later would drop the TEMP objects
    "analysis_limit", "automatic_index", "busy_timeout", "cache_size", "cache_spill", "cell_size_check",
    "count_changes", "defer_foreign_keys", "foreign_keys", "full_column_names", "ignore_check_constraints",
    "legacy_alter_table", "mmap_size", "query_only", "read_uncommitted", "recursive_triggers",
    "reverse_unordered_selects", "short_column_names", "synchronous", "threads", "trusted_schema",
    "writable_schema",
)  # fmt: skip

_REFUSED_PRAGMAS: Final = {
    "journal_mode": "a replica lives on its write-ahead log",
    "locking_mode": "a replica's files are shared by the connections of this process",
}


class Session:
    """The APSW connection in force (``raw``), its cursors and transactions, and how to open it again.

    Nobody but this package sees it; Connection and Cursor are its faces.
    """

    def __init__(self, replica: Replica) -> None:
        self.isolation_level: str | None = None
        self.cursors: WeakSet[Cursor] = WeakSet()
        self.closed = False
        self.writing = False
        """Whether the statement under way may write; set before its first step."""
        self._replica = replica
        self._recorded: dict[tuple[Any, ...], Callable[[apsw.Connection], object]] = {}
        self._authorizer: Callable[..., int] | None = None
        self._changes_before = 0
        self._attached = False
        self.raw = self._open()

    def _open(self) -> apsw.Connection:
        raw = self._replica.open_database()
        raw.set_progress_handler(_go_on, PROGRESS_STEPS)
        raw.authorizer = self._authorize
        return raw

    def check_open(self) -> None:
        """Refuse to go on when the connection is closed."""
        if self.closed:
            raise ProgrammingError("use connection: it is closed")

    def close(self) -> None:
        """Close the cursors and the connection, rolling back what is open; may be repeated."""
        self.closed = True
        for cursor in list(self.cursors):
            cursor.close()
        self._replica.close_database(self.raw)

    # Running

    @property
    def in_transaction(self) -> bool:
        """Say whether a transaction is open."""
        return not self.closed and self.raw.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows changed since the first connection of this session was opened."""
        return self._changes_before + self.raw.total_changes()

    def begin_for(self, sql: str) -> None:
        """Open a transaction where Python's sqlite3 would."""
        if self.isolation_level and is_changing(sql) and not self.raw.in_transaction:
            self.raw.execute(f"BEGIN {self.isolation_level}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run SQLite: move to the native VFS first where that can be done unseen; explain its errors."""
        if self._replica.can_go_native(self.raw) and self._is_idle():
            self.reopen()
        was_in_transaction = self.raw.in_transaction
        self._attached = self.writing = False
        try:
            yield
            if self._attached:
                self._detach_inner_files()
        except BaseException as error:  # noqa: BLE001 - every one is raised, explained
            self.raise_explained(error, was_in_transaction=was_in_transaction)

    def _detach_inner_files(self) -> None:
        """Undo an ATTACH whose file name was a parameter, which the authorizer does not see."""
        for _, schema, file in self.raw.execute("PRAGMA database_list").fetchall():
            if schema != "main":
                try:
                    _refuse_inner_file(str(file))
                except UsageError:
                    self.raw.execute("DETACH " + quoted(str(schema)))
                    raise

    def raise_explained(self, error: BaseException, *, was_in_transaction: bool) -> NoReturn:
        """Raise ``error`` as the reader knows it, saying so when it took the open transaction with it.

        A Ctrl-C can be raised where SQLite has done half a statement and does not undo it (``lazy_vfs``
        says where): then the whole transaction is rolled back, as SQLite does after an I/O error.
        """
        explained = translated(error)
        if self.writing and isinstance(error, KeyboardInterrupt) and self.raw.in_transaction:
            self.raw.execute("ROLLBACK")
        if was_in_transaction and not self.raw.in_transaction:
            explained = _with_note(explained, "the open transaction was rolled back")
        if explained is error:
            raise error
        raise explained from None

    # What a user set

    def record(self, key: tuple[Any, ...], make: Callable[[apsw.Connection], object]) -> None:
        """Do ``make`` now, and again on every connection to come; a later one of the same key replaces it."""
        make(self.raw)
        self._recorded[key] = make

    def set_authorizer(self, authorizer: Callable[..., int] | None) -> None:
        """Ask ``authorizer`` too, after the rules of the replica."""
        self._authorizer = authorizer

    # Opening again

    def _is_idle(self) -> bool:
        return not self.raw.in_transaction and not any(cursor.is_open for cursor in self.cursors)

    def reopen(self) -> None:
        """Exchange ``raw`` for a new connection that cannot be told from it.

        The caller sees to it that no cursor is open and no transaction is. The old one stays in force when
        anything fails.
        """
        old, new = self.raw, self._open()
        try:
            self._carry(old, new)
        except BaseException:
            self._replica.close_database(new)
            raise
        self._changes_before += old.total_changes() - new.total_changes()
        self.raw = new
        self._replica.close_database(old)

    def _carry(self, old: apsw.Connection, new: apsw.Connection) -> None:
        for make in self._recorded.values():
            make(new)
        for name in _CARRIED_PRAGMAS:
            value = old.pragma(name)
            if value != new.pragma(name):
                new.pragma(name, value)
        if old.execute("SELECT 'a' LIKE 'A'").get == 0:  # this pragma has no getter
            new.pragma("case_sensitive_like", True)
        for _, schema, file in old.execute("PRAGMA database_list").fetchall():
            if schema in ("main", "temp"):
                continue
            new.execute("ATTACH ? AS " + quoted(str(schema)), (file or ":memory:",))
            if not file:
                _copy_schema(old, new, str(schema))
        if old.execute("SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema)").get:
            _copy_schema(old, new, "temp")
        new.set_last_insert_rowid(old.last_insert_rowid())

    def _authorize(self, action: int, first: str | None, second: str | None, *rest: str | None) -> int:
        if action == apsw.SQLITE_PRAGMA and second is not None and (first or "").lower() in _REFUSED_PRAGMAS:
            name = (first or "").lower()
            raise UsageError(f"set PRAGMA {name}: refused here", hint=_REFUSED_PRAGMAS[name])
        if action == apsw.SQLITE_ATTACH:
            self._attached = True
            _refuse_inner_file(first or "")
        return self._authorizer(action, first, second, *rest) if self._authorizer else apsw.SQLITE_OK


def _go_on() -> bool:
    """Let SQLite go on; being called at all is what lets Python deliver Ctrl-C."""
    return False


def _with_note(error: BaseException, note: str) -> BaseException:
    """Return ``error`` with ``note`` in its message."""
    if isinstance(error, SyncError):
        error.hint = f"{error.hint}; {note}" if error.hint else note
    elif isinstance(error, apsw.Error | KeyboardInterrupt):
        error.args = (f"{error.args[0]} ({note})" if error.args else note, *error.args[1:])
    else:
        error.add_note(note)
    return error


def _refuse_inner_file(file: str) -> None:
    """Refuse the database file of a replica: its absent pages would be read as zeros."""
    if file and ReplicaFolder.is_replica(Path(file).parent):
        raise UsageError(
            f"attach {Path(file).name}: it is the inner file of a replica",
            hint="export the replica with db.export(path) and attach that file",
        )


def _copy_schema(old: apsw.Connection, new: apsw.Connection, schema: str) -> None:
    with new.backup(schema, old, schema) as backup:
        while not backup.done:
            backup.step(10_000)


def quoted(identifier: str) -> str:
    """Return ``identifier`` as SQL text that means exactly it."""
    return '"' + identifier.replace('"', '""') + '"'

"""One APSW connection to a replica with its user's settings, opened again without a visible difference.

A replica's files are now and then published anew under a connection (its last page arrived; a pull). The
connection is then closed and another opened: what SQLite can list is carried over (``carrying``), what it
cannot (functions, collations, handlers) is recorded here when it is made, and made again. What is **not**
carried: ``changes()`` of the last statement.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import apsw

from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.changes.ddl import PRAGMAS
from turso_sync_nb.changes.names import is_internal
from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.connection.authorizer import (
    ACTING_PRAGMAS,
    REFUSED_PRAGMAS,
    WRITES,
    check_schema,
    refuse_inner_file,
)
from turso_sync_nb.connection.deadline import PROGRESS_STEPS, Deadline
from turso_sync_nb.connection.facts import Facts, KnownFacts
from turso_sync_nb.connection.overrides import Overrides
from turso_sync_nb.connection.session_state import SessionState
from turso_sync_nb.connection.speculative_stubs import ConnectionStubs
from turso_sync_nb.connection.sql_errors import is_undone_by_sqlite, mapped_sql_errors
from turso_sync_nb.connection.statements import CONCERNING_ROWS
from turso_sync_nb.engine.pinned import refuse_if_fixed
from turso_sync_nb.errors import ProgrammingError, ReplicaBusyError, ReplicaError, UsageError
from turso_sync_nb.platforms import never_freed
from turso_sync_nb.progress import WORKING, report_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from turso_sync_nb.changes.model import SchemaChange
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
    from turso_sync_nb.storage.prefetch.speculative_db import LocalObject
    from turso_sync_nb.storage.vfs.lazy_vfs import LazyFile


class Reopenable:
    """The APSW connection in force (``raw``), its capture, what is known of it, how to open it again."""

    raw: apsw.Connection
    capture: Capture
    writer: apsw.Cursor
    """An idle cursor for statements that write; their rows are taken at once."""

    def __init__(self, replica: Replica, tables_ignore: Collection[str]) -> None:
        self.closed = False
        self.is_of_parent = False
        """Whether this process was forked off the one that opened the connection."""
        self.known_good: dict[str, Facts] = {}
        """Texts, with their facts, that may run again without the gate as long as nothing is invalidated."""
        self.unlisted = ""
        """The first statement of the open transaction that wrote to tables SQLite did not name, or empty."""
        self.reader: apsw.Cursor | None = None
        """An idle cursor for a statement that reads, or None while it is in use."""
        self.lazy: LazyFile | None = None
        """The lazy file of ``raw``, or None on the native VFS."""
        self.local_tables: Sequence[LocalObject] = ()
        """Frames that the text under way names as tables."""
        self.stubs = ConnectionStubs()
        self.overrides = Overrides()
        self.deadline = Deadline()
        self._fetch_budget: FetchBudget | None = None
        self._replica = replica
        self._tables_ignore = tables_ignore
        self._recorded: dict[tuple[Any, ...], Callable[[apsw.Connection], object]] = {}
        self._authorizer: Callable[..., int] | None = None
        self._attached = False
        self._own = False
        self._verbs = 0
        """Verbs under way whose statements are ours though they run as a user's."""
        self._facts = KnownFacts()
        self._saved_state: SessionState | None = None
        """The state to put onto the next connection; set while the files are released."""
        self._has_read_schema = False
        """Whether ``raw``, on the lazy VFS, has read the schema."""
        self._lost: list[str] = []
        """Databases that could not be attached again, and are still to be reported."""

    @mapped_sql_errors()
    def _open(self) -> tuple[apsw.Connection, Capture]:
        databases = self._replica.databases
        raw = databases.open(reads_schema=False)
        try:
            return raw, self._set_up(raw)
        except BaseException:  # one that nobody closes would keep its lock
            databases.close(raw)
            raise

    def _set_up(self, raw: apsw.Connection) -> Capture:
        databases, capture_ids = self._replica.databases, self._replica.capture_ids
        databases.set_budget(raw, self._fetch_budget)
        capture = Capture(
            raw,
            ignored=self._tables_ignore,
            next_transaction=capture_ids.next_transaction,
            check_altered=self._check_altered_there,
        )
        raw.set_progress_handler(self._on_progress, PROGRESS_STEPS)
        raw.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        raw.pragma("fullfsync", 1)  # for macOS; elsewhere it does nothing
        raw.set_rollback_hook(lambda: self._rolled_back(capture))
        raw.set_commit_hook(lambda: self._refuses_commit(raw, capture))
        raw.authorizer = self._authorize
        return capture

    @property
    def _is_offline(self) -> bool:
        return self._fetch_budget is not None and self._fetch_budget.offline

    def check_there(self, sql: str, facts: Facts) -> None:
        """Refuse a statement that makes or changes what the remote cannot hold; offline it is not asked.

        Raises:
            UsageError: the remote says that it cannot.
        """
        if not self._is_offline:
            check_schema(self._replica, self.raw, sql, facts, self._tables_ignore)

    def not_overridden(self, sql: str, facts: Facts) -> Facts:
        """Return the facts of a statement of ours, or of one whose tables do without the user's functions.

        Raises:
            UsageError: a table's definitions call a function of SQLite in whose place one of the user's is.
        """
        if self.overrides and not self.is_ours():
            with self.of_ours():
                self.overrides.refuse(self.raw, sql, facts)
        return facts

    def _check_altered_there(self, change: SchemaChange) -> None:
        if not self._is_offline:
            self._replica.support.check_altered(change)

    def _on_progress(self) -> bool:
        """Report that SQLite works; return whether it must stop (SQLite's progress handler)."""
        report_progress(WORKING)
        return self.deadline.is_late()

    def _rolled_back(self, capture: Capture) -> None:
        """Invalidate facts and triggers: the rollback may have restored another schema."""
        capture.forget()
        self.forget_facts()

    def _refuses_commit(self, raw: apsw.Connection, capture: Capture) -> bool:
        """Return whether an unlisted statement wrote to main while nothing is on the tape (a commit hook)."""
        is_written = raw.txn_state("main") == apsw.SQLITE_TXN_WRITE
        return bool(self.unlisted) and is_written and not capture.has_begun

    def forget_facts(self) -> None:
        """Forget the facts of all texts: SQLite is asked anew."""
        self._facts.clear()
        self.overrides.look_again()
        self.look_again()

    def look_again(self) -> None:
        """Forget ``known_good``: each text takes the full path once more."""
        self.known_good.clear()

    def _use(self, raw: apsw.Connection, capture: Capture) -> None:
        """Put ``raw`` and ``capture`` in force; the saved state, if any, has been applied to ``raw``."""
        self.look_again()
        writer, lazy = raw.cursor(), self._replica.databases.lazy_file(raw)
        # no call between these: a Ctrl-C that comes leaves them as they were, or all of them new
        self.writer, self.reader, self.lazy = writer, None, lazy
        self.raw, self.capture, self._saved_state = raw, capture, None
        self._has_read_schema = False

    def _read_schema(self, sql: str, items: Sequence[Any]) -> None:
        """Have SQLite read the schema before the first statement, ``sql`` with ``items``.

        The pages of both are fetched together. A fetch budget does not apply to the schema.
        """
        if self._has_read_schema or self.lazy is None:
            return
        databases, budget = self._replica.databases, self._fetch_budget
        concerns_rows = first_word(sql) in CONCERNING_ROWS
        if budget is not None:
            concerns_rows = False
            databases.set_budget(self.raw, budget if budget.offline else None)
        self._own = True
        try:
            databases.read_schema(self.raw, *((sql, items or [None]) if concerns_rows else ()))
        finally:
            self._own = False
            databases.set_budget(self.raw, budget)
        self._has_read_schema = True

    def prefetch_for(
        self, sql: str, facts: Facts, items: Sequence[Any], done: Callable[[], int] = int
    ) -> None:
        """Have the lazy file predict the reads of ``sql`` with ``items``; ``done()`` of these were run."""
        if self.lazy is not None and facts.concerns_rows:
            self.lazy.speculation.begin(sql, items, done)
            known = self.stubs.for_statement(sql, facts, self.raw.total_changes(), self.lazy.waits, self.do)
            self.lazy.speculation.local_objects = [*self.local_tables, *known]

    @contextmanager
    def allowed(self, budget: FetchBudget) -> Iterator[None]:
        """Apply ``budget`` in the block, in place of the one around it."""
        outer, self._fetch_budget = self._fetch_budget, budget
        self._replica.databases.set_budget(self.raw, budget)
        try:
            yield
        finally:
            self._fetch_budget = outer
            if not self.closed:
                self._replica.databases.set_budget(self.raw, outer)

    def is_writing(self) -> bool:
        """Return whether a writing transaction, or a statement that may begin one, is under way."""
        if self._replica.gate.is_used(self):
            return True
        with suppress(apsw.Error):  # of another thread, which has begun
            return self.raw.in_transaction
        return False

    def do(self, sql: str) -> list[Any]:
        """Run a statement of our own; return its rows."""
        self._own = True  # as of_ours does, which takes longer
        try:
            return self.raw.execute(sql).fetchall()
        finally:
            self._own = False

    def end_failed(self, error: BaseException) -> None:
        """End the transaction of one statement that raised ``error``; none is left open.

        Raises:
            apsw.Error: rows that stay, after OR FAIL, could not be committed; nothing stays.
        """
        try:
            if self.raw.in_transaction and is_undone_by_sqlite(error):
                self.do("COMMIT")
        finally:
            if self.raw.in_transaction:  # a deferred foreign key: its COMMIT failed, and left it open
                self.do("ROLLBACK")

    @contextmanager
    def of_ours(self) -> Iterator[None]:
        """Mark the statements of the block as ours: the user's authorizer is not asked about them."""
        self._own = True
        try:
            yield
        finally:
            self._own = False

    def is_ours(self) -> bool:
        """Return whether the statement under way is ours: functions of SQLite answer it, not the user's."""
        return self._own or self._verbs > 0

    @contextmanager
    def as_verb(self) -> Iterator[None]:
        """Have functions of SQLite answer in the block, not the user's of the same names."""
        self._verbs += 1
        try:
            yield
        finally:
            self._verbs -= 1

    # The end

    def leave_to_parent(self) -> None:
        """In a forked child: use it no more, and touch neither its files nor what the parent has open.

        The copy of SQLite's memory takes itself for the owner of the parent's locks, and of its transaction.
        """
        self.is_of_parent = self.closed = True
        self.look_again()
        never_freed(self.raw)  # closing it would roll the transaction back in shared memory

    def refuse_closed(self) -> NoReturn:
        """Say why it cannot be used any more.

        Raises:
            ReplicaBusyError: another process has it, which forked this one.
            ProgrammingError: it is closed.
        """
        if self.is_of_parent:
            raise ReplicaBusyError(
                "use connection: this process was forked while it was open, and the first one still has it",
                hint=f"connect in each process, with read_only=True beside {self._replica.path}'s owner; or "
                "close it before you fork",
            )
        raise ProgrammingError("use connection: it is closed")

    # What a user set

    def record(self, key: tuple[Any, ...], make: Callable[[apsw.Connection], object]) -> None:
        """Call ``make`` now and on each later connection; another with the same key replaces it."""
        make(self.raw)
        self._recorded[key] = make

    def forget(self, key: tuple[Any, ...], unmake: Callable[[apsw.Connection], object]) -> None:
        """Undo what was recorded under ``key``, on this connection and for later ones."""
        self._recorded.pop(key, None)
        if not self.closed and self._saved_state is None:
            unmake(self.raw)

    def set_authorizer(self, authorizer: Callable[..., int] | None) -> None:
        """Ask ``authorizer`` too, after the rules of the replica, and about known texts as well."""
        self._authorizer = authorizer
        self.forget_facts()
        self.raw.authorizer = self._authorize  # has SQLite prepare all statements anew

    def remove_override(self, key: tuple[Any, ...]) -> None:
        """Have SQLite's own function answer again: only a new connection has it."""
        if make := self._recorded.pop(key, None):
            try:
                self.reopen()
            except BaseException:
                self._recorded[key] = make
                raise
            self.overrides.remove(key)

    # Opening again

    def reopen(self) -> None:
        """Exchange ``raw`` for a new connection that cannot be told from it.

        The caller has made sure that no cursor and no transaction is open. If anything fails, the old one
        stays in force.
        """
        old = self.raw
        with self.of_ours():
            self.capture.uninstall()
            state = SessionState(old, in_memory_copy=False)
        self._exchange(state)
        self._replica.databases.close(old)

    def suspend(self) -> None:
        """Close the replica's files, keeping the connection's state for :meth:`resume`.

        If it is interrupted, the connection is as it was, or can be resumed.
        """
        self.look_again()  # first: a text that runs without looking would pass by what waits to be resumed
        if self._saved_state is None:
            with self.of_ours():
                with suppress(apsw.CorruptError):  # a schema that cannot be read has no triggers of ours
                    self.capture.uninstall()
                self._saved_state = SessionState(self.raw, in_memory_copy=True)
        self._replica.databases.close(self.raw)

    def _ensure_open(self) -> None:
        """Resume a connection that a stopped verb left suspended."""
        if self._saved_state is not None:
            self.resume()

    def _tell_lost(self) -> None:
        """Raise once that attached databases are gone; the connection goes on without them.

        Raises:
            ReplicaError: a file that was attached could not be attached again.
        """
        if self._lost:
            lost, self._lost = self._lost, []
            raise ReplicaError(
                f"attach again after a pull: {'; '.join(lost)}",
                hint="the connection goes on without it; ATTACH it when the file is there again",
            )

    def resume(self) -> None:
        """Open the replica's files again; if that fails, the next statement tries once more."""
        self._replica.databases.close(self.raw)
        self._exchange(self._saved_state)

    @mapped_sql_errors()
    def _exchange(self, state: SessionState | None) -> None:
        """Put a new connection with ``state`` in force; it is closed again when anything fails.

        Raises:
            OperationalError: the files cannot be opened now.
        """
        new, capture = self._open()
        try:
            if state:
                self._replica.databases.read_schema(new)
                self._apply_state(new, state)
            capture.recursive_triggers = self.capture.recursive_triggers
            self._use(new, capture)
        except BaseException:
            if self.raw is not new:
                self._replica.databases.close(new)
            raise

    def _apply_state(self, new: apsw.Connection, state: SessionState) -> None:
        for make in self._recorded.values():
            make(new)
        self._lost = state.put_onto(new)
        with self.of_ours():
            new.pragma("recursive_triggers", self.capture.recursive_triggers)
        self.forget_facts()

    # What is allowed

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        self._facts.noted.action(action, first, second, database, trigger)
        name = (first or "").lower() if action == apsw.SQLITE_PRAGMA else ""
        if name in ACTING_PRAGMAS and not self._own:
            raise UsageError(f"run PRAGMA {name}: refused here", hint=REFUSED_PRAGMAS[name])
        if name and second is not None:
            if name in REFUSED_PRAGMAS and not self._own:
                raise UsageError(f"set PRAGMA {name}: refused here", hint=REFUSED_PRAGMAS[name])
            if name == "recursive_triggers" and not self._own:  # the session sets it, each time it is run
                return int(apsw.SQLITE_IGNORE)
            if name in PRAGMAS and database in (None, "main") and not self._own:  # kept in the database
                refuse_if_fixed(self._replica, "write")
        if action in WRITES and database == "main" and not self._own:
            refuse_if_fixed(self._replica, "write")
        if action == apsw.SQLITE_ATTACH:
            self._attached = True
            refuse_inner_file(first or "")
        if self._own:
            return apsw.SQLITE_OK
        if self._authorizer is None or is_internal(trigger or "") or is_internal(first or "main"):
            return apsw.SQLITE_OK
        return self._authorizer(action, first, second, database, trigger)

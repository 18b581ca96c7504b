"""Keep one APSW connection and its user's settings, so that it can be reopened unnoticed.

A replica's files are now and then published anew under a connection (its last page arrived; a pull). The
connection is then closed and another opened, and nobody may notice: what SQLite can list is carried over
(``carrying``), what it cannot (functions, collations, handlers) is recorded here when it is made and made
again. What is **not** carried: ``changes()`` of the last statement.

A statement that writes to the replica's database runs in a transaction, its own if none is open, together
with the capture of what it changes.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

import apsw
import apsw.ext

from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.changes.names import is_internal
from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.connection.allowed import (
    REFUSED_PRAGMAS,
    check_held,
    detach_inner_files,
    refuse_inner_file,
)
from turso_sync_nb.connection.carrying import Luggage
from turso_sync_nb.connection.deadline import PROGRESS_STEPS, Deadline
from turso_sync_nb.connection.facts import Facts, KnownFacts
from turso_sync_nb.connection.sql_errors import is_undone_by_sqlite, translated, with_note
from turso_sync_nb.connection.statements import (
    CHANGING_THE_SCHEMA,
    concerns_rows,
    is_changing,
    shortened,
)
from turso_sync_nb.engine import outbox
from turso_sync_nb.engine.replica import BUSY_TIMEOUT_MS
from turso_sync_nb.errors import (
    NotSupportedError,
    ProgrammingError,
    ReplicaBusyError,
    ReplicaError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.pages.fetch_budget import FetchBudget

_ITEMS: Final = "turso_sync_nb_items"
"""Savepoint around the items of an executemany."""


class Session:
    """The APSW connection in force (``raw``), its cursors and transactions, and how to open it again.

    Nobody but this package sees it; Connection and Cursor are its faces.
    """

    def __init__(self, replica: Replica, tables_ignore: Collection[str] = ()) -> None:
        self.isolation_level: str | None = None
        self.cursors: WeakSet[Cursor] = WeakSet()
        self.closed = False
        self.writing = False
        """Whether the statement under way may write; set before its first step."""
        self.items_changed: int | None = None
        """Rows that all items of an executemany changed, once they are done; ``None`` for one statement."""
        self.rows_changed = 0
        """Rows that INSERT, UPDATE and DELETE changed so far, effects of triggers not counted."""
        self.thread: int | None = None
        """The thread that used it last."""
        self.awaited = set[object]()
        """The awaited verbs that are not done; all of them run on ``awaiting_thread``."""
        self.awaiting_thread: int | None = None
        self.deadline = Deadline()
        self._fetch_budget: FetchBudget | None = None
        self._replica = replica
        self._tables_ignore = tables_ignore
        self._recorded: dict[tuple[Any, ...], Callable[[apsw.Connection], object]] = {}
        self._authorizer: Callable[..., int] | None = None
        self._attached = False
        self._own = False
        self._facts = KnownFacts()
        self._changed_schema = False
        """Whether the open transaction did, so that its end makes facts of other connections old."""
        self._luggage: Luggage | None = None
        """The state to put onto the next connection; set while the files are released."""
        self._lost: list[str] = []
        """Databases that could not be attached again, until the user was told."""
        with replica.gate.passing(self, BUSY_TIMEOUT_MS / 1000):
            self.raw, self.capture = self._open()
            replica.gate.members.add(self)

    def _open(self) -> tuple[apsw.Connection, Capture]:
        raw = self._replica.open_database()
        self._replica.allow(raw, self._fetch_budget)
        capture = Capture(raw, ignored=self._tables_ignore, next_transaction=self._replica.next_transaction)
        raw.set_progress_handler(self.deadline.is_late, PROGRESS_STEPS)
        raw.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        raw.set_rollback_hook(lambda: self._rolled_back(capture))
        raw.authorizer = self._authorize
        return raw, capture

    def _rolled_back(self, capture: Capture) -> None:
        """Look at everything again: the schema that facts and triggers were made for may be another now."""
        capture.forget()
        self._facts.clear()

    @contextmanager
    def allowed(self, budget: FetchBudget) -> Iterator[None]:
        """Fetch in the block as ``budget`` says, the one around it no more."""
        outer, self._fetch_budget = self._fetch_budget, budget
        self._replica.allow(self.raw, budget)
        try:
            yield
        finally:
            self._fetch_budget = outer
            if not self.closed:
                self._replica.allow(self.raw, outer)

    def check_open(self) -> None:
        """Refuse to go on when the connection is closed, or what was awaited on it is not done.

        Raises:
            ProgrammingError: it is closed.
            ReplicaBusyError: another thread is using it, or is about to.
        """
        if self.closed:
            raise ProgrammingError("use connection: it is closed")
        thread = threading.get_ident()
        if self.awaited and thread != self.awaiting_thread:
            raise ReplicaBusyError(
                "use connection: what was awaited on it is not done",
                hint="await it first; db.interrupt() stops it; another connection can be used meanwhile",
            )
        self.thread = thread
        self.deadline.begin()
        if self._luggage is not None:
            with self._replica.gate.running(self):  # not amid another thread's verb, which has the files
                self._take_up()

    def prefetch_for(self, sql: str, items: Sequence[Any], done: Callable[[], int] = int) -> None:
        """Have foreseen what ``sql`` reads with each of ``items``; ``done`` returns how many were run."""
        if (file := self._replica.lazy_file(self.raw)) and concerns_rows(sql):
            file.speculation.begin(sql, items, done)

    def interrupt(self) -> None:
        """Stop what another thread is doing here: SQL, and waiting for the remote."""
        if not self.closed:
            self.raw.interrupt()
            if self._replica.remote is not None and self.thread is not None:
                self._replica.remote.stop(self.thread)

    def close(self) -> None:
        """Close the cursors and the connection, rolling back what is open; may be repeated."""
        with self._replica.gate.passing(self, BUSY_TIMEOUT_MS / 1000):
            self._replica.gate.members.discard(self)
            for cursor in list(self.cursors):
                cursor.close()
            self._replica.close_database(self.raw)
            self.closed = True

    # Running

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction is open."""
        try:
            return not self.closed and self.raw.in_transaction
        except apsw.ConnectionClosedError:  # another thread's pull has the files, for which all were idle
            return False

    def doing(self) -> str:
        """Return the SQL of an open cursor, or say that a transaction is open; empty when idle."""
        for cursor in list(self.cursors):
            if cursor.is_open:
                return f"a cursor on {shortened(cursor.sql)}"
        return "an open transaction" if self.in_transaction else ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run SQLite: move to the native VFS first where that can be done unseen; explain its errors."""
        gate = self._replica.gate
        gate.enter(self)
        try:
            self._take_up()
            self._tell_lost()
            if self._replica.can_go_native(self.raw) and not self.doing():
                self.reopen()
            was_in_transaction = self.raw.in_transaction
            self._attached = self.writing = False
            try:
                yield
                if self._attached:
                    detach_inner_files(self.raw)
            except BaseException as error:  # noqa: BLE001 - every one is raised, explained
                self.raise_explained(error, was_in_transaction=was_in_transaction)
        finally:
            gate.leave(self)

    @contextmanager
    def statement(self, sql: str, *, begins: bool = True, alone: bool = False) -> Iterator[None]:
        """Run the one statement ``sql`` in the block: what it changes is captured in its transaction.

        With ``begins`` a transaction is opened first where Python's sqlite3 would open one.

        Raises:
            ProgrammingError: ``alone`` is set, and another statement follows in the text.
        """
        with self.running():
            facts = self._facts_of(sql)
            if alone:
                facts.refuse_more()
            if facts.is_recursive:
                self.capture.refuse_recursion()
            if not self.raw.in_transaction and (facts.writes or first_word(sql) in ("BEGIN", "SAVEPOINT")):
                self._begin_tape()
            if begins and self.isolation_level and is_changing(sql) and not self.raw.in_transaction:
                self.do(self._implicit_begin(facts))
                facts = self._facts_of(sql)  # another connection may have committed meanwhile
            if facts.writes:
                check_held(self._replica, self.raw, sql, facts.writes, self._tables_ignore)
                with self._captured(sql, facts):
                    yield
            else:
                changes_before = self.raw.total_changes()
                yield
                # full-text indexes write their own tables before they are read, and at a transaction's end
                may_count = facts.may_count or self.capture.has_virtual_tables
                if self.raw.total_changes() != changes_before and not may_count:
                    self._undo_uncaptured(sql)
            if is_changing(sql) or (self.writing and first_word(sql) == "WITH"):
                self.rows_changed += self.raw.changes()
            self._finished(sql)

    def _facts_of(self, sql: str) -> Facts:
        return self._facts.of(self.raw, sql, self._replica.schema_changes, self.capture.uninstall)

    def _implicit_begin(self, facts: Facts) -> str:
        """Return the BEGIN before a statement that changes rows.

        One that writes to the replica takes the write lock at once, so that it waits for another's as
        sqlite3 does: a transaction that has read cannot wait for it any more.
        """
        is_upgraded = self.isolation_level == "DEFERRED" and facts.writes
        return f"BEGIN {'IMMEDIATE' if is_upgraded else self.isolation_level}"

    def _account(self, sql: str, all_changed: int, changed: int) -> None:
        """Roll the transaction back if not every change of ``sql`` is on the tape.

        Raises:
            NotSupportedError: it is not.
        """
        try:
            self.capture.account(sql, all_changed, changed)
        except NotSupportedError:
            self.do("ROLLBACK")
            raise

    def _undo_uncaptured(self, sql: str) -> NoReturn:
        """Roll back a statement that changed rows though it was taken for one that reads.

        Raises:
            NotSupportedError: always; it names the statement.
        """
        if self.raw.in_transaction:
            self.do("ROLLBACK")
        raise NotSupportedError(
            f"run {shortened(sql)}: it changed rows that were not captured, and its transaction was rolled "
            "back; write them with INSERT, UPDATE or DELETE"
        )

    @contextmanager
    def _captured(self, sql: str, facts: Facts) -> Iterator[None]:
        """Give the statement a transaction if it has none, so that its capture is one with it."""
        alone = not self.raw.in_transaction
        if alone:
            self.do("BEGIN IMMEDIATE")
        try:
            self._own = True
            with self.capture.statement(sql, facts.writes, facts.set_columns, facts.conflict):
                self._own = False
                changes_before = self.raw.total_changes()
                self.items_changed = None
                yield
                changed = self.raw.changes() if self.items_changed is None else self.items_changed
                self._account(sql, self.raw.total_changes() - changes_before, changed)
                self._own = True
            if alone:
                self.do("COMMIT")
        except BaseException as error:
            if alone and self.raw.in_transaction:
                self.do("COMMIT" if is_undone_by_sqlite(error) else "ROLLBACK")
            raise
        finally:
            self._own = False

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo what the block did in its transaction if it fails; earlier statements of that stay."""
        if not self.raw.in_transaction:
            yield
            return
        self.do(f"SAVEPOINT {_ITEMS}")
        try:
            yield
        except BaseException:
            if self.raw.in_transaction:
                self.do(f"ROLLBACK TO {_ITEMS}")
                self.do(f"RELEASE {_ITEMS}")
                self.capture.forget()
            raise
        self.do(f"RELEASE {_ITEMS}")

    def _finished(self, sql: str) -> None:
        """Draw the conclusions from a statement that is done."""
        word = first_word(sql)
        if not self.raw.in_transaction:
            self.capture.transaction_ended()
            self._replica.schema_changes += self._changed_schema
            self._changed_schema = False
            if self.writing or word in ("COMMIT", "END", "RELEASE"):
                self._replica.watchers.tell()
        if word == "ROLLBACK":
            self.capture.forget()
        if word in CHANGING_THE_SCHEMA:
            self._facts.clear()
            self._replica.schema_changes += 1
            self._changed_schema = self.raw.in_transaction

    def _begin_tape(self) -> None:
        """Have the tape ready: on this connection if it is reading, for what it reads must not become old."""
        if not self.doing():
            with outbox.database(self._replica) as raw:
                self._replica.begin_tape(raw)
            return
        rowid, self._own = self.raw.last_insert_rowid(), True
        try:
            self._replica.begin_tape(self.raw)
        finally:
            self.raw.set_last_insert_rowid(rowid)
            self._own = False

    def do(self, sql: str) -> list[Any]:
        """Run a statement of our own, about which no authorizer of the user is asked; return its rows."""
        self._own = True
        try:
            return self.raw.execute(sql).fetchall()
        finally:
            self._own = False

    def raise_explained(self, error: BaseException, *, was_in_transaction: bool) -> NoReturn:
        """Raise ``error`` as the reader knows it, saying so when it took the open transaction with it.

        A Ctrl-C can be raised where SQLite has done half a statement and does not undo it (``lazy_vfs``
        says where): then the whole transaction is rolled back, as SQLite does after an I/O error.
        """
        explained = translated(error)
        if self.writing and isinstance(error, KeyboardInterrupt) and self.raw.in_transaction:
            self.do("ROLLBACK")
        if not self.raw.in_transaction:
            self.capture.transaction_ended()
        if was_in_transaction and not self.raw.in_transaction:
            explained = with_note(explained, "the open transaction was rolled back")
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

    def reopen(self) -> None:
        """Exchange ``raw`` for a new connection that cannot be told from it.

        The caller sees to it that no cursor is open and no transaction is. The old one stays in force when
        anything fails.
        """
        self.capture.uninstall()
        old, (new, capture) = self.raw, self._open()
        try:
            self._furnish(new, Luggage(old, parked=False))
        except BaseException:
            self._replica.close_database(new)
            raise
        capture.recursive_triggers = self.capture.recursive_triggers
        self.raw, self.capture = new, capture
        self._replica.close_database(old)

    def suspend(self) -> None:
        """Let go of the replica's files; :meth:`resume` goes on as if nothing had been.

        Stopped at any point, it leaves the connection as it was, or to be resumed.
        """
        if self._luggage is None:
            with suppress(apsw.CorruptError):  # a schema that cannot be read has no triggers of ours
                self.capture.uninstall()
            self._luggage = Luggage(self.raw, parked=True)
        self._replica.close_database(self.raw)

    def _take_up(self) -> None:
        """Resume what a stopped verb left suspended."""
        if self._luggage is not None:
            self.resume()

    def _tell_lost(self) -> None:
        """Say once that attached databases are gone; the connection goes on without them.

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
        """Take the replica's files up again; until that is done, the next statement tries it again."""
        self._replica.close_database(self.raw)
        new, capture = self._open()
        try:
            if self._luggage:
                self._furnish(new, self._luggage)
        except BaseException:
            self._replica.close_database(new)
            raise
        capture.recursive_triggers = self.capture.recursive_triggers
        self.raw, self.capture, self._luggage = new, capture, None

    def _furnish(self, new: apsw.Connection, luggage: Luggage) -> None:
        for make in self._recorded.values():
            make(new)
        self._lost = luggage.put_onto(new)
        self._facts.clear()

    # What is allowed

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        self._facts.noted.action(action, first, second, database, trigger)
        if action == apsw.SQLITE_PRAGMA and second is not None:
            name = (first or "").lower()
            if name in REFUSED_PRAGMAS and not self._own:
                raise UsageError(f"set PRAGMA {name}: refused here", hint=REFUSED_PRAGMAS[name])
            if name == "recursive_triggers" and not self._own and self.capture.took(second):
                return int(apsw.SQLITE_IGNORE)
        if action == apsw.SQLITE_ATTACH:
            self._attached = True
            refuse_inner_file(first or "")
        if self._own:
            return apsw.SQLITE_OK
        if self._authorizer is None or is_internal(trigger or "") or is_internal(first or "main"):
            return apsw.SQLITE_OK
        return self._authorizer(action, first, second, database, trigger)

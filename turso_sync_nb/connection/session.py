"""Run the statements and transactions of one connection to a replica.

A statement that writes runs in a transaction, its own if none is open, with the capture of what it changes.
There is a fast path, *at once*: a repeated text whose facts still hold runs without entering the gate, and
verbs wait until ``is_at_once`` is false.
"""

from __future__ import annotations

import logging
import re
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

import apsw

from turso_sync_nb.connection.authorizer import detach_inner_files
from turso_sync_nb.connection.facts import FACTS_MAX
from turso_sync_nb.connection.reopening import Reopenable
from turso_sync_nb.connection.sql_errors import pep249_error, with_note
from turso_sync_nb.connection.statements import CHANGING_THE_SCHEMA, first_word, shortened
from turso_sync_nb.engine import outbox
from turso_sync_nb.engine.databases import BUSY_TIMEOUT_MS
from turso_sync_nb.engine.gate import T, Use
from turso_sync_nb.errors import NotSupportedError, ReplicaBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.facts import Facts
    from turso_sync_nb.engine.replica import Replica

_LOG: Final = logging.getLogger("turso_sync_nb.connect")

_LOCKING: Final = re.compile(r"\bIMMEDIATE\b|\bEXCLUSIVE\b", re.IGNORECASE)
"""In a BEGIN that takes the write lock."""

ENDING: Final = frozenset({"COMMIT", "END", "RELEASE"})
"""First words of statements that may commit."""

_ITEMS: Final = "turso_sync_nb_items"
"""Savepoint around the items of an executemany."""


class Session(Reopenable):
    """The SQLite connection behind a Connection and its Cursors, which hand it their statements; private."""

    def __init__(self, replica: Replica, tables_ignore: Collection[str] = ()) -> None:
        super().__init__(replica, tables_ignore)
        self.isolation_level: str | None = None
        self.cursors: WeakSet[Cursor] = WeakSet()
        """The cursors with a statement under way."""
        self.gate = replica.gate
        self.is_at_once = False
        """Whether a known text runs without the gate: verbs wait, and its functions use the gate."""
        self.writing = False
        """Whether the statement under way may write; set before its first step."""
        self.items_changed: int | None = None
        """Rows that all items of an executemany changed, once they are done; ``None`` for one statement."""
        self.last_rowid = 0
        """SQLite's last_insert_rowid() after the last statement that did not run at once."""
        self.rows_changed = 0
        """Rows that INSERT, UPDATE and DELETE changed so far, effects of triggers not counted."""
        self.thread: int | None = None
        """The thread that used it last."""
        self.awaited = set[object]()
        """The awaited verbs that are not done; all of them run on ``awaiting_thread``."""
        self.awaiting_thread: int | None = None
        self._schema_changes = replica.schema_changes
        """``replica.schema_changes`` when the facts were taken; another value makes them invalid."""
        self._installations = 0
        """``capture.installations`` when ``known_good`` was filled; another value makes it invalid."""
        self.accounted_for = 0
        """The part of ``total_changes()`` that finished captured statements made, tape rows included."""
        self._changed_schema = False
        """Whether the open transaction changed the schema: its end makes others' facts invalid."""
        self.gate.opening(self, BUSY_TIMEOUT_MS / 1000, self._join)

    def _join(self) -> None:
        self._use(*self._open())
        self.gate.members.add(self)

    def check_open(self) -> None:
        """Refuse a closed connection, and one on which an awaited verb of another thread is running.

        Raises:
            ProgrammingError: it is closed.
            ReplicaBusyError: another thread is using it, or is about to; or the process that forked this one.
        """
        if self.closed:
            self.refuse_closed()
        thread = threading.get_ident()
        if self.awaited and thread != self.awaiting_thread:
            raise ReplicaBusyError(
                "use connection: what was awaited on it is not done",
                hint="await it first; db.interrupt() stops it; another connection can be used meanwhile",
            )
        self.thread = thread
        self.deadline.begin()
        if self._saved_state is not None:
            self.gate.statement(self, self._ensure_open)  # not amid another thread's verb: it has the files

    def interrupt(self) -> None:
        """Stop what another thread runs on this connection: SQL, and waiting for the remote."""
        if not self.closed:
            with suppress(apsw.ConnectionClosedError):  # a verb has its files
                self.raw.interrupt()
            if self._replica.remote is not None and self.thread is not None:
                self._replica.remote.stop(self.thread)

    def close(self) -> None:
        """Close it and its cursors, rolling back. Amid another thread's statement that is refused."""
        self.gate.opening(self, BUSY_TIMEOUT_MS / 1000, self._leave)

    def _leave(self) -> None:
        _ = self.in_transaction  # refuses amid another thread's statement
        self.look_again()
        for cursor in list(self.cursors):
            cursor.close()
        self._replica.databases.close(self.raw)
        self.gate.members.discard(self)  # not before: a pull waits for what is open
        self._replica.write_turns.give(self)
        self.closed = True

    # Running

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction is open; none is while another thread's verb has the files."""
        for is_last in (False, True):
            try:
                return not self.closed and self.raw.in_transaction
            except apsw.ThreadingViolationError as error:
                if not self.gate.is_anothers and is_last:
                    raise pep249_error(error) from None
            except apsw.ConnectionClosedError:
                break
        return False

    def doing(self) -> str:
        """Return the SQL of an open cursor, or say that a transaction is open; empty when idle."""
        if self.is_at_once:
            return "a statement"
        for cursor in list(self.cursors):
            if cursor.is_open:
                return f"a cursor on {shortened(cursor.sql)}"
        return "an open transaction" if self.in_transaction else ""

    def run_gated(self, work: Callable[[], T]) -> T:
        """Run ``work`` inside the gate; first move to the native VFS, if it is idle and every page is here.

        SQLite's errors become those of PEP 249.
        """
        use = Use()
        try:
            self.gate.enter(self, use)
            was_in_transaction = self._prepare()
            try:
                self._read_schema("", ())
                return work()
            except BaseException as error:  # noqa: BLE001 - every one is raised, explained
                self.raise_explained(error, was_in_transaction=was_in_transaction)
        finally:
            use.is_over = True
            self.gate.leave(self)

    def _prepare(self) -> bool:
        """Prepare the connection for a statement; return whether a transaction is open.

        Raises:
            ProgrammingError: another thread runs a statement on it, which is left alone.
        """
        _ = self.in_transaction
        self._ensure_open()
        self._tell_lost()
        if self.lazy is not None and self._replica.databases.can_go_native(self.raw) and not self.doing():
            self.reopen()
        self._attached = self.writing = False
        return self.raw.in_transaction

    def statement(
        self,
        sql: str,
        work: Callable[[Facts], object],
        *,
        items: Sequence[Any] = (),
        begins: bool = True,
        alone: bool = False,
    ) -> Facts:
        """Have ``work`` run the one statement ``sql``: what it changes is captured in its transaction.

        ``items`` are what it is run with. With ``begins`` a transaction is opened first where Python's
        sqlite3 would open one.

        Raises:
            ProgrammingError: ``alone`` is set, and another statement follows in the text.
        """
        use = Use()
        try:
            self.gate.enter(self, use)
            was_in_transaction = self._prepare()
            try:
                self._read_schema(sql, items)
                facts = self._facts_in_transaction(sql, begins=begins, alone=alone)
                self.writing = not facts.is_readonly
                if facts.writes:
                    self.check_there(sql, facts)
                    self._captured(sql, facts, work)
                else:
                    self._uncaptured(sql, facts, work)
                self._finished(sql, facts)
                self.last_rowid = self.raw.last_insert_rowid()
                if self._attached:
                    detach_inner_files(self.raw)
            except BaseException as error:  # noqa: BLE001 - every one is raised, explained
                self.raise_explained(error, was_in_transaction=was_in_transaction)
        finally:
            use.is_over = True
            self._give_turn()
            self.gate.leave(self)
        return facts

    def _facts_in_transaction(self, sql: str, *, begins: bool, alone: bool) -> Facts:
        """Open the transaction that ``sql`` needs, if any, and return the facts of ``sql`` in it."""
        facts = self.facts_of(sql)
        if alone:
            facts.refuse_more()
        if facts.recursive_triggers is not None:
            with self.of_ours():
                self.capture.set_recursive_triggers(on=facts.recursive_triggers)
        if self.raw.in_transaction:
            if facts.word in ENDING:
                self._replica.check_there()
            return facts
        if facts.writes or facts.word in ("BEGIN", "SAVEPOINT"):
            self._replica.check_there()
            self._begin_tape()
        if facts.writes or (facts.word == "BEGIN" and _LOCKING.search(sql)):
            self._take_turn()
            facts = self.facts_of(sql)
        if begins and self.isolation_level and facts.is_changing:
            self.do(self._implicit_begin(facts))
            facts = self.facts_of(sql)  # another connection may have committed meanwhile
        return facts

    def _take_turn(self) -> None:
        """Wait until the connections that asked earlier have ended their writing transactions.

        No longer than SQLite would wait for its lock; then let SQLite raise that the database is locked.
        """
        if self._replica.write_turns.take(self, 0):
            return
        timeout_ms = int(self.do("PRAGMA busy_timeout")[0][0])
        if not self._replica.write_turns.take(self, timeout_ms / 1000):
            self.raw.set_busy_timeout(0)
            try:
                self.do("BEGIN IMMEDIATE")
                self.do("ROLLBACK")
            finally:
                self.raw.set_busy_timeout(timeout_ms)

    def _give_turn(self) -> None:
        """End the turn of this connection, if it has no open transaction."""
        with suppress(apsw.ThreadingViolationError):  # another thread has the connection, and gives it
            if not self.in_transaction:
                self._replica.write_turns.give(self)

    def facts_of(self, sql: str) -> Facts:
        """Return the facts of ``sql`` under the schema that its transaction sees, or will see.

        SQLite notices another connection's change when a statement is run, not when it is prepared.
        """
        changes = self._replica.schema_changes
        if is_other := self._schema_changes != changes:
            self.forget_facts()
            self.do("SELECT 1 FROM main.sqlite_schema LIMIT 1")
            if not self.raw.in_transaction:  # that may go on seeing the former schema until it ends
                self._schema_changes = changes
        if sql not in self._facts and first_word(sql) != "SELECT":
            with self.of_ours():
                self.capture.compile_as_set(is_certain=is_other)
        return self.not_overridden(sql, self._facts.of(self.raw, sql, self.capture.uninstall))

    def _implicit_begin(self, facts: Facts) -> str:
        """Return the BEGIN before a statement that changes rows.

        One that writes takes the write lock at once, so that it waits for another's: after a read none can.
        """
        is_upgraded = self.isolation_level == "DEFERRED" and facts.writes
        return f"BEGIN {'IMMEDIATE' if is_upgraded else self.isolation_level}"

    def _captured(self, sql: str, facts: Facts, work: Callable[[Facts], object]) -> None:
        """Run a statement with its capture, in a transaction of its own if none is open."""
        alone, before = not self.raw.in_transaction, self.unaccounted
        try:
            if alone:
                self.do("BEGIN IMMEDIATE")
            self._own = True
            self.capture.statement(sql, facts, lambda: self._accounted(sql, facts, work))
            if alone:
                self.do("COMMIT")
            self._tell_notes()
        except BaseException as error:
            if alone:
                self.end_failed(error)
            raise
        finally:
            self._own = False
            self.accounted_for += self.unaccounted - before

    def _accounted(self, sql: str, facts: Facts, work: Callable[[Facts], object]) -> None:
        before, self.items_changed = self.unaccounted, None
        self._own = False
        try:
            work(facts)
        except BaseException:
            self._own = True
            self._account_what_stayed(sql, facts, self.unaccounted - before)
            raise
        changed = self.raw.changes() if self.items_changed is None else self.items_changed
        self.check_captured(sql, facts, self.unaccounted - before, changed, is_first=True)
        self._own = True

    def _account_what_stayed(self, sql: str, facts: Facts, all_changed: int) -> None:
        """Check the changes of a failed statement: after OR FAIL the rows before the failing one stay."""
        changed = self.raw.changes() if all_changed else 0  # else those of the statement before may be told
        if self.items_changed is None and changed and self.raw.in_transaction:
            self.check_captured(sql, facts, all_changed, changed, is_first=True)

    @property
    def unaccounted(self) -> int:
        """The part of SQLite's ``total_changes()`` that no finished captured statement made.

        A function in a statement may have run such statements.
        """
        return self.raw.total_changes() - self.accounted_for

    def check_captured(
        self, sql: str, facts: Facts, all_changed: int, changed: int, *, is_first: bool = False
    ) -> None:
        """Check that every change of ``sql`` is on the tape; if not, roll the transaction back.

        Raises:
            NotSupportedError: a change is missing.
        """
        try:
            self.capture.check_captured(sql, facts.word, all_changed, changed, is_first=is_first)
        except NotSupportedError:
            self.do("ROLLBACK")
            raise

    def _uncaptured(self, sql: str, facts: Facts, work: Callable[[Facts], object]) -> None:
        before, self.items_changed = self.unaccounted, None
        if facts.is_unlisted:
            self.unlisted = self.unlisted or sql
        if facts.may_recur:
            with self.of_ours():
                self.capture.recur_as_set()
        if facts.word == "ALTER":  # of a TEMP or attached table: SQLite then looks at every TEMP trigger
            with self.of_ours():
                self.capture.uninstall()
        work(facts)
        # full-text indexes write their own tables before they are read, and at a transaction's end
        may_count = facts.may_count or self.capture.has_virtual_tables
        if self.unaccounted != before and not may_count:
            self.undo_uncaptured(sql)

    def undo_uncaptured(self, sql: str) -> NoReturn:
        """Roll back a statement that changed rows though it was taken for one that reads.

        Raises:
            NotSupportedError: always; it names the statement.
        """
        if self.raw.in_transaction:
            self.do("ROLLBACK")
        self._tell_uncaptured(sql)

    def _tell_uncaptured(self, sql: str) -> NoReturn:
        raise NotSupportedError(
            f"run {shortened(sql)}: it made changes that were not captured, and its transaction was rolled "
            "back; write them with INSERT, UPDATE or DELETE"
        )

    def _tell_notes(self) -> None:
        """Log the capture's notes about the statement, and add them to the next report."""
        while self.capture.notes:
            note = self.capture.notes.pop()
            _LOG.warning("%s", note)
            self._replica.note(note)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo the block if it fails; earlier statements of the open transaction stay."""
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

    def _finished(self, sql: str, facts: Facts) -> None:
        """Update counters, facts and observers after a statement."""
        in_transaction = self.raw.in_transaction
        if facts.is_changing or (self.writing and facts.word == "WITH"):
            self.rows_changed += self.raw.changes() if self.items_changed is None else self.items_changed
        if not in_transaction:
            self.unlisted = ""
            self.capture.transaction_ended()
            if self._changed_schema:
                self._count_schema_change()
            self._changed_schema = False
            if self.writing or facts.word in ("COMMIT", "END", "RELEASE"):
                self._replica.observers.notify()
        if facts.word == "ROLLBACK":
            self.capture.forget()
        if facts.word in CHANGING_THE_SCHEMA:
            self.forget_facts()
            self._count_schema_change()
            self._changed_schema = in_transaction
        self._know(sql, facts)

    def _count_schema_change(self) -> None:
        was_right = self._schema_changes == self._replica.schema_changes
        self._replica.schema_changes += 1
        if was_right:
            self._schema_changes = self._replica.schema_changes

    # Running at once

    def _know(self, sql: str, facts: Facts) -> None:
        """Add ``sql`` to ``known_good``, or clear that if the statement made its texts invalid."""
        is_same = self._installations == self.capture.installations
        if not (facts.concerns_rows and is_same) or len(self.known_good) >= FACTS_MAX:
            self.look_again()
            self._installations = self.capture.installations
        if facts.writes:
            is_good = facts.is_changing and self.capture.is_plain_now
        else:
            is_good = facts.is_readonly and not (facts.may_count or self.capture.has_virtual_tables)
        if facts.concerns_rows and is_good:
            self.known_good[sql] = facts

    def may_run_at_once(self, facts: Facts) -> bool:
        """Return whether a known text may run without the gate; ``is_at_once`` is set, so verbs wait."""
        is_old = self._schema_changes != self._replica.schema_changes
        if is_old or self.gate.is_wanted or self.awaited or self.deadline.is_set:
            return False
        if self.lazy is not None:
            self.thread = threading.get_ident()
            if self._replica.databases.can_go_native(self.raw):
                return False
        return not facts.writes or self.capture.is_plain_now

    def _begin_tape(self) -> None:
        """Make the tape ready; on this connection if it has a cursor, whose snapshot would become stale."""
        if self._replica.capture_ids.has_begun:
            return
        if not self.doing():
            with outbox.database(self._replica) as raw:
                self._replica.capture_ids.begin(raw)
            return
        rowid = self.raw.last_insert_rowid()
        try:
            with self.of_ours():
                self._replica.capture_ids.begin(self.raw)
        finally:
            self.raw.set_last_insert_rowid(rowid)

    def raise_explained(self, error: BaseException, *, was_in_transaction: bool) -> NoReturn:
        """Raise ``error`` as its PEP 249 class, with a note if it rolled back the open transaction.

        A Ctrl-C can be raised where SQLite has done half a statement and does not undo it (``lazy_vfs``
        says where): then the whole transaction is rolled back, as SQLite does after an I/O error.
        """
        unlisted = self.unlisted
        if not self.raw.in_transaction:
            self.unlisted = ""
            if unlisted and getattr(error, "extendedresult", 0) == apsw.SQLITE_CONSTRAINT_COMMITHOOK:
                self._tell_uncaptured(unlisted)
        explained = pep249_error(error)
        if self.writing and isinstance(error, KeyboardInterrupt) and self.raw.in_transaction:
            self.do("ROLLBACK")
        if not self.raw.in_transaction:
            self._replica.write_turns.give(self)
            self.capture.transaction_ended()
        if was_in_transaction and not self.raw.in_transaction:
            explained = with_note(explained, "the open transaction was rolled back")
        if explained is error:
            raise error
        raise explained from None

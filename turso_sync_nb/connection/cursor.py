"""Cursor: PEP 249 as Python's sqlite3 behaves.

Two differences, both stated in the public rulings: a statement that writes runs to its end at once, its
returned rows kept; and values are bound by the stricter rules of ``parameters``.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from functools import partial
from itertools import repeat, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.connection.parameters import Parameters, are_bindable, bindings, is_bindable
from turso_sync_nb.connection.row import RowFactoryMixin, texts_made_by
from turso_sync_nb.connection.statements import CHANGING, split
from turso_sync_nb.errors import ProgrammingError
from turso_sync_nb.progress import WORKING, report_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import apsw

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.facts import Columns, Description, Facts
    from turso_sync_nb.connection.sql import SqlConnection


Row = tuple[Any, ...]

ROWCOUNT_UNKNOWN: Final = -1

_NO_ROWS: Final[Iterator[Row]] = iter(())


def _noted(items: list[Parameters], changes: Callable[[], int], seen: list[int]) -> Iterator[Parameters]:
    """Give ``items`` on, and note before each what ``changes`` says of the one before: all of it in C."""
    return map(itemgetter(0), zip(items, map(seen.append, starmap(changes, repeat(()))), strict=False))


class Cursor(RowFactoryMixin):
    """Runs statements on one connection and hands out their rows.

    ``description`` holds seven-tuples of which the first is the column's name, ``declared`` the declared type
    of each column, ``None`` for an expression; ``rowcount`` the rows that a changing statement changed,
    otherwise -1; ``lastrowid`` the rowid that the connection's last INSERT or REPLACE gave, as of the last
    ``execute`` of this cursor; ``None`` before it.
    """

    arraysize = 1
    description: Description | None = None
    rowcount = ROWCOUNT_UNKNOWN
    lastrowid: int | None = None
    sql = ""
    _columns: Columns = ()
    _rows: Iterator[Row] = _NO_ROWS
    _ahead: Row | None = None
    _raw: apsw.Cursor | None = None
    _in_transaction = False
    _gives_back = False
    """Whether the next statement that reads is to have ``_raw`` once that has no further row."""
    _closed = False

    def __init__(self, connection: SqlConnection) -> None:
        self.connection = cast("Connection", connection)
        self._session = connection._session  # noqa: SLF001 - a cursor is one unit with its connection
        self._row_factory = connection.row_factory

    @property
    def declared(self) -> tuple[str | None, ...]:
        """The declared type of each column, ``None`` for an expression."""
        return tuple(declared for _, declared in self._columns)

    # Running

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run one statement; its rows are fetched from this cursor.

        Raises:
            ProgrammingError: more than one statement, or parameters that do not fit.
            DatabaseError: SQLite's error, also as APSW's class; a :class:`SyncError` from a fetch.
        """
        session = self._session
        facts = session.known_good.get(sql) if type(sql) is str else None
        if (
            facts is not None
            and self._raw is None
            and self._ahead is None
            and not (self._closed or session.is_at_once)
            and self.connection.text_factory is str
            and is_bindable(parameters)
        ):
            try:
                session.is_at_once = True  # no call between: a Ctrl-C could come there
                if session.may_run_at_once(facts):
                    self._run_at_once(sql, facts, parameters)
                    return self
            finally:
                session.is_at_once = False
        self._start(sql)
        bound = bindings(parameters)
        try:
            session.statement(sql, lambda facts: self._run(sql, facts, bound), items=[bound], alone=True)
        except BaseException:
            self._release()  # what failed is not under way any more
            raise
        self.lastrowid = session.last_rowid  # of any statement, as in sqlite3
        return self

    def executemany(self, sql: str, seq_of_parameters: Iterable[Parameters]) -> Cursor:
        """Run one changing statement once for each of ``seq_of_parameters``: all of them, or none."""
        self._start(sql)
        if first_word(sql) not in CHANGING:
            raise ProgrammingError("run executemany: only INSERT, UPDATE, DELETE and REPLACE can be repeated")
        session, changed, done = self._session, 0, 0
        item: Parameters = ()
        given = seq_of_parameters
        checked = given if isinstance(given, list) and are_bindable(given) else []

        seen: list[int] = []

        def bound() -> Iterator[Any]:
            nonlocal changed, done, item
            changes = session.raw.changes
            for item in given:
                report_progress(WORKING)
                yield bindings(item)
                changed += changes()  # asked for the next item, SQLite is done with this one
                done += 1

        def run(facts: Facts) -> None:
            nonlocal changed
            with session.all_or_nothing(), closing(session.raw.cursor()) as raw:
                session.items_changed = 0  # of items that fail none stays
                session.prefetch_for(sql, facts, checked, lambda: max(done, len(seen) - 1))
                items = _noted(checked, session.raw.changes, seen) if checked else bound()
                try:
                    deque(raw.executemany(sql, items), maxlen=0)
                except (OverflowError, UnicodeEncodeError):
                    bindings(checked[len(seen) - 1] if seen else item)  # says which value, if one of these
                    raise
                if seen:
                    changed = sum(seen[1:]) + session.raw.changes()
                session.items_changed = changed

        session.statement(sql, run, items=checked, alone=True)
        self.rowcount = changed
        return self

    def executescript(self, sql_script: str) -> Cursor:
        """Commit, then run any number of statements without parameters; their rows are dropped."""
        self._start(sql_script)
        self.connection.commit()
        try:
            for statement in split(sql_script):
                self._session.statement(statement, partial(self._run_to_end, statement), begins=False)
        finally:
            self.description, self._columns = None, ()
        return self

    def _start(self, sql: str) -> None:
        if self._closed:
            raise ProgrammingError("use cursor: it is closed")
        self._session.check_open()
        if not isinstance(sql, str):
            raise ProgrammingError(f"execute SQL: expected text, not {type(sql).__name__}")
        if self._raw is not None or self._ahead is not None:
            self._release()
        self.sql, self.description, self._columns, self.rowcount = sql, None, (), ROWCOUNT_UNKNOWN
        self._in_transaction = self._session.in_transaction

    def _run(self, sql: str, facts: Facts, bound: Any) -> None:
        session = self._session
        session.prefetch_for(sql, facts, [bound])
        raw = self._raw = session.raw.cursor()
        self.description, self._columns = facts.description, facts.columns
        if (text := self.connection.text_factory) is not str:
            raw.row_trace = texts_made_by(text)
        # SQLite reads freed memory where a kept EXPLAIN meets another schema: it never checks the cookie.
        self._rows = raw.execute(sql, bound, can_cache=facts.word != "EXPLAIN")
        if facts.is_readonly and facts.columns:
            session.cursors.add(self)
        else:
            self._rows = iter(deque(self._rows))
            self._release_raw()
        self._ahead = next(self._rows, None)
        if facts.is_changing:
            self.rowcount = session.raw.changes()

    def _run_to_end(self, sql: str, facts: Facts) -> None:
        self._run(sql, facts, None)
        deque(self._rows, maxlen=0)
        self._release()

    def _run_at_once(self, sql: str, facts: Facts, bound: tuple[Any, ...]) -> None:
        session = self._session
        self.sql = sql
        self.description, self._columns = facts.description, facts.columns
        try:
            if facts.writes:
                self._write_at_once(sql, facts, bound)
            else:
                self._read_at_once(sql, facts, bound)
        except BaseException as error:  # noqa: BLE001 - every one is raised, explained
            session.look_again()
            session.writing = not facts.is_readonly
            self._release()
            if isinstance(error, OverflowError | UnicodeEncodeError):
                bindings(bound)  # says which value it is
            session.raise_explained(error, was_in_transaction=self._in_transaction)

    def _write_at_once(self, sql: str, facts: Facts, bound: tuple[Any, ...]) -> None:
        session = self._session
        raw = session.raw
        before = session.unaccounted
        self._in_transaction = True
        rows = session.writer.execute(sql, bound)
        if facts.columns:
            self._rows = iter(deque(rows))
            self._ahead = next(self._rows, None)
        self.rowcount = changed = raw.changes()
        session.rows_changed += changed
        all_changed = session.unaccounted - before
        session.check_captured(sql, facts, all_changed, changed)
        session.accounted_for += all_changed
        self.lastrowid = raw.last_insert_rowid()

    def _read_at_once(self, sql: str, facts: Facts, bound: tuple[Any, ...]) -> None:
        session = self._session
        raw = session.raw
        session.prefetch_for(sql, facts, [bound])
        self._in_transaction = raw.in_transaction
        before = session.unaccounted
        cursor, session.reader = session.reader or raw.cursor(), None
        self._rows = self._raw = cursor
        cursor.execute(sql, bound)
        self._ahead = next(cursor, None)
        if session.unaccounted != before:
            session.undo_uncaptured(sql)
        self.lastrowid = raw.last_insert_rowid()
        session.cursors.add(self)
        self._gives_back = True
        if self._ahead is None:
            self._finish()

    # Fetching

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._closed or self._session.closed:
            raise ProgrammingError("fetch from cursor: it is closed")
        row = self._ahead
        try:
            self._ahead = next(self._rows, None)
        except BaseException as error:  # noqa: BLE001 - every one is raised, explained
            self._release()
            self._session.raise_explained(error, was_in_transaction=self._in_transaction)
        if self._ahead is None:  # as in sqlite3, a cursor whose last row is fetched is done
            self._finish()
        if row is None:
            raise StopIteration
        return self.row_factory(self, row) if self.row_factory else row

    def fetchone(self) -> Any:
        """Return the next row, or ``None`` when there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows (default ``arraysize``)."""
        wanted = self.arraysize if size is None else size
        if wanted < 0:
            raise ProgrammingError(f"fetch {wanted} rows: give 0 or more")
        return [row for _, row in zip(range(wanted), self, strict=False)]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        if self.row_factory is not None or self._closed or self._session.closed:
            return list(self)
        try:
            return self._session.run_gated(lambda: [] if self._ahead is None else [self._ahead, *self._rows])
        finally:  # also when it failed: what cannot go on would keep every pull waiting
            self._release()

    # The end

    @property
    def is_open(self) -> bool:
        """Return whether a statement is under way, with rows not yet fetched from SQLite."""
        return self._raw is not None

    def close(self) -> None:
        """Close the cursor; may be repeated."""
        self._release()
        self._closed = True

    def _finish(self) -> None:
        """End a statement that has no further row; give its idle cursor back to the session."""
        if not self._gives_back:
            self._release()
            return
        self._rows = _NO_ROWS
        self._session.reader, self._raw, self._gives_back = self._raw, None, False
        self._session.cursors.discard(self)  # last: before, no verb exchanges what the reader is of

    def _release(self) -> None:
        self._rows, self._gives_back = _NO_ROWS, False
        self._ahead = None
        self._release_raw()

    def _release_raw(self) -> None:
        if self._raw is not None:
            self._session.cursors.discard(self)
            self._raw.close()
            self._raw = None

    def setinputsizes(self, sizes: object, /) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: object, column: object = None, /) -> None:
        """Do nothing, as PEP 249 allows."""

    def __repr__(self) -> str:
        return f"<turso_sync_nb.Cursor on {self.connection.path}>"

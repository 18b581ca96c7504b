"""Cursor: PEP 249 as Python's sqlite3 behaves.

Two differences, both stated in the public rulings: a statement that writes runs to its end at once, its
returned rows kept; and values are bound by the stricter rules of ``parameters``.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.connection.parameters import Parameters, are_bindable, bindings
from turso_sync_nb.connection.row import RowFactoryMixin, texts_made_by
from turso_sync_nb.connection.statements import is_changing, split
from turso_sync_nb.errors import ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

    from turso_sync_nb.connection.connection import Connection

Row = tuple[Any, ...]
Description = tuple[tuple[str, None, None, None, None, None, None], ...]

ROWCOUNT_UNKNOWN: Final = -1


class Cursor(RowFactoryMixin):
    """Runs statements on one connection and hands out their rows.

    ``description`` holds seven-tuples of which the first is the column's name, ``declared`` the declared type
    of each column, ``None`` for an expression; ``rowcount`` the rows that a changing statement changed,
    otherwise -1; ``lastrowid`` the rowid that the connection's last INSERT or REPLACE gave, as of the last
    ``execute`` of this cursor; ``None`` before it.
    """

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session = connection._session  # noqa: SLF001 - a cursor is one unit with its connection
        self._session.cursors.add(self)
        self._row_factory = connection.row_factory
        self.description: Description | None = None
        self.declared: tuple[str | None, ...] = ()
        self.rowcount = ROWCOUNT_UNKNOWN
        self.lastrowid: int | None = None
        self.sql = ""
        self._rows: Iterator[Row] = iter(())
        self._ahead: Row | None = None
        self._raw: apsw.Cursor | None = None
        self._in_transaction = False
        self._closed = False

    # Running

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement; its rows are fetched from this cursor.

        Raises:
            ProgrammingError: more than one statement, or parameters that do not fit.
            DatabaseError: SQLite's error, also as APSW's class; a :class:`SyncError` from a fetch.
        """
        self._start(sql)
        bound = bindings(parameters)
        try:
            with self._session.statement(sql, alone=True):
                self._run(sql, bound)
                self.lastrowid = self._session.raw.last_insert_rowid()  # of any statement, as in sqlite3
        except BaseException:
            self._release()  # what failed is not under way any more
            raise
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run one changing statement once for each item of ``parameters``: all of them, or none."""
        self._start(sql)
        if not is_changing(sql):
            raise ProgrammingError("run executemany: only INSERT, UPDATE, DELETE and REPLACE can be repeated")
        changed = done = 0
        item: Parameters = ()
        checked = parameters if isinstance(parameters, list) and are_bindable(parameters) else []

        def bound() -> Iterator[Any]:
            nonlocal changed, done, item
            for item in parameters:
                yield item if checked else bindings(item)
                changed += changes()  # asked for the next item, SQLite is done with this one
                done += 1

        with (
            self._session.statement(sql, alone=True),
            self._session.all_or_nothing(),
            closing(self._session.raw.cursor()) as raw,
        ):
            self._session.writing = True
            self._session.prefetch_for(sql, checked, lambda: done)
            changes = self._session.raw.changes
            try:
                deque(raw.executemany(sql, bound()), maxlen=0)
            except (OverflowError, UnicodeEncodeError):
                bindings(item)  # says which value it is, if it is one of these
                raise
            self._session.items_changed = changed
        self._session.rows_changed += changed - self._session.raw.changes()
        self.rowcount = changed
        return self

    def executescript(self, sql: str, /) -> Cursor:
        """Commit, then run any number of statements without parameters; their rows are dropped."""
        self._start(sql)
        self.connection.commit()
        for statement in split(sql):
            with self._session.statement(statement, begins=False):
                self._run(statement, None)
        return self

    def _start(self, sql: str) -> None:
        if self._closed:
            raise ProgrammingError("use cursor: it is closed")
        self._session.check_open()
        if not isinstance(sql, str):
            raise ProgrammingError(f"execute SQL: expected text, not {type(sql).__name__}")
        if self._raw is not None or self._ahead is not None:
            self._release()
        self.sql, self.description, self.rowcount = sql, None, ROWCOUNT_UNKNOWN
        self._in_transaction = self._session.in_transaction

    def _run(self, sql: str, bound: Any) -> None:
        raw = self._raw = self._session.raw.cursor()

        def before_first_step(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            self._session.writing = not cursor.is_readonly
            self._session.prefetch_for(sql, [bound])
            columns = cursor.get_description()
            self.description = (
                tuple((name, None, None, None, None, None, None) for name, _ in columns) or None
            )
            self.declared = tuple(declared for _, declared in columns)
            return True

        raw.exec_trace = before_first_step
        if (text := self.connection.text_factory) is not str:
            raw.row_trace = texts_made_by(text)
        # SQLite reads freed memory where a kept EXPLAIN meets another schema: it never checks the cookie.
        self._rows = raw.execute(sql, bound, can_cache=first_word(sql) != "EXPLAIN")
        raw.exec_trace = None  # it holds this cursor, and would keep one that is dropped open
        if self._session.writing:
            self._rows = iter(deque(self._rows))
        elif self.description is None:
            self._rows = iter(())
        if self._session.writing or self.description is None:
            self._release_raw()
        self._ahead = next(self._rows, None)
        if is_changing(sql):
            self.rowcount = self._session.raw.changes()

    # Fetching

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._closed:
            raise ProgrammingError("fetch from cursor: it is closed")
        row = self._ahead
        try:
            self._ahead = next(self._rows, None)
        except BaseException as error:  # noqa: BLE001 - every one is raised, explained
            self._release()
            self._session.raise_explained(error, was_in_transaction=self._in_transaction)
        if self._ahead is None:  # as in sqlite3, a cursor whose last row is fetched is done
            self._release()
        if row is None:
            raise StopIteration
        return self.row_factory(self, row) if self.row_factory else row

    def fetchone(self) -> Any:
        """Return the next row, or ``None`` when there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows (default ``arraysize``)."""
        wanted = self.arraysize if size is None else size
        return [row for _, row in zip(range(wanted), self, strict=False)]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        if self.row_factory is not None or self._closed:
            return list(self)
        with self._session.running():
            rows: list[Any] = [] if self._ahead is None else [self._ahead, *self._rows]
        self._release()
        return rows

    # The end

    @property
    def is_open(self) -> bool:
        """Return whether a statement is under way, with rows not yet fetched from SQLite."""
        return self._raw is not None

    def close(self) -> None:
        """Close the cursor; may be repeated."""
        self._release()
        self._closed = True

    def _release(self) -> None:
        self._rows = iter(())
        self._ahead = None
        self._release_raw()

    def _release_raw(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def setinputsizes(self, sizes: object, /) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: object, column: object = None, /) -> None:
        """Do nothing, as PEP 249 allows."""

    def __repr__(self) -> str:
        return f"<turso_sync_nb.Cursor on {self.connection.path}>"

"""Local frames, lists and arrays in a query: ``FROM :frame``, ``WHERE id IN :ids``.

A parameter where SQL wants a table is a virtual table for the time of one :meth:`Connection.run`, under a
name that nobody uses. It has no place in any schema, its rows are read from the frame as SQLite asks for
them, and it is gone afterwards. Nothing is made of the values but what a bound parameter is.

An index that is data is among the columns, as for ``write_frame``; a list has the one column ``value``.
"""

from __future__ import annotations

import itertools
import re
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.names import PREFIX, quoted
from turso_sync_nb.connection.column_values import UnboundValueError, column_values
from turso_sync_nb.connection.frames import is_tabular, series_of
from turso_sync_nb.connection.writing import declared_type, incoming
from turso_sync_nb.errors import Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from turso_sync_nb.connection.session import Session

ROWS_TOGETHER: Final = 2_000
"""Rows whose values are converted at once."""

LOOK_UP_COST: Final = 1_000.0
"""SQLite's measure for finding rows by a value, done in Python: a scan is better, if there is a choice."""

_PARAMETER: Final = re.compile(r"[:@$]([^\W\d]\w*)")
_TOKEN: Final = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?(?:\*/|$))|(?P<text>'(?:[^']|'')*'?)"""
    r"""|(?P<name>"(?:[^"]|"")*"?|`[^`]*`?|\[[^\]]*\]?|[^\W\d]\w*)|(?P<parameter>[:@$][^\W\d]\w*)|(?P<other>.)""",
    re.DOTALL,
)
_CLAUSES: Final = frozenset(
    {"SELECT", "FROM", "JOIN", "WHERE", "GROUP", "ORDER", "HAVING", "VALUES", "SET", "LIMIT", "RETURNING"}
)
_TABLES: Final = frozenset({"FROM", "JOIN"})
_NUMBERS: Final = frozenset({"INTEGER", "REAL", "BOOLEAN"})
_TEXTS: Final = frozenset({"TEXT", "DATE", "TIMESTAMP", "TIME"})
_COLUMNS: Final = ("dict_keys", "dict_values", "ndarray", "Series", "Index", "Array")
_EQUAL: Final = apsw.SQLITE_INDEX_CONSTRAINT_EQ

_numbers = itertools.count(1)


@dataclass
class LocalTable:
    """A frame as a table of SQLite's; ``at`` is the row that a scan of it has come to."""

    variable: str
    frame: pd.DataFrame
    name: str = field(default_factory=lambda: f"{PREFIX}local_{next(_numbers)}")
    at: int = 0
    has_guessed: bool = False
    places: dict[int, tuple[dict[Any, int], array[int]]] = field(default_factory=dict)
    columns: dict[int, list[Any]] = field(default_factory=dict)
    """Whole columns, of which rows were looked up."""

    def __post_init__(self) -> None:
        self.length = len(self.frame)
        self.declared = [declared_type(self.frame.iloc[:, at]) for at in range(self.frame.shape[1])]
        listed = ", ".join(
            f"{quoted(str(name))} {kind}"
            for name, kind in zip(self.frame.columns, self.declared, strict=True)
        )
        self.schema = f"CREATE TABLE local ({listed})"

    def values(self, column: int, first: int, last: int) -> list[Any]:
        """Return some values of a column.

        Raises:
            UsageError: SQLite has no type for one.
        """
        try:
            return column_values(self.frame.iloc[first:last, column])
        except UnboundValueError as error:
            raise UsageError(
                f"read :{self.variable}, column {self.frame.columns[column]}, row {first + error.at}: "
                f"{error.reason}",
                hint="convert the column, or leave it out: frame[[...]]",
            ) from None

    def column(self, column: int) -> list[Any]:
        """Return all values of a column."""
        if column not in self.columns:
            self.columns[column] = self.values(column, 0, self.length)
        return self.columns[column]

    def kind(self, column: int) -> str:
        """Return ``number`` or ``text`` where all values of a column are, else nothing."""
        declared = self.declared[column]
        return "number" if declared in _NUMBERS else "text" if declared in _TEXTS else ""

    def rows_with(self, column: int, value: Any) -> Sequence[int] | None:
        """Return the rows that may have ``value`` in a column; None if all may.

        SQLite compares again. It may convert where a number meets text, so only like is looked up.
        """
        if value is None:
            return ()
        kind = "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else ""
        if kind != self.kind(column):
            return None
        if column not in self.places:
            first: dict[Any, int] = {}
            following = array("q", [-1]) * self.length
            everything = self.column(column)
            for row in range(self.length - 1, -1, -1):
                following[row] = first.get(everything[row], -1)
                first[everything[row]] = row
            self.places[column] = first, following
        first, following = self.places[column]
        rows, row = [], first.get(value, -1)
        while row >= 0:
            rows.append(row)
            row = following[row]
        return rows

    def register(self, raw: apsw.Connection, *, speculative: bool = False) -> None:
        """Have ``raw`` know the table; a speculative reader begins where the true one is."""
        module = _Module(self, speculative=speculative)
        raw.create_module(
            self.name, module, use_bestindex_object=True, eponymous_only=True, read_only=True  # type: ignore[arg-type] # a part of the protocol
        )  # fmt: skip

    def register_speculative(self, raw: apsw.Connection) -> None:
        """Register it on the database of speculative runs."""
        self.register(raw, speculative=True)

    def unregister(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know the table no more."""
        raw.create_module(self.name, None)

    def close(self) -> None:
        """Release the frame, even if the table is still referenced."""
        self.frame, self.length = self.frame.iloc[:0], 0
        self.places.clear()
        self.columns.clear()


class _Module:
    """The table on one connection: module, table and, by :meth:`Open`, its cursors."""

    def __init__(self, table: LocalTable, *, speculative: bool) -> None:
        self.table = table
        self.speculative = speculative

    def Create(self, *_arguments: object) -> tuple[str, _Module]:  # noqa: N802 - APSW's name
        return self.table.schema, self

    Connect = Create

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # noqa: N802 - APSW's name
        """Offer a look-up by one column that is compared as Python compares, else all rows."""
        for at in range(info.nConstraint):
            column = info.get_aConstraint_iColumn(at)
            if (
                info.get_aConstraint_usable(at)
                and info.get_aConstraint_op(at) == _EQUAL
                and column >= 0
                and self.table.kind(column)
                and info.get_aConstraint_collation(at) == "BINARY"
            ):
                info.set_aConstraintUsage_argvIndex(at, 1)
                info.idxNum, info.estimatedCost, info.estimatedRows = column + 1, LOOK_UP_COST, 2
                return True
        info.estimatedCost = info.estimatedRows = max(1, self.table.length)
        return True

    def Open(self) -> _Cursor:  # noqa: N802 - APSW's name
        return _Cursor(self.table, speculative=self.speculative)

    def Disconnect(self) -> None:  # noqa: N802 - APSW's name
        pass

    Destroy = Disconnect


class _Cursor:
    """One scan of the table, or the rows of one look-up."""

    def __init__(self, table: LocalTable, *, speculative: bool) -> None:
        self._table = table
        self._speculative = speculative
        self._rows: Sequence[int] = ()
        self._next = 0
        self._first = self._last = 0
        self._columns: dict[int, list[Any]] = {}
        self._scans = False

    def Filter(self, number: int, _name: str | None, values: tuple[Any, ...] | None) -> None:  # noqa: N802 - APSW
        found = self._table.rows_with(number - 1, (values or (None,))[0]) if number else None
        self._scans = found is None
        self._next = self._table.at if self._scans and self._speculative else 0
        self._rows = range(self._table.length) if found is None else found
        self._first = self._last = 0

    def Eof(self) -> bool:  # noqa: N802 - APSW's name
        is_over = self._next >= len(self._rows)
        if is_over and self._scans and not self._speculative:
            self._table.at = 0
        return is_over

    def Next(self) -> None:  # noqa: N802 - APSW's name
        self._next += 1
        if self._scans and not self._speculative:
            self._table.at = self._next

    def Rowid(self) -> int:  # noqa: N802 - APSW's name
        return self._rows[self._next]

    def Column(self, number: int) -> Any:  # noqa: N802 - APSW's name
        row = self._rows[self._next]
        if number < 0:
            return row
        if not self._scans:
            return self._table.column(number)[row]
        if not self._first <= row < self._last:
            self._first = row - row % ROWS_TOGETHER
            self._last = min(self._first + ROWS_TOGETHER, self._table.length)
            self._columns = {}
        values = self._columns.get(number)
        if values is None:
            values = self._columns[number] = self._values(number)
        return values[row - self._first]

    def _values(self, number: int) -> list[Any]:
        try:
            return self._table.values(number, self._first, self._last)
        except Error as error:
            if self._speculative:
                raise apsw.SQLError(str(error)) from None
            raise

    def Close(self) -> None:  # noqa: N802 - APSW's name
        self._columns = {}


def find_local_tables(sql: str, parameters: Mapping[str, Any]) -> tuple[str, list[LocalTable]]:
    """Return ``sql`` with tables' names for the parameters where a table belongs, and the tables.

    A parameter stays one where its value is no frame and no list, or where SQL wants a value.

    Raises:
        UsageError: the frame cannot be a table: a column twice.
    """
    values = getattr(parameters, "raw", parameters)
    names = {name for name in _PARAMETER.findall(sql) if name in values}
    many = {name: values[name] for name in names if is_tabular(values[name]) or _is_list(values[name])}
    if not many:
        return sql, []
    tables: dict[str, LocalTable] = {}
    parts: list[str] = []
    for text, name, form in _parts(sql):
        if form == "" or name not in many:
            parts.append(text)
            continue
        if name not in tables:
            tables[name] = LocalTable(name, _frame(many[name], name))
        parts.append(form.format(table=quoted(tables[name].name), alias=quoted(name)))
    return "".join(parts), list(tables.values())


def _parts(sql: str) -> Iterator[tuple[str, str, str]]:
    """Yield the tokens of ``sql``; for a parameter in a table's place, its name and the text to put there."""
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(sql)]
    real = [at for at, (kind, _) in enumerate(tokens) if kind != "skipped"]
    words = ["", "", *(tokens[at][1].upper() for at in real), "", ""]
    order = {at: place + 2 for place, at in enumerate(real)}
    clauses = [""]
    for at, (kind, text) in enumerate(tokens):
        form = ""
        if kind == "parameter":
            form = _form(words, order[at], clauses[-1])
        elif text == "(":
            clauses.append("")
        elif text == ")" and len(clauses) > 1:
            clauses.pop()
        elif kind == "name" and text.upper() in _CLAUSES:
            clauses[-1] = text.upper()
        yield text, text[1:], form


def _form(words: Sequence[str], at: int, clause: str) -> str:
    """Return the text that replaces the parameter at ``at`` if a table is expected there, else empty."""
    before, after = words[at - 1], words[at + 1]
    if before == "IN":
        return "{table}"
    if before == "(" and after == ")" and words[at - 2] == "IN":
        return "SELECT * FROM {table}"
    if before in _TABLES or (before == "," and clause in _TABLES):
        is_named = (
            after == "AS" or after[:1] in '"`[' or (after.isidentifier() and after not in apsw.keywords)
        )
        return "{table}" if after and is_named else "{table} AS {alias}"
    return ""


def _is_list(value: object) -> bool:
    is_column = type(value).__name__.endswith(_COLUMNS) and getattr(value, "ndim", 1) == 1
    return isinstance(value, list | tuple | set | frozenset | range) or is_column


def _frame(value: Any, name: str) -> pd.DataFrame:
    if is_tabular(value):
        return incoming(value, f":{name}", "read")
    return series_of(value).to_frame("value")


@contextmanager
def local_tables(session: Session, tables: Sequence[LocalTable]) -> Iterator[None]:
    """Register ``tables`` on the connection for the block."""
    for table in tables:
        session.record(("local table", table.name), table.register)
    session.local_tables = tables
    try:
        yield
    except apsw.Error as error:
        error.__dict__["statement_number"] = None  # places are those of another text
        raise
    finally:
        session.local_tables = ()
        for table in tables:
            session.forget(("local table", table.name), table.unregister)
            table.close()

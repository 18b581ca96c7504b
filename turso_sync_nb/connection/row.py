"""Row: a row whose values are found by position and by column name, as ``sqlite3.Row`` has it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.names import folded
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import apsw

    from turso_sync_nb.connection.cursor import Cursor


class NoColumnError(KeyError, IndexError):
    """There is no column of that name: Turso's Row raises the one, sqlite3's the other."""

    def __str__(self) -> str:
        return f"row: no column is named {self.args[0]!r}"


class Row(Sequence[Any]):
    """One row of ``cursor``: ``row[0]``, ``row["name"]`` in any case of letters, ``row.keys()``.

    Set it as ``row_factory`` of a connection or cursor. Rows are equal if names and values are.
    """

    __slots__ = ("_names", "_places", "_values")

    def __init__(self, cursor: Cursor, values: tuple[Any, ...], /) -> None:
        self._names = tuple(column[0] for column in cursor.description or ())
        self._places: dict[str, int] | None = None
        self._values = tuple(values)

    def keys(self) -> list[str]:
        """Return the columns' names."""
        return list(self._names)

    def __getitem__(self, key: Any, /) -> Any:
        if not isinstance(key, str):
            return self._values[key]
        if self._places is None:
            self._places = {}
            for place, name in enumerate(self._names):
                self._places.setdefault(folded(name), place)
        try:
            return self._values[self._places[folded(key)]]
        except KeyError:
            raise NoColumnError(key) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash((self._names, self._values))

    def __eq__(self, other: object, /) -> bool:
        return self._compared() == other._compared() if isinstance(other, Row) else NotImplemented

    def __lt__(self, other: object, /) -> bool:
        return self._compared() < other._compared() if isinstance(other, Row) else NotImplemented

    def __le__(self, other: object, /) -> bool:
        return self._compared() <= other._compared() if isinstance(other, Row) else NotImplemented

    def __gt__(self, other: object, /) -> bool:
        return self._compared() > other._compared() if isinstance(other, Row) else NotImplemented

    def __ge__(self, other: object, /) -> bool:
        return self._compared() >= other._compared() if isinstance(other, Row) else NotImplemented

    def _compared(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return self._names, self._values

    def __repr__(self) -> str:
        fields = (f"{name}={value!r}" for name, value in zip(self._names, self._values, strict=True))
        return f"<turso_sync_nb.Row {', '.join(fields)}>"


def row_factory_of(given: Any) -> Callable[[Cursor, tuple[Any, ...]], Any] | None:
    """Return the row factory to use for ``given``: for ``sqlite3.Row``, which needs cursors of its own, ours.

    Raises:
        UsageError: it is a class made from ``sqlite3.Row``, or cannot be called.
    """
    if isinstance(given, type):
        of_sqlite3 = [one for one in given.__mro__ if (one.__module__, one.__name__) == ("sqlite3", "Row")]
        if of_sqlite3 == [given]:
            return Row
        if of_sqlite3:
            raise UsageError(
                f"set row_factory: {given.__name__} is a sqlite3.Row, which needs cursors of sqlite3",
                hint="derive the class from turso_sync_nb.Row",
            )
    if given is not None and not callable(given):
        raise UsageError(
            f"set row_factory: a {type(given).__name__} cannot be called",
            hint="give turso_sync_nb.Row, a function of (cursor, row), or None",
        )
    factory: Callable[[Cursor, tuple[Any, ...]], Any] | None = given
    return factory


class RowFactoryMixin:
    """``row_factory`` of a connection or cursor: a function of (cursor, row), ``Row``, or ``sqlite3.Row``."""

    _row_factory: Callable[..., Any] | None = None

    def _set_row_factory(self, factory: Callable[..., Any] | None) -> None:
        self._row_factory = row_factory_of(factory)

    # read for each row: by a getter in C
    row_factory = property(attrgetter("_row_factory"), _set_row_factory)


def texts_made_by(
    factory: Callable[[bytes], Any],
) -> Callable[[apsw.Cursor, tuple[Any, ...]], tuple[Any, ...]]:
    """Return a row trace that puts in each text's place what ``factory`` makes of its UTF-8 bytes."""

    def made(_cursor: apsw.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([factory(value.encode()) if type(value) is str else value for value in row])

    return made

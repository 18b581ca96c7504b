"""Compare a DataFrame with the table it was taken from: rows inserted, updated, deleted, by key.

Rows are compared with what SQLite gave, not with what pandas made of it: a column that pandas turned from
integers into floats on the way, because a row was added to it, has not changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import folded
from turso_sync_nb.connection.column_forms import ColumnForm, is_typed
from turso_sync_nb.connection.column_values import UnboundValueError, column_values
from turso_sync_nb.connection.frames import is_frame, is_tabular, of_arrow
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

Key = tuple[Any, ...]
Operation = Literal["insert", "update", "delete", "kept"]

ATTRIBUTE: Final = "turso_sync_nb_edit"
"""The key in ``DataFrame.attrs`` that carries the number of a frame's edit, also in derived frames."""

_EXACT_IN_FLOAT: Final = 2**53
"""The largest integer up to which a float holds every one."""

_numbers = count(1)


@dataclass(frozen=True)
class RowEdit:
    """One row as it is to be: ``old`` and ``new`` have the columns that differ, by name.

    ``key`` is what names the row in the table; ``None`` in it where SQLite is to assign it. ``kept`` is a row
    that the frame lacks and that stays: nothing is written for it.
    """

    operation: Operation
    key: Key
    old: Mapping[str, Any]
    new: Mapping[str, Any]


class FrameBaseline:
    """A table's rows as they were when a frame of them was taken.

    ``rows`` are by key, in the order of ``columns``; generated columns are not among these.
    """

    def __init__(
        self,
        table: str,
        columns: tuple[str, ...],
        key: tuple[str, ...],
        rows: Sequence[tuple[Any, ...]],
        *,
        auto_key: bool,
        declared: Sequence[str | None] = (),
        defaulted: Collection[str] | None = None,
        is_by_rowid: bool = False,
    ) -> None:
        self.number = next(_numbers)
        self.table = table
        self.columns = columns
        self.key = key
        self.auto_key = auto_key
        self.is_by_rowid = is_by_rowid
        """Whether rows are named by rowid, which is theirs until a pull: the whole old row guards it."""
        self.defaulted = frozenset(columns if defaulted is None else defaulted) | (
            set(key) if is_by_rowid else set()
        )
        """Columns that an insert leaves out where no value is given; others are NULL then as well."""
        self._places = [columns.index(name) for name in key]
        self.rows = {self.key_of(row): row for row in rows}
        if any(None in key for key in self.rows):
            raise UsageError(
                f"edit {table}: a row has NULL in its key {', '.join(key)}, which names no row",
                hint="leave such rows out with where=, or give them a key with UPDATE",
            )
        kinds = zip_longest(columns, declared)
        self._forms = {name: ColumnForm(kind, partial(self._there, name)) for name, kind in kinds}
        self._typed = set[str]()
        """Columns of the frame that hold moments or JSON, of which unlike texts may say the same."""
        self._whole = [_only_integers(values) for values in zip(*rows, strict=True)] if rows else []

    def key_of(self, row: Sequence[Any]) -> Key:
        """Return the key in ``row``."""
        return tuple([row[at] for at in self._places])

    def differences(self, frame: pd.DataFrame, *, delete: bool) -> list[RowEdit]:
        """Return how ``frame`` differs: rows that it lacks first, then updates, then inserts.

        A row that the frame lacks is a delete with ``delete``, else kept.

        Raises:
            UsageError: a key twice, a column that the table lacks, a value that SQLite has not.
        """
        values = self._read(frame)
        keys = list(zip(*(values[name] for name in self.key), strict=True))
        known = [at for at, key in enumerate(keys) if key in self.rows]
        there = {keys[at] for at in known}
        if len(there) < len(known):
            twice = next(key for key, count in Counter(keys[at] for at in known).items() if count > 1)
            raise UsageError(
                f"apply to {self.table}: two rows have the key {self.shown(twice)}",
                hint="frame[frame.duplicated(key)] shows them",
            )
        missing = [
            RowEdit("delete" if delete else "kept", key, dict(zip(self.columns, row, strict=True)), {})
            for key, row in self.rows.items()
            if key not in there
        ]
        inserts = [
            self._insert(key, {name: column[at] for name, column in values.items()})
            for at, key in enumerate(keys)
            if key not in self.rows
        ]
        return [*missing, *self._updates([keys[at] for at in known], known, values), *inserts]

    def row(self, key: Key) -> dict[str, Any]:
        """Return the row that was taken, nothing of one that was not."""
        return dict(zip(self.columns, self.rows[key], strict=True)) if key in self.rows else {}

    def shown(self, key: Key) -> str:
        """Return ``key`` for a reader."""
        return ", ".join(f"{name}={value!r}" for name, value in zip(self.key, key, strict=True))

    # One row

    def _updates(self, keys: list[Key], places: list[int], values: dict[str, list[Any]]) -> list[RowEdit]:
        """Return the rows of which a column differs, compared column by column."""
        before = [self.rows[key] for key in keys]
        changes: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        for name, column in values.items():
            at = self.columns.index(name)
            whole = bool(self._whole) and self._whole[at]
            for number, (row, place) in enumerate(zip(before, places, strict=True)):
                was, value = row[at], column[place]
                if was != value and not (
                    _same(value, was) or (name in self._typed and self._forms[name].means_same(value, was))
                ):
                    old, new = changes.setdefault(number, ({}, {}))
                    old[name], new[name] = was, _as_integer(value) if whole else value
        return [
            RowEdit("update", keys[number], self.row(keys[number]) if self.is_by_rowid else old, new)
            for number, (old, new) in sorted(changes.items(), key=lambda each: each[0])
        ]

    def _insert(self, key: Key, values: dict[str, Any]) -> RowEdit:
        if None in key and not self.auto_key:
            raise UsageError(
                f"apply to {self.table}: a new row has no value in its key {', '.join(self.key)}",
                hint="give each new row a key of its own",
            )
        given = {name: self._fitting(name, value) for name, value in values.items() if value is not None}
        if self.is_by_rowid:  # SQLite's own number, which no other replica knows
            given.pop(self.key[0], None)
            return RowEdit("insert", (None,), {}, given)
        return RowEdit("insert", self._as_key(key), {}, given)

    def _as_key(self, key: Key) -> Key:
        return tuple([self._fitting(name, value) for name, value in zip(self.key, key, strict=True)])

    def _fitting(self, name: str, value: Any) -> Any:
        """Return ``value`` for its column: an integer again where pandas made floats of integers."""
        return _as_integer(value) if self._whole and self._whole[self.columns.index(name)] else value

    # The frame

    def _read(self, frame: pd.DataFrame) -> dict[str, list[Any]]:
        """Return the frame's columns, which are the table's, by name, as SQLite would hold them."""
        if not is_tabular(frame):
            raise UsageError(
                f"apply to {self.table}: a {type(frame).__name__} is no DataFrame",
                hint="give the frame that edit_frame() gave, as it is to be",
            )
        frame = frame if is_frame(frame) else of_arrow(frame)
        if set(self.key) <= set(frame.index.names):
            frame = frame.reset_index()
        spelled = {folded(name): name for name in self.columns}
        names = [spelled.get(folded(str(name)), str(name)) for name in frame.columns]
        strange = [name for name in names if name not in self.columns]
        missing = [name for name in self.key if name not in names]
        if strange or missing or len(set(names)) < len(names):
            what = (
                f"{self.table} has no column {strange[0]!r}" if strange
                else f"the key column {missing[0]!r} is missing" if missing
                else "a column comes twice"
            )  # fmt: skip
            raise UsageError(
                f"apply to {self.table}: {what}", hint=f"its columns are {', '.join(self.columns)[:200]}"
            )
        return {name: self._values(name, frame.iloc[:, at]) for at, name in enumerate(names)}

    def _values(self, name: str, series: pd.Series[Any]) -> list[Any]:
        if name in self.key and series.dtype.kind == "f" and series.abs().max() > _EXACT_IN_FLOAT:
            raise UsageError(
                f"apply to {self.table}: the key column {name} lost digits when pandas made floats of it",
                hint=f'frame["{name}"].astype("Int64") before rows without a key are added keeps them',
            )
        try:
            values = column_values(series, self._forms[name])
        except UnboundValueError as error:
            raise UsageError(
                f"apply to {self.table}, column {name}, row {error.at}: {error.reason}",
                hint="give it a value that SQLite can hold",
            ) from error
        if is_typed(series):
            self._typed.add(name)
            values = self._forms[name].as_there(values) if name in self.key else values
        return [int(value) if value is True or value is False else value for value in values]

    def _there(self, name: str) -> list[Any]:
        """Return the values that a column had when the baseline was taken."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows.values()]


def _as_integer(value: Any) -> Any:
    is_whole = type(value) is float and value.is_integer() and abs(value) <= _EXACT_IN_FLOAT
    return int(value) if is_whole else value


def _only_integers(values: Sequence[Any]) -> bool:
    """Return whether a column held integers, and nothing else but NULL."""
    kinds = set(map(type, values)) - {type(None)}
    return kinds == {int}


def _same(value: Any, was: Any) -> bool:
    """Return whether ``value`` is ``was``, or ``was`` as a float."""
    if type(value) is float and type(was) is int:
        return value == float(was)
    return bool(value == was)

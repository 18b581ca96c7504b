"""Compare a DataFrame with the table it was taken from: rows inserted, updated, deleted, by key.

Rows are compared with what SQLite gave, not with what pandas made of it: a column that pandas turned from
integers into floats on the way, because a row was added to it, has not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.connection.parameters import as_day, bindable, python_value
from turso_sync_nb.errors import ProgrammingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

Key = tuple[Any, ...]
Operation = Literal["insert", "update", "delete", "kept"]

ATTRIBUTE: Final = "turso_sync_nb_edit"
"""The key in ``DataFrame.attrs`` that carries the number of a frame's edit, also in derived frames."""

_EXACT_IN_FLOAT: Final = 2**53

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


class Edit:
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
        days: frozenset[str] = frozenset(),
    ) -> None:
        self.number = next(_numbers)
        self.table = table
        self.columns = columns
        self.key = key
        self.auto_key = auto_key
        self.days = days
        self._places = [columns.index(name) for name in key]
        self.rows = {self.key_of(row): row for row in rows}
        if any(None in key for key in self.rows):
            raise UsageError(
                f"edit {table}: a row has NULL in its key {', '.join(key)}, which names no row",
                hint="leave such rows out with where=, or give them a key with UPDATE",
            )
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
        names, rows = self._read(frame)
        there: dict[Key, dict[str, Any]] = {}
        inserts: list[RowEdit] = []
        for row in rows:
            values = dict(zip(names, row, strict=True))
            key = self._known_key(values)
            if key is None:
                inserts.append(self._insert(values))
            elif key in there:
                raise UsageError(
                    f"apply to {self.table}: two rows have the key {self.shown(key)}",
                    hint="frame[frame.duplicated(key)] shows them",
                )
            else:
                there[key] = values
        missing = [
            RowEdit("delete" if delete else "kept", key, dict(zip(self.columns, row, strict=True)), {})
            for key, row in self.rows.items()
            if key not in there
        ]
        updates = [one for key, values in there.items() if (one := self._update(key, values))]
        return [*missing, *updates, *inserts]

    def row(self, key: Key) -> dict[str, Any]:
        """Return the row that was taken, nothing of one that was not."""
        return dict(zip(self.columns, self.rows[key], strict=True)) if key in self.rows else {}

    def shown(self, key: Key) -> str:
        """Return ``key`` for a reader."""
        return ", ".join(f"{name}={value!r}" for name, value in zip(self.key, key, strict=True))

    # One row

    def _known_key(self, values: dict[str, Any]) -> Key | None:
        """Return the key of a row that was taken from the table, ``None`` for a new one."""
        key = tuple(values[name] for name in self.key)
        return key if key in self.rows else None

    def _update(self, key: Key, values: dict[str, Any]) -> RowEdit | None:
        was = dict(zip(self.columns, self.rows[key], strict=True))
        new = {
            name: self._fitting(name, value) for name, value in values.items() if not _same(value, was[name])
        }
        return RowEdit("update", key, {name: was[name] for name in new}, new) if new else None

    def _insert(self, values: dict[str, Any]) -> RowEdit:
        key = tuple(values[name] for name in self.key)
        if None in key and not self.auto_key:
            raise UsageError(
                f"apply to {self.table}: a new row has no value in its key {', '.join(self.key)}",
                hint="give each new row a key of its own",
            )
        given = {name: self._fitting(name, value) for name, value in values.items() if value is not None}
        return RowEdit("insert", self._as_key(key), {}, given)

    def _as_key(self, key: Key) -> Key:
        return tuple([self._fitting(name, value) for name, value in zip(self.key, key, strict=True)])

    def _fitting(self, name: str, value: Any) -> Any:
        """Return ``value`` for its column: an integer again where pandas made floats of integers."""
        whole = bool(self._whole) and self._whole[self.columns.index(name)]
        if whole and type(value) is float and value.is_integer() and abs(value) <= _EXACT_IN_FLOAT:
            return int(value)
        return value

    # The frame

    def _read(self, frame: pd.DataFrame) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the frame's columns that are the table's, and its rows as SQLite would hold them."""
        if set(self.key) <= set(frame.index.names):
            frame = frame.reset_index()
        names = [str(name) for name in frame.columns]
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
        columns = [self._values(name, frame.iloc[:, at]) for at, name in enumerate(names)]
        return names, list(zip(*columns, strict=True))

    def _values(self, name: str, series: pd.Series[Any]) -> list[Any]:
        if name in self.key and series.dtype.kind == "f" and series.abs().max() > _EXACT_IN_FLOAT:
            raise UsageError(
                f"apply to {self.table}: the key column {name} lost digits when pandas made floats of it",
                hint=f'frame["{name}"].astype("Int64") before rows without a key are added keeps them',
            )
        absent = series.isna().tolist()
        fitting = as_day if name in self.days else python_value
        return [
            None if is_absent else self._value(name, fitting(value))
            for value, is_absent in zip(series.tolist(), absent, strict=True)
        ]

    def _value(self, name: str, value: Any) -> Any:
        try:
            value = bindable(value, name)
        except ProgrammingError as error:
            raise UsageError(
                f"apply to {self.table}: column {name}: {error}", hint="give it a value that SQLite can hold"
            ) from error
        return int(value) if isinstance(value, bool) else value


def _only_integers(values: Sequence[Any]) -> bool:
    """Return whether a column held integers, and nothing else but NULL."""
    kinds = set(map(type, values)) - {type(None)}
    return kinds == {int}


def _same(value: Any, was: Any) -> bool:
    """Return whether ``value`` is ``was``, perhaps after a way through floats."""
    if type(value) is float and type(was) is int:
        return value == float(was)
    return bool(value == was)

"""Rows that wait, come, or clash, column by column, with what a pull leaves of them.

``keep`` decides rows that both sides changed: it maps ``(table, key)`` to ``"mine"`` or ``"theirs"``. Columns
of such a row that only one side changed merge as always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.conflicts import policy_for
from turso_sync_nb.changes.images import differing, key_of, same_value
from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.net import is_change, row_key
from turso_sync_nb.connection.frames import frame_with_dicts
from turso_sync_nb.engine.user_policy import name_of
from turso_sync_nb.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from turso_sync_nb.changes.conflicts import Policies, Policy, Row
    from turso_sync_nb.changes.model import Change
    from turso_sync_nb.connection.schema_choice import SchemaClash
    from turso_sync_nb.engine.pull_preview import PullPreview

    Keep = Mapping[tuple[str, tuple[Any, ...]], Literal["mine", "theirs"]]

_FRAME: Final = ("table", "key", "by", "column", "base", "mine", "theirs", "left", "conflict")
_NAMES: Final = ("mine", "theirs")


@dataclass(frozen=True)
class ReviewedColumn:
    """A column that a side changed: as both knew it, as each has it, and as the pull leaves it."""

    name: str
    base: Any
    mine: Any
    theirs: Any
    left: Any
    clashes: bool


@dataclass(frozen=True)
class ReviewedRow:
    """A row that a side changed; ``mine`` and ``theirs`` are operations, empty for none.

    ``stays``: a row is there after the pull; ``None``: not known. ``settled`` says how a conflict is settled.
    """

    table: str
    key: tuple[Any, ...]
    key_names: tuple[str, ...]
    mine: str
    theirs: str
    columns: tuple[ReviewedColumn, ...]
    stays: bool | None
    settled: str = ""

    @property
    def by(self) -> str:
        """The side that changed the row: mine, theirs or both."""
        return "both" if self.mine and self.theirs else "mine" if self.mine else "theirs"

    @property
    def clashes(self) -> bool:
        """Whether both sides changed the same of it."""
        gone = self.by == "both" and "delete" in (self.mine, self.theirs) and self.mine != self.theirs
        return gone or any(column.clashes for column in self.columns)


@dataclass(frozen=True)
class Review:
    """The rows that wait or come; changes of the schema as SQL; ``set_aside`` transactions with the reason.

    ``schema_clashes`` are those of them that others' definitions stand against.
    ``refused`` says why the pull would be refused. ``unplaced`` pages hold long values of rows not here.
    """

    rows: tuple[ReviewedRow, ...]
    schema_mine: tuple[str, ...] = ()
    schema_theirs: tuple[str, ...] = ()
    set_aside: tuple[tuple[int, str], ...] = ()
    refused: str = ""
    unplaced: int = 0
    schema_clashes: tuple[SchemaClash, ...] = ()

    @property
    def clashes(self) -> list[ReviewedRow]:
        """The rows of which both sides changed the same."""
        return [row for row in self.rows if row.clashes]

    def frame(self) -> pd.DataFrame:
        """Return one row for each changed column; ``key`` is a dict by column."""
        found = [
            (row.table, dict(zip(row.key_names, row.key, strict=False)), row.by, column.name, column.base,
             column.mine, column.theirs, column.left, column.clashes)
            for row in self.rows for column in row.columns
        ]  # fmt: skip
        declared = ("TEXT", None, "TEXT", "TEXT", None, None, None, None, "BOOLEAN")
        return frame_with_dicts(_FRAME, declared, found)


def reviewed(preview: PullPreview, sent: Iterable[Change], news: Iterable[Change]) -> list[ReviewedRow]:
    """Return every row with a key that ``sent`` or ``news`` change, in this order."""
    mine, theirs = _by_key(sent), _by_key(news)
    settled = {
        (folded(one.table), *one.key.values()): one.settled_by
        for one in preview.replayed.conflicts
        if one.key
    }
    keys = dict.fromkeys([*mine, *theirs])
    return [_row(preview, key, mine.get(key), theirs.get(key), settled) for key in keys]


def _by_key(changes: Iterable[Change]) -> dict[Any, RowChange]:
    rows = [change for change in changes if isinstance(change, RowChange)]
    return {key: change for change in rows if (key := _key(change)) is not None}


def _key(change: RowChange) -> Any:
    image = change.new if change.old is None else change.old
    return None if image is None else row_key(change.shape, image)


def _row(
    preview: PullPreview, key: Any, mine: RowChange | None, theirs: RowChange | None, settled: dict[Any, str]
) -> ReviewedRow:
    change = theirs or mine
    if change is None:
        raise UsageError("review a row: no side changed it")
    shape = change.shape
    image = change.new if change.old is None else change.old
    values = tuple(key_of(shape, image or ()))
    if mine and theirs and mine.shape.columns == theirs.shape.columns:
        theirs = theirs.changed(old=mine.old)  # the state that we changed, what was pushed from here included
        theirs = theirs if is_change(theirs) else None
    sides = [_values(mine), _values(theirs)]
    is_known = not preview.refused and (key in preview.rows or theirs is None)
    left = dict(zip(shape.columns, preview.rows.get(key) or (), strict=False))
    stays: bool | None = bool(left) if key in preview.rows else mine is not None and mine.new is not None
    if theirs is None and key not in preview.rows:
        left = sides[0][1]
    columns = []
    for name in shape.columns:
        moved = [name in side[2] for side in sides]
        if not any(moved):
            continue
        base = next((side[0][name] for side in (sides[1], sides[0]) if name in side[0]), None)
        ours, their = (side[1].get(name) if has else base for side, has in zip(sides, moved, strict=True))
        clashes = all(moved) and not same_value(ours, their)
        final = left.get(name) if is_known else None
        columns.append(ReviewedColumn(name, base, ours, their, final, clashes))
    return ReviewedRow(
        shape.table,
        values,
        tuple(shape.columns[at] for at in shape.key),
        mine.op if mine else "",
        theirs.op if theirs else "",
        tuple(columns),
        stays if is_known else None,
        settled.get((folded(shape.table), *values), ""),
    )


def _values(change: RowChange | None) -> tuple[Row, Row, frozenset[str]]:
    """Return a row before and after, and the columns that differ."""
    if change is None:
        return {}, {}, frozenset()
    names = change.shape.columns
    old = dict(zip(names, change.old, strict=True)) if change.old is not None else {}
    new = dict(zip(names, change.new, strict=True)) if change.new is not None else {}
    if change.old is not None and change.new is not None:
        return old, new, differing(change.shape, change.old, change.new)
    return old, new, frozenset(name for name in names if (old or new)[name] is not None)


# Decisions


def deciding(policies: Policies, keep: Keep, keys: Mapping[str, tuple[str, ...]]) -> Policies:
    """Return policies that keep what ``keep`` says; of other rows ``policies`` decide.

    ``keys`` are the columns of each table's key.

    Raises:
        UsageError: a decision is none, or about no table.
    """
    by_table: dict[str, dict[tuple[Any, ...], str]] = {}
    for (table, key), side in keep.items():
        if side not in _NAMES or table not in keys:
            raise UsageError(
                f"keep {side!r} of {table}: no such choice", hint="mine or theirs, of a table here"
            )
        by_table.setdefault(table, {})[tuple(key)] = side
    if not by_table:
        return policies
    rest = dict(policies) if not isinstance(policies, str) and not callable(policies) else {"*": policies}
    chosen = {
        table: _Chooser(decisions, keys[table], policy_for(policies, table))
        for table, decisions in by_table.items()
    }
    return {**rest, **chosen}


@dataclass(frozen=True)
class _Chooser:
    """A policy of one table: what was decided of its rows, and another policy for the rest."""

    decisions: dict[tuple[Any, ...], str]
    key: tuple[str, ...]
    otherwise: Policy

    __name__ = "chosen_in_review"

    def decided(self, *sides: Row | None) -> str:
        """Return the name of the policy for a conflict of these sides, as it is recorded."""
        side = self._side(*sides)
        if side is None:
            return name_of(self.otherwise, *sides) if callable(self.otherwise) else str(self.otherwise)
        return f"{side}_chosen_in_review"

    def _side(self, base: Row | None, local: Row | None, remote: Row | None) -> str | None:
        row = remote or local or base or {}
        return self.decisions.get(tuple(row.get(name) for name in self.key))

    def __call__(self, base: Row | None, local: Row | None, remote: Row | None) -> Row | None:
        """Return the row to have."""
        side, otherwise = self._side(base, local, remote), self.otherwise
        if side is None and callable(otherwise):
            return otherwise(base, local, remote)
        if side is None and otherwise == "reject":
            raise ConflictError("pull: a row was changed on both sides", hint="decide about it, or skip() it")
        if side == "mine" or (side is None and otherwise != "remote-wins"):
            return local
        if base is None or local is None or remote is None:
            return remote
        return {
            name: local[name] if same_value(remote[name], base[name]) else remote[name] for name in remote
        }


def schema_lines(changes: Iterable[Change]) -> list[str]:
    """Return changes of the schema as their SQL."""
    return [change.sql for change in changes if isinstance(change, SchemaChange)]

"""Keep the effects of triggers on the tape after a push, until a pull brings what the remote's triggers made.

A row without a key is noted by its whole image, so a note leaves the tape with the statement's own changes.
"""

from __future__ import annotations

from collections import deque
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.derived import DerivedColumns, KeylessRow
from turso_sync_nb.changes.names import SHAPES, TAPE, folded
from turso_sync_nb.changes.packed import packed_images
from turso_sync_nb.changes.tape_format import EFFECT, Op
from turso_sync_nb.changes.tape_reader import Reader
from turso_sync_nb.changes.tape_rows import image_rows, insert, table_schema_id, table_schemas, widen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

    from turso_sync_nb.changes.model import TableSchema, Transaction

EFFECTS_KEPT_MAX: Final = 10_000
"""Rows about what triggers made that outlive a push; beyond it a stamp of the remote's is a conflict."""

_NO_TRANSACTION: Final = 0
"""A number that no transaction has."""

_IDS_OF_ROW: Final = 2
"""Ids that what is noted of one row takes, at most."""

_WITHOUT_KEY: Final = f"op & {EFFECT} AND id <= ? AND shape IN (SELECT id FROM {SHAPES} WHERE NOT auto_key)"
"""Effects on tables whose rows may have no key."""


def write_effects(
    raw: apsw.Connection, derived: DerivedColumns, tables: Iterable[TableSchema], first_id: int
) -> None:
    """Note what triggers made of rows of ``tables``, as effects that belong to no transaction."""
    shapes = {folded(shape.table): shape for shape in tables}
    ids = count(first_id, _IDS_OF_ROW)
    for row in [*derived.names, *derived.keyless][-EFFECTS_KEPT_MAX:]:
        shape = shapes.get(folded(row[0]))
        if shape is not None:
            for columns in derived.noted(row):
                _write(raw, next(ids), shape, row, columns)


def _write(
    raw: apsw.Connection, first_id: int, shape: TableSchema, row: tuple[Any, ...], columns: frozenset[str]
) -> None:
    """Note that triggers made ``columns`` of ``row``, under one id or two."""
    widen(raw, len(shape.columns))
    fixed = (table_schema_id(raw, shape), _NO_TRANSACTION, None)
    if isinstance(row, KeylessRow):
        if len(row.image) == len(shape.columns):
            packed = packed_images([tuple(sorted(columns))])
            insert(raw, (first_id, Op.INSERT + EFFECT, *fixed, packed), row.image)
        return
    if len(row) - 1 != len(shape.key):  # of an earlier table of that name
        return
    keys = {shape.columns[at]: value for at, value in zip(shape.key, row[1:], strict=True)}
    made = columns - keys.keys()
    for at, (op, value) in enumerate(((Op.OLD, 0), (Op.NEW, 1))):
        image = tuple(keys.get(name, value if name in made else None) for name in shape.columns)
        insert(raw, (first_id + at, op + EFFECT, *fixed, None), image)


def trim(raw: apsw.Connection, change_id: int, remaining: Iterable[Transaction]) -> None:
    """Remove all up to ``change_id`` from the tape but for what triggers made.

    ``remaining``: what is written to it again.
    """
    made = _made_without_key(raw, change_id)
    effects = f"SELECT id FROM {TAPE} WHERE op & {EFFECT} ORDER BY id DESC LIMIT {EFFECTS_KEPT_MAX}"
    raw.execute(f"DELETE FROM {TAPE} WHERE id <= ? AND id NOT IN ({effects})", (change_id,))
    if made is not None:
        raw.execute(f"DELETE FROM {TAPE} WHERE {_WITHOUT_KEY}", (change_id,))
        _write_again(raw, made, change_id, remaining)


def _made_without_key(raw: apsw.Connection, change_id: int) -> DerivedColumns | None:
    """Return what triggers made until ``change_id``; ``None`` where every row has a key for sure."""
    if not raw.execute(f"SELECT EXISTS (SELECT 1 FROM {TAPE} WHERE {_WITHOUT_KEY})", (change_id,)).get:
        return None
    reader = Reader(table_schemas(raw))
    rows = takewhile(lambda row: bool(row[0] <= change_id), image_rows(raw))
    deque(reader.transactions(rows), maxlen=0)
    return reader.derived


def _write_again(
    raw: apsw.Connection, made: DerivedColumns, change_id: int, remaining: Iterable[Transaction]
) -> None:
    """Note what triggers ``made`` of rows that may have no key, under free ids up to ``change_id``."""
    shapes = [shape for shape in table_schemas(raw).values() if not shape.auto_key]
    free = _free_pairs(raw, change_id, remaining)
    for row in reversed([*made.names, *made.keyless][-EFFECTS_KEPT_MAX:]):
        width = len(row.image) if isinstance(row, KeylessRow) else None
        for columns in made.noted(row):
            found = (
                shape for shape in reversed(shapes)
                if shape.table == row[0] and width in (None, len(shape.columns))
                and columns <= set(shape.columns)
            )  # fmt: skip
            if (shape := next(found, None)) and (first_id := next(free, 0)):
                _write(raw, first_id, shape, row, columns)


def _free_pairs(raw: apsw.Connection, change_id: int, remaining: Iterable[Transaction]) -> Iterator[int]:
    """Yield ids up to ``change_id``, the highest first, that are free together with the next one."""
    taken = {number for (number,) in raw.execute(f"SELECT id FROM {TAPE} WHERE id <= ?", (change_id,))}
    for one in remaining:
        taken |= {one.last_id, *(change.id for change in one.changes)}
    second = change_id
    while second > 1:
        if taken.isdisjoint((second - 1, second)):
            yield second - 1
            second -= 1
        second -= 1


def part_effects(raw: apsw.Connection, kept: Iterable[Transaction], change_id: int) -> None:
    """Have what triggers made in transactions that are gone belong to none: one before keeps its last id."""
    own = f"op & {EFFECT} AND id BETWEEN ? AND ?"
    raw.execute(f"UPDATE {TAPE} SET txn = {_NO_TRANSACTION} WHERE {own}", (0, change_id))
    for one in kept:
        borders = (one.changes[0].id, one.last_id)
        raw.execute(f"UPDATE {TAPE} SET txn = ? WHERE {own}", (one.number, *borders))

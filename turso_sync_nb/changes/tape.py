"""Keep the tape: every local change, in order, in tables beside the data and in the same transactions.

A row of the tape holds one image of a row, its values in typeless columns ``v0``, ``v1``, ..., exactly as
SQLite stores them. The triggers that write it (``triggers``) are plain SQL: an update takes two rows of the
tape, and a row that begins a transaction precedes its changes. Python (:func:`write`) writes one row for each
change, under the id that it had.

Ids go up and are never used again. A transaction is named by the id of its last change,
its *last change id*: the remote's bookkeeping names one, the *acknowledged id*.
"""

from __future__ import annotations

import random
import sys
from functools import partial
from itertools import groupby, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.ddl import details_of, packed_details
from turso_sync_nb.changes.definitions import object_type
from turso_sync_nb.changes.model import (
    RowChange,
    SchemaChange,
    Transaction,
    is_ignored,
    is_shown,
)
from turso_sync_nb.changes.names import SHAPES, TAPE, TRANSACTIONS, folded, has_table
from turso_sync_nb.changes.packed import UpdateDetails, packed_images
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.changes.tape_effects import part_effects, trim, write_effects
from turso_sync_nb.changes.tape_format import (
    BY_ACTION,
    BY_REPLACE,
    COLUMNS_MAX,
    CONFLICTS,
    EARLY,
    EFFECT,
    FIRST_COLUMNS,
    FORMAT,
    KINDS,
    OUTCOMES,
    SHAPE,
    Op,
    moved_flags,
)
from turso_sync_nb.changes.tape_reader import Reader
from turso_sync_nb.changes.tape_rows import bound, image_rows, insert, table_schema_id, table_schemas, widen
from turso_sync_nb.errors import ReplicaBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import apsw

    from turso_sync_nb.changes.derived import DerivedColumns
    from turso_sync_nb.changes.model import Change, Image, State
    from turso_sync_nb.changes.taped import Read

    Opened = Callable[[], AbstractContextManager[apsw.Connection]]

BLOCK_IDS: Final = 2**20
"""Ids of a block; each process that opens a replica begins in a block of its own (:func:`begin_block`)."""

_BLOCKS_MAX: Final = 2**22
"""Blocks that such a begin may leave out: two copies of a replica do not meet in one by chance."""

_NOT_COUNTED: Final = (Op.ACKNOWLEDGED, Op.BEGIN, Op.AUTO, Op.OLD)


# The tables


def create(raw: apsw.Connection) -> None:
    """Make the tables of the tape, inside the caller's transaction; does nothing when they are there.

    It is as wide as the widest table: for each column that is added SQLite reads the whole schema again.
    """
    if exists(raw):
        return
    widest: int = raw.execute("SELECT ifnull(max(ncol), 0) FROM pragma_table_list WHERE schema = 'main'").get
    columns = min(max(widest, FIRST_COLUMNS), COLUMNS_MAX)
    values = ", ".join(f"v{number}" for number in range(columns))
    raw.execute(f"CREATE TABLE {TAPE} (id INTEGER PRIMARY KEY, op, shape, txn, unix_time, packed, {values})")
    raw.execute(f"CREATE TABLE {SHAPES} (id INTEGER PRIMARY KEY, {', '.join(SHAPE)})")
    raw.execute(f"CREATE TABLE {TRANSACTIONS} (number INTEGER PRIMARY KEY, state, reason)")


def exists(raw: apsw.Connection) -> bool:
    """Return whether the database has a tape."""
    return has_table(raw, TAPE)


def clear(raw: apsw.Connection) -> None:
    """Forget everything but the table forms: triggers of open connections name them by their ids."""
    for table in (TAPE, TRANSACTIONS):
        raw.execute(f"DELETE FROM {table}")


# Ids


def last_id(raw: apsw.Connection) -> int:
    """Return the highest id in use."""
    return int(raw.execute(f"SELECT ifnull(max(id), 0) FROM {TAPE}").get)


def last_transaction(raw: apsw.Connection) -> int:
    """Return the highest number of a transaction in use, 0 when there is none."""
    return int(raw.execute(f"SELECT ifnull(max(txn), 0) FROM {TAPE}").get)


def acknowledged(raw: apsw.Connection) -> int:
    """Return the last change id that the remote acknowledged, 0 when it never did."""
    # one row, before most others: not to look at all of them
    found = raw.execute(f"SELECT v0 FROM {TAPE} WHERE op = {Op.ACKNOWLEDGED} LIMIT 1").get
    return int(found or 0)


def jump(raw: apsw.Connection, to: int) -> None:
    """Make the next id greater than ``to``."""
    _set_acknowledged(raw, acknowledged(raw), max(to, last_id(raw) + 1))


def begin_block(raw: apsw.Connection) -> None:
    """Make the next id one of a block that no copy of this replica has, as far as chance goes."""
    jump(raw, (last_id(raw) // BLOCK_IDS + random.SystemRandom().randrange(1, _BLOCKS_MAX)) * BLOCK_IDS)


def _set_acknowledged(raw: apsw.Connection, change_id: int, own_id: int) -> None:
    raw.execute(f"DELETE FROM {TAPE} WHERE op = {Op.ACKNOWLEDGED}")
    values = (own_id, int(Op.ACKNOWLEDGED), change_id, FORMAT)
    raw.execute(f"INSERT INTO {TAPE} (id, op, v0, v1) VALUES (?, ?, ?, ?)", values)


def _check_format(raw: apsw.Connection) -> None:
    """Refuse a tape of a later release.

    Raises:
        ReplicaBrokenError: it is one.
    """
    found = raw.execute(f"SELECT v1 FROM {TAPE} WHERE op = {Op.ACKNOWLEDGED:d} LIMIT 1").get
    if found is not None and found > FORMAT:
        raise ReplicaBrokenError(
            f"read captured changes: their format is {found}, this release knows {FORMAT}",
            hint="upgrade turso-sync-nb; nothing was changed here",
        )


# What is on it


def transactions(
    raw: apsw.Connection, *, held_max: int = sys.maxsize, opened: Opened | None = None
) -> Iterator[Transaction]:
    """Yield transactions in order, whatever their state, as they are read.

    Changes of one with more than ``held_max`` are read each time they are needed, on a connection that
    ``opened`` gives.
    """
    _check_format(raw)
    states = {
        number: (state, reason)
        for number, state, reason in raw.execute(f"SELECT number, state, reason FROM {TRANSACTIONS}")
    }
    reader = Reader(table_schemas(raw))
    if opened is not None:
        reader.held_max, reader.again = held_max, partial(_again, opened)
    for one in reader.transactions(image_rows(raw)):
        state, reason = states.get(one.number, ("pending", ""))
        yield one.changed(state=state, reason=reason)


def _again(opened: Opened, number: int) -> Read:
    """Return what reads the changes of the transaction ``number`` again."""

    def read(after: int) -> Iterator[Change]:
        with opened() as raw:
            reader = Reader(table_schemas(raw))
            if after >= 0:
                reader.number = number
            yield from reader.changes_of(number, image_rows(raw, after))

    return read


_ANYTHING_KEPT: Final = (
    f"SELECT EXISTS (SELECT 1 FROM {TRANSACTIONS}) OR EXISTS (SELECT 1 FROM {SHAPES} WHERE ignored) "
    f"OR EXISTS (SELECT 1 FROM {TAPE} WHERE op = {Op.SCHEMA:d} AND v4)"
)
"""Whether something stays on the tape whatever is acknowledged, or is there and not to be pushed."""


_NOTHING_STAYS: Final = (
    f"SELECT NOT EXISTS (SELECT 1 FROM {TRANSACTIONS}) AND NOT EXISTS (SELECT 1 FROM {SHAPES} WHERE ignored) "
    f"AND NOT EXISTS (SELECT 1 FROM {TAPE}"
    f" WHERE id > ? OR op & {EFFECT} OR (op = {Op.SCHEMA:d} AND v4))"
)
"""Whether all of the tape goes when an id is acknowledged, and no trigger made anything."""


def count(raw: apsw.Connection) -> int:
    """Return how many changes a push would send: pending and refused ones, ignored tables left out."""
    replaced = (
        f"{_ANYTHING_KEPT} OR EXISTS (SELECT 1 FROM {TAPE}"
        f" WHERE packed IS NOT NULL AND op NOT IN ({Op.UPDATE:d}, {Op.SCHEMA:d}))"
    )
    if not raw.execute(replaced).get:
        counted = ", ".join(str(int(op)) for op in Op if op not in _NOT_COUNTED)
        sent = f"op % {KINDS} IN ({counted}) AND NOT op & {EFFECT | OUTCOMES['carried']}"
        return int(raw.execute(f"SELECT count(*) FROM {TAPE} WHERE {sent}").get)
    return sum(
        is_shown(change)
        for one in transactions(raw)
        if one.state in ("pending", "refused")
        for change in one.changes
    )


def ignored_names(raw: apsw.Connection) -> set[str]:
    """Return the folded names that tables which are never pushed were given here."""
    query = f"SELECT packed FROM {TAPE} WHERE op = {Op.SCHEMA:d} AND v4 AND v1 = 'rename_table'"
    return {folded(details_of(packed)["to"]) for (packed,) in raw.execute(query)}


def kept_triggers(raw: apsw.Connection) -> dict[str, str]:
    """Return the triggers that were made here and are never pushed: their texts by folded names."""
    query = f"SELECT v0, v1, v2 FROM {TAPE} WHERE op = {Op.SCHEMA:d} AND v4 ORDER BY id"
    rows: list[Any] = raw.execute(query).fetchall()
    kept: dict[str, str] = {}
    for sql, kind, name in rows:
        if object_type(sql) != "trigger":
            continue
        if kind == "create":
            kept[folded(name)] = sql
        else:
            kept.pop(folded(name), None)
    return kept


def ignore(raw: apsw.Connection, table: str) -> None:
    """Mark what is on the tape of ``table``, which took the name of one that is never pushed."""
    raw.execute(f"UPDATE {SHAPES} SET ignored = 1 WHERE tbl = ? COLLATE NOCASE", (table,))
    raw.execute(f"UPDATE {TAPE} SET v4 = 1 WHERE op = {Op.SCHEMA:d} AND v2 = ? COLLATE NOCASE", (table,))


def is_any_refused(raw: apsw.Connection) -> bool:
    """Return whether there is a tape, and a transaction on it is refused."""
    query = f"SELECT EXISTS (SELECT 1 FROM {TRANSACTIONS} WHERE state = 'refused')"
    return exists(raw) and bool(raw.execute(query).get)


# What happens to it


def acknowledge(raw: apsw.Connection, change_id: int) -> None:
    """Trim what the remote has, up to ``change_id``: that is the acknowledged id from now on.

    Transactions that are refused, aside or skipped stay, and so does what is never pushed. What triggers made
    stays noted until the next pull: the remote's triggers made something else, which is no conflict.
    """
    last = last_id(raw)
    if raw.execute(_NOTHING_STAYS, (change_id,)).get:
        raw.execute(f"DELETE FROM {TAPE}")  # without a condition SQLite looks at no row
        _set_acknowledged(raw, change_id, last + 1)
        return
    if not raw.execute(_ANYTHING_KEPT).get:
        trim(raw, change_id, ())
        _set_acknowledged(raw, change_id, last + 1)
        return
    kept = [one for one in transactions(raw) if one.last_id <= change_id]
    remaining = [left for one in kept if (left := unacknowledged(one, change_id))]
    trim(raw, change_id, remaining)
    part_effects(raw, remaining, change_id)
    _write_changes(raw, remaining)
    _set_acknowledged(raw, change_id, last + 1)


def unacknowledged(transaction: Transaction, change_id: int) -> Transaction | None:
    """Return what of ``transaction`` stays when ``change_id`` is acknowledged."""
    if transaction.last_id > change_id or transaction.state != "pending":
        return transaction
    ignored = tuple(change for change in transaction.changes if is_ignored(change))
    return transaction.changed(changes=ignored) if ignored else None


def set_state(raw: apsw.Connection, number: int, state: State, reason: str = "") -> None:
    """Put the transaction ``number`` into ``state``."""
    raw.execute(f"DELETE FROM {TRANSACTIONS} WHERE number = ?", (number,))
    if state != "pending":
        raw.execute(f"INSERT INTO {TRANSACTIONS} VALUES (?, ?, ?)", (number, state, reason))


def write(
    raw: apsw.Connection,
    transactions: Iterable[Transaction],
    acknowledged_id: int,
    derived: DerivedColumns | None = None,
) -> None:
    """Fill an empty tape; ids and states as given, shapes kept as needed, and what triggers made."""
    everything = list(transactions)
    _write_changes(raw, everything)
    if derived:
        tables = read_schema(raw, ignored_names(raw)).tables.values()
        write_effects(raw, derived, tables, last_id(raw) + 1)
    for one in everything:
        set_state(raw, one.number, one.state, one.reason)
    _set_acknowledged(raw, acknowledged_id, last_id(raw) + 1)


def _write_changes(raw: apsw.Connection, transactions: Sequence[Transaction]) -> None:
    numbers: dict[int, int] = {}
    for one in transactions:
        for change in one.changes:
            if isinstance(change, RowChange) and id(change.shape) not in numbers:
                widen(raw, len(change.shape.columns))
                numbers[id(change.shape)] = table_schema_id(raw, change.shape)
        rows = (_row_of(one, change, numbers) for change in one.changes)
        for sql, group in groupby(starmap(bound, rows), itemgetter(0)):
            raw.executemany(sql, (values for _, values in group))
        if all(change.id != one.last_id for change in one.changes):  # its last change id stays on the tape
            begin = f"INSERT OR IGNORE INTO {TAPE} (id, op, txn, unix_time) VALUES (?, ?, ?, ?)"
            raw.execute(begin, (one.last_id, int(Op.BEGIN), one.number, one.unix_time))


def _row_of(one: Transaction, change: Change, numbers: dict[int, int]) -> tuple[tuple[Any, ...], Image]:
    """Return the fixed values of a change's row, and the others; ``numbers`` are of shapes, by ``id()``."""
    if isinstance(change, SchemaChange):
        values = (change.sql, change.kind, change.name, change.column, int(change.ignored))
        return (change.id, int(Op.SCHEMA), None, one.number, one.unix_time, packed_details(change)), values
    op, image, packed = _as_row(change)
    return (change.id, op, numbers[id(change.shape)], one.number, one.unix_time, packed), image


def put(raw: apsw.Connection, change: RowChange) -> None:
    """Write ``change`` to the tape, of the transaction that is open there; its form is on the tape."""
    op, image, packed = _as_row(change)
    insert(raw, (change.id, op, change.shape.id, None, None, packed), image)


def _as_row(change: RowChange) -> tuple[int, Image, bytes | None]:
    image = change.old if change.new is None else change.new
    if image is None:
        raise AssertionError("a change without images")
    flag = (BY_ACTION if change.by_action else 0) + (BY_REPLACE if change.by_replace else 0)
    flag += OUTCOMES[change.outcome] + CONFLICTS[change.conflict] + (EARLY if change.early else 0)
    flag += moved_flags(change.moved_away)
    if change.op == "update":
        return Op.UPDATE + flag, image, UpdateDetails.of(change).packed()
    if change.op == "insert":
        return (Op.INSERT_AUTO if change.auto_key else Op.INSERT) + flag, image, None
    derived = packed_images([tuple(sorted(change.derived))]) if change.derived else None
    return Op.DELETE + flag, image, derived

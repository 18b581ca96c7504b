"""Compare a replica with its remote, name differences, and fetch them again.

Pages are compared with the remote's at the revision pulled last: a sample of those that are here, and all of
them when the sample, or the contents, differ. Where the replica has the whole database and the remote
nothing newer, contents are compared too, without bringing them: schema, rows of each table, and a digest of
each key range, which the remote computes itself. Two different rows can have one digest: a text counts by
its length and its first, middle and last character. What was changed here is not compared; it is pending.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.changes.images import usable_key
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.engine.chain import ask
from turso_sync_nb.engine.fetch import FIRST_PAGE, comparable, fetch_pages
from turso_sync_nb.engine.meter import Meter
from turso_sync_nb.engine.pull import PullOptions, apply_update
from turso_sync_nb.engine.remote_update import RemoteUpdate, fetch_update_with, has_update
from turso_sync_nb.engine.reports import Difference, VerifyReport
from turso_sync_nb.engine.state_diff import changes_between
from turso_sync_nb.errors import ReplicaError, UsageError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, SqlError, Stmt
from turso_sync_nb.storage.pages.next_base import NextBase
from turso_sync_nb.storage.vfs.snapshot import Snapshot
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Change, TableSchema
    from turso_sync_nb.engine.replica import Replica

KEYS_IN_RANGE: Final = 4096
"""Rowids of one digest: few enough to be read quickly, many enough that their number does not matter."""

NAMED_MAX: Final = 1_000
"""Differences that a report names; it says how many more there are."""

OTHER_DATABASE_SHARE: Final = 0.5
"""Of the pages compared: if more differ, the server has another database, and nothing is repaired."""

_SCHEMA: Final = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"


def verify(replica: Replica, options: PullOptions, *, sample: int | None, repair: bool) -> VerifyReport:
    """Compare; ``sample`` pages, all that are here if ``None``. ``repair``: fetch again what differs.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        RevisionGoneError: the remote does not know our revision any more.
        ReplicaError: to be repaired, but the server has another database.
        UsageError: nothing was fetched yet.
    """
    with replica.verb():
        meter = Meter(replica.need_remote())
        if not replica.metadata.revision:
            raise UsageError("verify: nothing is here yet", hint="pull first")
        run = _Run(replica)
        run.compare_content()
        here = replica.store.base_pages - BitMap([LOCK_PAGE])
        run.compare_pages(_sample(here, sample))
        if run.differences or run.differing:
            run.compare_pages(here)
        run.name_pages()
        repaired = run.repair(options) if repair and run.differing else 0
        if run.compared < len(here):
            beyond = format_size((len(here) - run.compared) * PAGE_SIZE)
            run.left_out.append(f"{beyond} that is here, beyond the sample")
        if changed := replica.store.undo.pages | replica.store.page_map.local_only:
            run.left_out.append(f"{format_size(len(changed) * PAGE_SIZE)} as changes made here left it")
        if absent := replica.metadata.db_pages - len(here):
            run.left_out.append(f"{format_size(absent * PAGE_SIZE)} that is not here")
        spent = meter.spent()
        return VerifyReport(
            pages=run.compared,
            pages_total=replica.metadata.db_pages,
            tables=run.tables,
            rows=run.rows,
            differences=tuple(run.differences[:NAMED_MAX]),
            more=max(0, len(run.differences) - NAMED_MAX),
            not_compared=tuple(run.left_out),
            repaired=repaired,
            received_bytes=spent.received_bytes,
            requests=spent.requests,
            seconds=spent.seconds,
        )


def _sample(pages: BitMap, size: int | None) -> BitMap:
    """Return ``size`` random pages of ``pages``, and page 0; all if ``size`` is None."""
    if size is None or size >= len(pages):
        return pages
    drawn = random.sample(range(len(pages)), size)
    return BitMap([pages[at] for at in drawn]) | (pages & BitMap([FIRST_PAGE]))


class _Run:
    """One verification."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.compared = 0
        self.differing = BitMap()
        self.differences: list[Difference] = []
        self.left_out: list[str] = []
        self.tables = self.rows = 0
        self._seen = BitMap()

    # Pages

    def compare_pages(self, pages: BitMap) -> None:
        """Compare ``pages`` with the remote's, except those that were compared already."""
        store, revision = self.replica.store, self.replica.metadata.revision
        with ended(fetch_pages(self.replica.need_remote(), revision, pages - self._seen)) as fetched:
            for page, data in fetched:
                if comparable(page, data) != comparable(page, store.base(page)):
                    self.differing.add(page)
        self._seen |= pages
        self.compared = len(self._seen)

    def name_pages(self) -> None:
        """Name the rows on the pages that differ, or the pages where that cannot be."""
        if not self.differing:
            return
        replica, metadata = self.replica, self.replica.metadata
        theirs = NextBase(replica.folder, metadata.db_pages)
        try:
            theirs.put(fetch_pages(replica.need_remote(), metadata.revision, self.differing))
            keep = replica.store.base_pages - self.differing
            changes, unplaced = changes_between(replica, RemoteUpdate(metadata.revision, theirs, keep))
        except (apsw.Error, ReplicaError) as error:
            changes, unplaced = (), len(self.differing)
            self.left_out.append(f"rows of what differs, for they cannot be read here: {error}")
        finally:
            theirs.discard()
        named = [_difference(change) for change in changes]
        rowless = unplaced or not named
        pages = f"{len(self.differing)} pages differ, page {self.differing.min()} first"
        self.differences += [*named, *([Difference("", None, "pages", pages)] if rowless else [])]

    def repair(self, options: PullOptions) -> int:
        """Fetch the pages that differ again, with what else is new; local changes are replayed on them."""
        if len(self.differing) > self.compared * OTHER_DATABASE_SHARE and self.compared > 1:
            raise ReplicaError(
                f"repair: {len(self.differing)} of {self.compared} pages differ: the server at this address "
                "has another database",
                hint="check the address, or connect under a new name; nothing was changed here",
            )
        update = fetch_update_with(self.replica, self.differing)
        try:
            apply_update(self.replica, update, options)
        finally:
            update.next_base.discard()
        return len(self.differing)

    # Contents

    def compare_content(self) -> None:
        """Compare schema, numbers of rows and digests with what the remote says of its newest state."""
        replica = self.replica
        if not replica.is_whole:
            self.left_out.append("rows by table: not all of the database is here")
            return
        if has_update(replica):
            self.left_out.append("rows by table: the remote has news, which a pull brings")
            return
        found: list[Difference] = []
        store = replica.store
        with Snapshot(replica.metadata.db_pages, store.base_pages, store.base, replica.remote_pages) as base:
            try:
                found += self._schema(base.raw)
                for shape in read_schema(base.raw, ()).tables.values():
                    if not is_internal(shape.table):
                        found += self._table(base.raw, shape)
            except apsw.Error as error:
                found.append(Difference("", None, "unreadable", str(error)))
        if has_update(replica):
            self.left_out.append("rows by table: the remote changed meanwhile")
            return
        self.differences += found

    def _ask(self, sql: str) -> Sequence[tuple[Any, ...]] | str:
        """Return the remote's rows, or its error message."""
        (answer,) = ask(self.replica.need_remote(), Execute(Stmt(sql)))
        if isinstance(answer, SqlError):
            return answer.message
        return answer.result.rows if isinstance(answer, ExecuteResponse) else "no answer to it"

    def _schema(self, raw: apsw.Connection) -> Iterator[Difference]:
        there = self._ask(_SCHEMA)
        if isinstance(there, str):
            self.left_out.append(f"the schema: {there}")
            return
        sides = [
            {(kind, name): sql for kind, name, sql in rows if not is_internal(str(name))}
            for rows in (raw.execute(_SCHEMA).fetchall(), there)
        ]
        for kind, name in sides[0].keys() | sides[1].keys():
            ours, theirs = (side.get((kind, name)) for side in sides)
            if ours != theirs:
                yield Difference(str(name), None, "schema", f"here {ours!r}, there {theirs!r}")

    def _table(self, raw: apsw.Connection, shape: TableSchema) -> Iterator[Difference]:
        """Compare rows and digests of the key ranges of one table."""
        sql = _digests(shape)
        there = self._ask(sql)
        if isinstance(there, str):
            self.left_out.append(f"rows of {shape.table}: {there}")
            return
        ours, theirs = _by_range(raw.execute(sql).fetchall()), _by_range(there)
        self.tables += 1
        self.rows += sum(count for count, _ in ours.values())
        for part in sorted(ours.keys() | theirs.keys()):
            here, far = ours.get(part, (0, None)), theirs.get(part, (0, None))
            if here != far:
                yield Difference(shape.table, _range(shape, part), "rows", f"{here[0]} here, {far[0]} there")


def _by_range(rows: Iterable[Any]) -> dict[int, tuple[int, Any]]:
    return {part: (count, digest) for part, count, digest in rows}


def _range(shape: TableSchema, part: int) -> dict[str, Any] | None:
    """Return a range of rowids under the name that a user knows, or None for a table without rowid."""
    if shape.rowid_name is None:
        return None
    name = shape.columns[shape.key[0]] if shape.auto_key else shape.rowid_name
    return {name: range(part * KEYS_IN_RANGE, (part + 1) * KEYS_IN_RANGE)}


def _difference(change: Change) -> Difference:
    """Return the difference that ``change`` would remove: of a row or an object here from the remote's."""
    if not isinstance(change, RowChange):
        return Difference(change.name, None, "schema", change.sql)
    said = {"insert": "missing here", "delete": "not on the remote", "update": "another row there"}[change.op]
    shape, image = change.shape, change.new if change.old is None else change.old
    if image is None or not usable_key(shape, image):
        return Difference(shape.table, None, "row", said)
    return Difference(shape.table, {shape.columns[at]: image[at] for at in shape.key}, "row", said)


def _digests(shape: TableSchema) -> str:
    """Return the query for a number, rows and digest of each key range; both engines compute it alike."""
    table = quoted(shape.table)
    rowid = f"{table}.{shape.rowid_name}" if shape.rowid_name else ""
    # rounded down, below zero too
    part = f"({rowid} - ({rowid} % {KEYS_IN_RANGE} + {KEYS_IN_RANGE}) % {KEYS_IN_RANGE}) / {KEYS_IN_RANGE}"
    columns = _sum([f"{number * 10007 % 65521} * ({_digest(f'{table}.{quoted(name)}')})"
                    for number, name in enumerate(shape.columns, 1)])  # fmt: skip
    of_row = f"({f'({rowid} % 65537 + 1)' if rowid else '1'} * (({columns}) % 1000003)) % 1000003"
    grouped = f"{part} AS part, count(*), sum({of_row}) FROM {table} GROUP BY 1"
    return f"SELECT {grouped}" if rowid else f"SELECT 0, count(*), ifnull(sum({of_row}), 0) FROM {table}"


def _sum(terms: Sequence[str]) -> str:
    """Return the sum of ``terms``, whose depth grows with the logarithm of their number."""
    if len(terms) == 1:
        return terms[0]
    half = (len(terms) + 1) // 2
    return f"({_sum(terms[:half])}) + ({_sum(terms[half:])})"


def _digest(column: str) -> str:
    """Return a number for a value: arithmetic for numbers, length and few characters for texts."""
    whole = f"CAST({column} AS INTEGER)"
    size = f"length(CAST({column} AS BLOB))"
    characters = " + ".join(
        f"{factor} * ifnull(unicode({place}), 0)"
        for factor, place in (
            (37, column),
            (41, f"substr({column}, length({column}) / 2, 1)"),
            (43, f"substr({column}, -1)"),
        )
    )
    return (
        f"CASE typeof({column}) WHEN 'integer' THEN {column} % 1000003 "
        f"WHEN 'real' THEN CASE WHEN abs({column}) < 1e15 "
        f"THEN 7 + {whole} % 1000003 + CAST(({column} - {whole}) * 1048576 AS INTEGER) ELSE 5 END "
        f"WHEN 'null' THEN 3 WHEN 'blob' THEN 13 + 29 * length({column}) "
        f"ELSE 11 + 31 * {size} + {characters} END"
    )

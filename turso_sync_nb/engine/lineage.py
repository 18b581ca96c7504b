"""Record on the remote what a replica and its copies have pushed, so that a restored copy knows.

Rows without a key, and rows whose key SQLite assigned, do not tell by themselves whether they were sent. So a
push notes the interval of last change ids that it sent, in further rows of the bookkeeping's table, which
every Turso client reads by its own client id alone. ``LINEAGE#FIRST`` is an interval: ``pull_gen`` its first
id, ``change_id`` its last. ``LINEAGE#`` has in ``change_id`` the id up to which nothing is known. A *lineage*
is a replica with all its copies: the client id of the first.

Every transaction of the lineage with its last change id in an interval was pushed. For that, ids are made in
blocks: each process that opens a replica begins in a block of its own, so a copy never makes an id in an
interval of the other. An interval stays in one block, and ends before a transaction that is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from turso_sync_nb.changes.images import usable_key
from turso_sync_nb.changes.model import RowChange, is_ignored
from turso_sync_nb.changes.names import BOOKKEEPING, has_table
from turso_sync_nb.changes.tape import BLOCK_IDS
from turso_sync_nb.changes.to_sql import one_or_fail
from turso_sync_nb.engine.chain import ask
from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, Stmt

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    import apsw

    from turso_sync_nb.changes.model import Change, Transaction
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.storage.files.metadata import Metadata

INTERVALS_MAX: Final = 64
"""Intervals that the remote keeps of a lineage, the newest ones: about one for each process that pushed."""

_ACKNOWLEDGED: Final = -1
"""In place of a transaction's number: the id that was acknowledged."""

_ASKED_MAX: Final = 500
"""Ids that one statement asks about."""

_OF_LINEAGE: Final = "client_id > ? AND client_id < ?"
_SELECT: Final = (
    f"SELECT pull_gen, change_id, client_id FROM {BOOKKEEPING} WHERE client_id >= ? AND client_id < ?"
)


class Interval(NamedTuple):
    """Last change ids whose transactions were all pushed.

    ``goes_on``: the end of the interval that it lengthens, or 0.
    """

    first: int
    last: int
    goes_on: int = 0


def of_batch(
    everything: Iterable[Transaction],
    batch: Collection[Transaction],
    acknowledged_id: int,
    former: Iterable[tuple[int, int]] = (),
) -> list[Interval]:
    """Return the intervals of ``batch``, which is a part of ``everything``, the lowest first.

    Everything up to ``acknowledged_id`` was sent. ``former``: last change ids that transactions had before
    they were taken up again or edited, each with its number.
    """
    sent = {one.number for one in batch}
    listed = {one.last_id: one.number for one in everything if not all(map(is_ignored, one.changes))}
    listed |= {last_id: number for number, last_id in former}
    listed[acknowledged_id] = _ACKNOWLEDGED
    found, is_next = [Interval(0, 0)], False
    for last_id, number in sorted(listed.items()):
        before = found[-1]
        if number == _ACKNOWLEDGED:
            found.append(Interval(0, last_id, last_id))
        elif number not in sent:
            is_next = False
            continue
        elif is_next and before.last // BLOCK_IDS == last_id // BLOCK_IDS:
            found[-1] = Interval(before.first or last_id, last_id, before.goes_on)
        else:
            found.append(Interval(last_id, last_id))
        is_next = last_id > 0
    return [one for one in found if one.first]


def note(lineage: str, intervals: Sequence[Interval], acknowledged_id: int) -> list[Stmt]:
    """Return the statements that note ``intervals``; what was sent up to ``acknowledged_id`` is not noted.

    Of more than ``INTERVALS_MAX`` the lowest are not noted either: up to their end nothing is known then.
    """
    own, low, high = f"{lineage}#", f"{lineage}#", f"{lineage}$"
    left_out, intervals = intervals[:-INTERVALS_MAX], intervals[-INTERVALS_MAX:]
    insert = f"INSERT INTO {BOOKKEEPING} (client_id, pull_gen, change_id)"
    stmts = []
    if any(not one.goes_on for one in intervals):
        stmts.append(
            Stmt(f"{insert} VALUES (?, 0, ?) ON CONFLICT (client_id) DO NOTHING", (own, acknowledged_id))
        )
    for one in intervals:
        lengthened = f"FROM {BOOKKEEPING} WHERE {_OF_LINEAGE} AND change_id = ?"
        stmts.append(
            Stmt(
                f"{insert} VALUES (ifnull((SELECT client_id {lengthened}), ?), "
                f"ifnull((SELECT pull_gen {lengthened}), ?), ?) "
                "ON CONFLICT (client_id) DO UPDATE SET change_id = max(change_id, excluded.change_id)",
                (low, high, one.goes_on, f"{own}{one.first}", low, high, one.goes_on, one.first, one.last),
            )
        )
    if len(stmts) > len(intervals):  # a new one may be one too many
        last_too_many = (
            f"SELECT change_id FROM {BOOKKEEPING} WHERE {_OF_LINEAGE} "
            f"ORDER BY change_id DESC LIMIT 1 OFFSET {INTERVALS_MAX}"
        )
        stmts.append(
            Stmt(
                f"UPDATE {BOOKKEEPING} SET change_id = max(change_id, ?, ifnull(({last_too_many}), 0)) "
                "WHERE client_id = ?",
                (left_out[-1].last if left_out else 0, low, high, own),
            )
        )
        stmts.append(
            Stmt(
                f"DELETE FROM {BOOKKEEPING} WHERE {_OF_LINEAGE} "
                f"AND change_id <= (SELECT change_id FROM {BOOKKEEPING} WHERE client_id = ?)",
                (low, high, own),
            )
        )
    return stmts


def unsent(lineage: str, ids: Sequence[int]) -> list[Stmt]:
    """Return the statements that fail if a copy sent what had one of ``ids`` as its last change id."""
    stmts = []
    for at in range(0, len(ids), _ASKED_MAX):
        some = tuple(ids[at : at + _ASKED_MAX])
        places = ", ".join(["(?)"] * len(some))
        sent = (
            f"SELECT 1 FROM {BOOKKEEPING} JOIN (VALUES {places}) AS asked "
            f"ON asked.column1 BETWEEN pull_gen AND change_id WHERE {_OF_LINEAGE}"
        )
        unsent = one_or_fail(f"NOT EXISTS ({sent})")
        stmts.append(Stmt(f"SELECT {unsent}", (*some, f"{lineage}#", f"{lineage}$")))
    return stmts


@dataclass(frozen=True)
class Pushed:
    """The noted intervals of a lineage; nothing is known of ids up to ``unknown``.

    ``former``: last change ids of transactions that were taken up again here, each with its number.
    ``edited``: those of transactions that were edited; what was sent under them is not what waits.
    """

    intervals: tuple[tuple[int, int], ...]
    unknown: int
    former: tuple[tuple[int, int], ...]
    edited: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, rows: Iterable[Any], metadata: Metadata) -> Pushed:
        """Return the pushes of this lineage that ``rows`` of the bookkeeping note."""
        noted = {str(client): (first, last) for first, last, client in rows}
        _, unknown = noted.pop(f"{lineage_of(metadata)}#", (0, 2**63 - 1))
        borders = metadata.former_borders, metadata.edited_borders
        return cls(tuple(noted.values()), unknown, *borders)

    def ends_at(self, change_id: int) -> bool:
        """Return whether the push that acknowledged ``change_id`` was noted."""
        return any(last == change_id for _, last in self.intervals)

    def has(self, one: Transaction) -> bool:
        """Return whether ``one`` was pushed, as far as is known, under this id or one that it had."""
        return any(map(self._has_id, (one.last_id, *_ids_of(one, self.former))))

    def has_unedited(self, one: Transaction) -> bool:
        """Return whether ``one`` was pushed by a copy in a form that it had before it was edited here."""
        return not self.has(one) and any(map(self._has_id, _ids_of(one, self.edited)))

    def first_id_of(self, one: Transaction) -> int:
        """Return the lowest last change id under which ``one`` may have been pushed."""
        return min([one.last_id, *_ids_of(one, self.former), *_ids_of(one, self.edited)])

    def knows(self, one: Transaction) -> bool:
        """Return whether it is certain that ``one`` was pushed, or that it was not."""
        return self.has(one) or self.first_id_of(one) > self.unknown

    def _has_id(self, last_id: int) -> bool:
        return any(first <= last_id <= last for first, last in self.intervals)


def _ids_of(one: Transaction, borders: Iterable[tuple[int, int]]) -> list[int]:
    return [last_id for number, last_id in borders if number == one.number]


def read_local(raw: apsw.Connection, metadata: Metadata) -> Pushed:
    """Return the intervals in the state that ``raw`` shows."""
    name = lineage_of(metadata)
    rows = raw.execute(_SELECT, (f"{name}#", f"{name}$")) if has_table(raw, BOOKKEEPING) else ()
    return Pushed.of(rows, metadata)


def read_remote(remote: Remote, metadata: Metadata) -> Pushed:
    """Ask the remote for the intervals.

    Raises:
        RemoteError: no answer.
        ProtocolError: an answer that makes no sense.
    """
    name = lineage_of(metadata)
    (answer,) = ask(remote, Execute(Stmt(_SELECT, (f"{name}#", f"{name}$"))))
    if not isinstance(answer, ExecuteResponse):
        raise ProtocolError("ask what was pushed: the answer is no table", hint="push again")
    return Pushed.of(answer.result.rows, metadata)


def lineage_of(metadata: Metadata) -> str:
    """Return the name of a replica's lineage."""
    return metadata.lineage or metadata.client_id


def borders_of(metadata: Metadata) -> tuple[tuple[int, int], ...]:
    """Return all last change ids that transactions had before, each with the transaction's number."""
    return (*metadata.former_borders, *metadata.edited_borders)


def without_borders(metadata: Metadata, kept: Container[int]) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return the fields of the metadata with the former ids of the transactions ``kept`` alone.

    A number may be given again after its transaction is gone.
    """
    fields = {"former_borders": metadata.former_borders, "edited_borders": metadata.edited_borders}
    return {name: tuple(each for each in borders if each[0] in kept) for name, borders in fields.items()}


def tells_by_itself(one: Transaction) -> bool:
    """Return whether ``one`` can be sent again without harm: the remote's rows show that it was done."""
    return all(map(_tells, one.changes))


def _tells(change: Change) -> bool:
    if not isinstance(change, RowChange) or is_ignored(change):
        return True
    image = change.new if change.old is None else change.old
    is_assigned = change.op == "insert" and change.auto_key and change.shape.auto_key
    has_key = image is not None and usable_key(change.shape, image)
    return has_key and not is_assigned and change.outcome == "changed"

"""Remove from a restored or copied replica's outbox what its lineage has pushed already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes import tape
from turso_sync_nb.changes.merging import same_image
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.read_row import read_row
from turso_sync_nb.changes.renumbering import Renumbering
from turso_sync_nb.engine import lineage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.changes.model import SqlValue, Transaction
    from turso_sync_nb.engine.lineage import Pushed
    from turso_sync_nb.engine.local_changes import LocalChanges

_UNCERTAIN: Final = (
    "this replica was restored or copied, and the remote may have it already: look there; "
    "retry() sends it, skip() gives it up"
)

_EDITED: Final = (
    "this replica was restored or copied, and the remote has it as it was before edit_change(): change its "
    "rows by other statements, and skip() it; retry() sends it beside the other"
)

Row = tuple[str, "SqlValue"]
"""A table and the rowid of one of its rows."""


class SentCopies:
    """Finds what of one replica's outbox the remote has; ``raw`` shows a state of it, ``pushed`` its lineage.

    ``own_ids_from``: the ids above it are this process's own. ``is_transformed``: nobody knows what is sent.
    """

    def __init__(
        self, raw: apsw.Connection, pushed: Pushed, own_ids_from: int | None, *, is_transformed: bool
    ) -> None:
        self._raw = raw
        self.pushed = pushed
        self._own_ids_from = own_ids_from
        self._is_transformed = is_transformed
        self._pointing = Renumbering(raw)
        self.taken_off = 0
        self.given_up = 0
        """Those of the removed transactions that had been given up here."""
        self.set_aside = 0
        self.unedited = 0
        """Transactions that the remote has as they were before they were edited; they are set aside too."""

    def left_of(self, local: LocalChanges) -> list[Transaction]:
        """Return what is left of the list.

        A transaction is set aside where it is not known whether it was sent and its rows do not tell; where
        it was sent before it was edited; and where it means a row that was sent and got another key then.
        """
        left, elsewhere = [], dict(self._elsewhere(local))
        for one in local.transactions:
            is_unedited = self.pushed.has_unedited(one)
            if self.pushed.has(one) or (is_unedited and one.state == "skipped"):
                self.taken_off += 1
                self.given_up += one.state == "skipped"
                if kept := tape.unacknowledged(one.changed(state="pending", reason=""), one.last_id):
                    left.append(kept)
            elif is_unedited:
                self.unedited += 1
                left.append(one.changed(state="aside", reason=_EDITED))
            elif one.state in ("skipped", "aside"):
                left.append(one)
            elif reason := self._reason(one, elsewhere):
                self.set_aside += 1
                left.append(one.changed(state="aside", reason=reason))
            else:
                left.append(one)
        return left

    def _reason(self, one: Transaction, elsewhere: dict[Row, int]) -> str:
        """Return the reason to set ``one`` aside, or an empty text."""
        is_own = self._own_ids_from is not None and self.pushed.first_id_of(one) > self._own_ids_from
        tells = lineage.tells_by_itself(one) and not self._is_transformed
        if not (is_own or tells or self.pushed.knows(one)):
            return _UNCERTAIN
        for table, key in self._meant_by(one):
            if (table, key) in elsewhere:
                return (
                    f"it means the row of {table} that transaction {elsewhere[table, key]} made with key "
                    f"{key!r}; on the remote that row has another key: edit_change() it, then retry()"
                )
        return ""

    def _elsewhere(self, local: LocalChanges) -> Iterator[tuple[Row, int]]:
        """Yield the rows that were pushed but have another key on the remote, each with its transaction."""
        for one in local.transactions:
            for change in one.changes if self.pushed.has(one) else ():
                if isinstance(change, RowChange) and change.op == "insert" and change.new is not None:
                    if not (change.auto_key and change.shape.auto_key):
                        continue
                    try:
                        there = read_row(self._raw, change.shape, change.new)
                    except apsw.SQLError:  # the table, or a column of it, is not there any more
                        continue
                    if there is None or not same_image(there, change.new):
                        yield (folded(change.shape.table), change.new[change.shape.key[0]]), one.number

    def _meant_by(self, one: Transaction) -> Iterator[Row]:
        """Yield the rows that ``one`` changes or refers to by a foreign key, except those it inserted."""
        made: set[Row] = set()
        for change in one.changes:
            if not isinstance(change, RowChange):
                continue
            shape = change.shape
            meant = list(self._pointing.parents_of(change))
            if shape.auto_key and change.old is not None:
                meant.append((folded(shape.table), change.old[shape.key[0]]))
            yield from (row for row in meant if row not in made)
            if shape.auto_key and change.new is not None:
                made.add((folded(shape.table), change.new[shape.key[0]]))

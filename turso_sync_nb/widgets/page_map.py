"""Show every page of the database as a cell, coloured by table or index, live.

A database of more than a million pages has several pages in each cell, which shows the most telling of their
states: so what this costs follows the pages that are here, never the size of the database.

Two arrays go to the views, each as a whole once and then as deltas (``runs``): the state of each cell, and
whose it is; with them go counts of pages by owner and state. States follow each event; owners and changed
pages are looked at after cells and work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pyroaring import BitMap

from turso_sync_nb.changes.names import is_internal
from turso_sync_nb.connection.fetching import ASKED_FROM_PAGES
from turso_sync_nb.connection.index_labels import index_labels
from turso_sync_nb.engine.page_owners import changed_pages
from turso_sync_nb.units import PAGE_SIZE, format_share, format_share_bar, format_size
from turso_sync_nb.widgets.live import LiveWidget, script
from turso_sync_nb.widgets.picture import data_url
from turso_sync_nb.widgets.runs import delta, whole
from turso_sync_nb.widgets.snapshots import image, line, table
from turso_sync_nb.words import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.engine.page_owners import Owner
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.widgets.live import Message
    from turso_sync_nb.widgets.snapshots import Block

ABSENT: Final = 0
HERE: Final = 1
CHANGED: Final = 2
FRESH: Final = 3
"""Fetched by the last cell."""

CELLS_MAX: Final = 2**20
"""Cells of a map; with more pages than that, each cell stands for several."""


class PageMap(LiveWidget):
    """Shows which pages are here and whose they are; a click fetches a table or an index."""

    _esm = script("page_map")
    title = "map of the database"

    def __init__(self, db: Connection, replica: Replica) -> None:
        super().__init__(db, replica)
        self._fresh = BitMap()
        self._changed = BitMap()
        self._pages = 0
        self._states: NDArray[Any] = np.zeros(0, np.uint8)
        self._owned: NDArray[Any] = np.zeros(0, np.uint16)
        self._owners: list[Owner] = []
        self._labels: dict[str, str] = {}
        self._counts: list[list[int]] = []
        self._cell_is_new = False
        self._seen: tuple[object, ...] = ()
        self.handlers["fetch"] = lambda content: self._fetch(str(content["name"]), sure=content["sure"])

    # Updates

    def record_event(self, pages: BitMap | None) -> None:
        """Keep which pages arrived; those of an earlier cell are not fresh any more."""
        if pages is not None:
            if self._cell_is_new:
                self._cell_is_new = False
                self._fresh = BitMap()
            self._fresh |= pages

    def cell_began(self) -> None:
        """Have what arrives next begin anew."""
        self._cell_is_new = True

    def full_message(self, db: Connection) -> Message:
        """Return every page."""
        self._look(db)
        self._states, self._owned = self._states_now(), self._owned_now()
        return self._wholly()

    def update_message(self) -> Message | None:
        """Return the pages whose state changed; everything when the database has another size."""
        if self._pages_now() != self._pages:
            self._pages = self._pages_now()
            self._states, self._owned = self._states_now(), self._owned_now()
            return self._wholly()
        states = self._states_now()
        changes = delta(self._states, states)
        self._states = states
        return self._delta(changes, b"")

    def look_message(self, db: Connection) -> Message | None:
        """Return what changed of states and owners."""
        if self._cell_is_new:
            self._fresh = BitMap()
        seen = self._seen_now()
        names, pages = self._names(), self._pages
        self._look(db)
        states, owned = self._states_now(), self._owned_now()
        before = self._states, self._owned
        self._states, self._owned = states, owned
        self._seen = seen
        if names != self._names() or pages != self._pages:
            return self._wholly()
        return self._delta(delta(before[0], states), delta(before[1], owned))

    def _wholly(self) -> Message:
        self._counts = self._counts_now()
        message = {
            "type": "whole",
            "pages": self._pages,
            "pages_per_cell": self._pages_per_cell,
            "page_size": PAGE_SIZE,
            "owners": self._names(),
            "counts": self._counts,
        }
        return message, [whole(self._states), whole(self._owned)]

    def _delta(self, states: bytes, owned: bytes) -> Message | None:
        counts = self._counts_now()
        if not states and not owned and counts == self._counts:
            return None
        self._counts = counts
        return {"type": "delta", "counts": counts}, [states, owned]

    def _names(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": each.kind, "name": each.name, "label": self._label(each), "table": each.table,
                "internal": each.kind == "free" or is_internal(each.table),
            }
            for each in self._owners
        ]  # fmt: skip

    def _label(self, owner: Owner) -> str:
        return self._labels.get(owner.name, owner.name)

    # The replica

    def _look(self, db: Connection) -> None:
        self._changed = changed_pages(self.replica)
        self._owners = db.page_owners()
        self._labels = index_labels(db)
        self._pages = self._pages_now()

    def has_changed(self) -> bool:
        """Return whether what a look depends on is not as it was at the last one."""
        return (self._cell_is_new and bool(self._fresh)) or self._seen_now() != self._seen

    def _seen_now(self) -> tuple[object, ...]:
        store, log = self.replica.store, self.replica.folder.wal
        status = log.stat() if log.exists() else None
        written = status and (status.st_size, status.st_mtime_ns, status.st_ino)
        page_map = store.page_map
        here = [BitMap(pages) for pages in (page_map.resident, page_map.local_only, store.undo.pages)]
        return self.replica.metadata.revision, page_map.db_pages, written, here, BitMap(self._fresh)

    def _pages_now(self) -> int:
        local = self._changed.max() + 1 if self._changed else 0
        return max(self.replica.store.page_map.db_pages, local)

    @property
    def _pages_per_cell(self) -> int:
        return max(1, -(-self._pages // CELLS_MAX))

    def _states_now(self) -> NDArray[Any]:
        page_map = self.replica.store.page_map
        states = self._cells(np.uint8)
        for pages, state in (
            (page_map.resident, HERE), (self._fresh, FRESH), (self._changed, CHANGED),
        ):  # fmt: skip
            states[self._places(pages)] = state
        return states

    def _owned_now(self) -> NDArray[Any]:
        owned = self._cells(np.uint16)  # 0: no resident page tells whose it is
        for number, owner in enumerate(self._owners, 1):
            owned[self._places(owner.pages)] = number
        return owned

    def _cells(self, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
        return np.zeros(-(-self._pages // self._pages_per_cell), kind)

    def _places(self, pages: BitMap) -> NDArray[Any]:
        """Return the cells that stand for ``pages``; what lies past the end has none."""
        places = np.asarray(pages.to_array())
        return places[: np.searchsorted(places, self._pages)] // self._pages_per_cell

    def _counts_now(self) -> list[list[int]]:
        """Return how many pages are in each state: of unknown owners, then of each owner."""
        changed = self._changed
        fresh = self._fresh - changed
        here = self.replica.store.page_map.resident - changed - fresh
        owned = BitMap.union(BitMap(), *(owner.pages for owner in self._owners))
        in_states = [_counted(owner.pages, len(owner.pages), here, changed, fresh) for owner in self._owners]
        unknown = [pages - owned for pages in (here, changed, fresh)]
        return [_counted(None, self._pages - len(owned), *unknown), *in_states]

    # Fetching

    def _fetch(self, name: str, *, sure: bool) -> None:
        """Fetch a table or an index; of a large one what tells its size, unless the user is ``sure``."""

        def fetch(db: Connection) -> str:
            count, left = db.fetch_owned(name, None if sure else ASKED_FROM_PAGES)
            if left:
                self.send({"type": "ask", "name": name, "pages": left, "bytes": left * PAGE_SIZE})
            return f"{self._labels.get(name, name)}: downloaded {format_size(count * PAGE_SIZE)}"

        self.work(f"fetch {self._labels.get(name, name)}", fetch)

    # Without a kernel

    def snapshot(self, db: Connection) -> Block:
        """Return a picture, how much is here, and of whom, the largest first."""
        self._look(db)
        resident = self.replica.store.page_map.resident
        total = format_size(self._pages * PAGE_SIZE)
        said = f"{format_share(len(resident), self._pages)} of {total} is here"
        if self._changed:
            said += f", {format_size(len(self._changed) * PAGE_SIZE)} changed here"
        owners = [each for each in self._owners if each.kind != "free" and not is_internal(each.table)]
        rows = [
            (
                each.name if each.kind == "table" else f"{self._label(each)} (index of {each.table})",
                Figure(("" if each.pages <= resident else "≥ ") + format_size(len(each.pages) * PAGE_SIZE)),
                format_share_bar(len(each.pages & resident), len(each.pages)),
            )
            for each in sorted(owners, key=lambda each: -len(each.pages))
        ]
        picture = image(data_url(self._states_now(), self._owned_now()), f"map of the database: {said}")
        return picture + line(said) + table(("name", "size", "here"), rows)


def _counted(of: BitMap | None, known: int, here: BitMap, changed: BitMap, fresh: BitMap) -> list[int]:
    """Return how many of the ``known`` pages are absent, here, changed and fresh, as the states count."""
    within = [len(pages if of is None else pages & of) for pages in (here, changed, fresh)]
    return [known - sum(within), *within]

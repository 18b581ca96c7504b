"""Map which pages of the base image are resident.

Ours, and not the file system's holes, which lie on some file systems. Time and memory follow the runs of
pages that are here, never the size of the database.

On disk: magic, three lengths (``db_pages``, bytes of each bitmap), the two bitmaps in roaring's portable
format (resident, local-only), and a CRC-32 of all that. A lost or spoilt map is none: its pages are fetched
again.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.storage.files.durable import mapped_os_errors, write_durably
from turso_sync_nb.units import LOCK_PAGE, PAGES_MAX

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC: Final = b"tsnpages1\n"
_LENGTHS: Final = struct.Struct("<QQQ")
_CRC: Final = struct.Struct("<I")
_BITMAPS_AT: Final = len(_MAGIC) + _LENGTHS.size
"""The offset of the two bitmaps in the file."""


class PageMap:
    """Every page below ``db_pages`` is absent, *resident* (base known) or *local-only*.

    Local-only: written by a checkpoint without its base ever being fetched. ``resident`` and ``local_only``
    are disjoint and stay the same objects, so that a reader may keep hold of their membership test. Not
    safe for threads: its owner, the page store, guards changes; testing membership meanwhile is safe.
    """

    def __init__(
        self, db_pages: int, resident: BitMap | None = None, local_only: BitMap | None = None
    ) -> None:
        self.db_pages = db_pages
        self.resident = BitMap() if resident is None else resident
        self.local_only = BitMap() if local_only is None else local_only
        self._know_lock_page()

    def _know_lock_page(self) -> None:
        """The lock page holds zeros in every database and is sent by no remote: it is always here."""
        if self.db_pages > LOCK_PAGE:
            self.resident.add(LOCK_PAGE)
            self.local_only.discard(LOCK_PAGE)

    def __contains__(self, page: int) -> bool:
        """Return whether ``page`` is not absent."""
        return page in self.resident or page in self.local_only

    @property
    def is_whole(self) -> bool:
        """Return whether no page is absent."""
        return len(self.resident) + len(self.local_only) == self.db_pages

    def absent(self) -> BitMap:
        """Return the absent pages."""
        return self.absent_of(BitMap(range(self.db_pages)))

    def absent_of(self, pages: BitMap) -> BitMap:
        """Return the absent ones of ``pages``; numbers past the end are left out."""
        absent = pages - self.resident - self.local_only
        absent.remove_range(self.db_pages, PAGES_MAX + 1)
        return absent

    def add_resident(self, first: int, end: int) -> None:
        """Make the absent pages from ``first`` up to ``end`` resident: their base content is stored."""
        self.resident.add_range(first, end)

    def add_local_only(self, page: int) -> None:
        """Make the absent ``page`` local-only: it was written here. One past the end is a new last page.

        What then lies between the old end and the new one has no base either: it is not the remote's,
        even where the base, before it was cut, had a page of that id.
        """
        self.local_only.add_range(min(page, self.db_pages), page + 1)
        self.db_pages = max(self.db_pages, page + 1)
        self._know_lock_page()

    def forget(self, pages: BitMap) -> None:
        """Make the resident ``pages`` absent."""
        self.resident.difference_update(pages)

    def resize(self, db_pages: int) -> None:
        """Change the size; pages past the end are dropped, new ones are absent."""
        for bitmap in (self.resident, self.local_only):
            bitmap.remove_range(db_pages, PAGES_MAX + 1)
        self.db_pages = db_pages
        self._know_lock_page()

    def become(self, other: PageMap) -> None:
        """Copy the content of ``other``; the bitmaps stay the same objects."""
        for bitmap, now in ((self.resident, other.resident), (self.local_only, other.local_only)):
            bitmap.clear()
            bitmap.update(now)
        self.db_pages = other.db_pages

    def save(self, path: Path) -> None:
        """Write the map to ``path``, durably.

        Raises:
            ReplicaError: it cannot be written; the former one stays.
        """
        bodies = []
        for bitmap in (self.resident, self.local_only):
            bitmap.run_optimize()
            bodies.append(bitmap.serialize())
        data = _MAGIC + _LENGTHS.pack(self.db_pages, *map(len, bodies)) + b"".join(bodies)
        write_durably(path, data + _CRC.pack(zlib.crc32(data)))

    @classmethod
    def load(cls, path: Path) -> PageMap | None:
        """Return the map at ``path``; ``None`` when there is none that can be believed.

        Raises:
            ReplicaError: the file is there and cannot be read.
        """
        with mapped_os_errors(f"read {path}"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        body, crc = data[: -_CRC.size], data[-_CRC.size :]
        if len(body) < _BITMAPS_AT or not body.startswith(_MAGIC) or crc != _CRC.pack(zlib.crc32(body)):
            return None
        return cls._decoded(body)

    @classmethod
    def load_is_whole(cls, path: Path) -> bool:
        """Return whether the map at ``path`` knows every page."""
        page_map = cls.load(path)
        return page_map is not None and page_map.is_whole

    @classmethod
    def _decoded(cls, body: bytes) -> PageMap | None:
        """Return the map in ``body``; ``None`` when its parts contradict each other."""
        db_pages, resident_length, local_length = _LENGTHS.unpack_from(body, len(_MAGIC))
        middle = _BITMAPS_AT + resident_length
        if db_pages > PAGES_MAX or middle + local_length != len(body):
            return None
        try:
            page_map = cls(
                db_pages, BitMap.deserialize(body[_BITMAPS_AT:middle]), BitMap.deserialize(body[middle:])
            )
        except (ValueError, IndexError):  # IndexError: a bitmap of no bytes at all
            return None
        bitmaps = (page_map.resident, page_map.local_only)
        fits = all(not bitmap or bitmap.max() < db_pages for bitmap in bitmaps)
        return page_map if fits and bitmaps[0].isdisjoint(bitmaps[1]) else None

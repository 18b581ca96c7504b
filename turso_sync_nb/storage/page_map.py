"""The page map: which pages of the base image are here.

Ours, and not the file system's holes, which lie on some file systems. On disk: magic, size in pages, two
portable roaring bitmaps each after its length, and a CRC-32 of it all. A lost or spoilt map is none.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.storage.durable import write_durably

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC: Final = b"tsnpages1\n"
_LENGTHS: Final = struct.Struct("<QQQ")
_CRC: Final = struct.Struct("<I")


class PageMap:
    """Every page below ``db_pages`` is absent, *resident* (base content known) or *local-only*.

    Local-only: written by a checkpoint without its base ever being fetched. Not safe for threads: its
    owner, the page store, guards changes; reading membership beside them is safe.
    """

    def __init__(
        self, db_pages: int, resident: BitMap | None = None, local_only: BitMap | None = None
    ) -> None:
        self.db_pages = db_pages
        self.resident = BitMap() if resident is None else resident
        self.local_only = BitMap() if local_only is None else local_only

    @property
    def is_whole(self) -> bool:
        """Say whether no page is absent."""
        return len(self.resident) + len(self.local_only) == self.db_pages

    def absent(self, first: int = 0, end: int | None = None) -> BitMap:
        """Return the absent pages from ``first`` up to, not including, ``end`` (default: all)."""
        span = BitMap(range(first, self.db_pages if end is None else min(end, self.db_pages)))
        return span - self.resident - self.local_only

    def save(self, path: Path) -> None:
        """Write the map to ``path``, durably."""
        bitmaps = [BitMap(bitmap) for bitmap in (self.resident, self.local_only)]
        for bitmap in bitmaps:
            bitmap.run_optimize()
        bodies = [bitmap.serialize() for bitmap in bitmaps]
        data = _MAGIC + _LENGTHS.pack(self.db_pages, *map(len, bodies)) + b"".join(bodies)
        write_durably(path, data + _CRC.pack(zlib.crc32(data)))

    @classmethod
    def load(cls, path: Path) -> PageMap | None:
        """Return the map at ``path``; ``None`` when there is none that can be believed."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        body, crc = data[: -_CRC.size], data[-_CRC.size :]
        if not body.startswith(_MAGIC) or crc != _CRC.pack(zlib.crc32(body)):
            return None
        start = len(_MAGIC) + _LENGTHS.size
        db_pages, resident_length, _ = _LENGTHS.unpack_from(body, len(_MAGIC))
        middle = start + resident_length
        return cls(db_pages, BitMap.deserialize(body[start:middle]), BitMap.deserialize(body[middle:]))

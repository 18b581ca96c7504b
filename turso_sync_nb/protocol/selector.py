"""Encode the page selector of a pull request: a RoaringBitmap in the portable format, of 0-based page ids.

https://github.com/RoaringBitmap/RoaringFormatSpec. The bytes come from strangers: a bitmap whose parts
contradict each other (unsorted, wrong counts) makes the C library read out of bounds later, so it must
not come into being. pyroaring checks each bitmap that it reads since 1.0.1 (1.0.0 crashes).

Not checked: bytes after the bitmap are ignored, as every reader of the format does, and the ids may lie
past the end of any database. A selector of 25 bytes can name four billion pages: intersect before
iterating.
"""

from __future__ import annotations

from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError


def encode_selector(pages: BitMap) -> bytes:
    """Return ``pages`` in the portable format; ranges cost a few bytes each. ``pages`` stays as it is."""
    compact = pages.copy()
    compact.run_optimize()
    return bytes(compact.serialize())


def decode_selector(data: bytes) -> BitMap:
    """Return the pages that ``data`` names.

    Raises:
        ProtocolError: ``data`` is not a RoaringBitmap, or one that contradicts itself.
    """
    try:
        return BitMap.deserialize(data)
    except (ValueError, IndexError) as error:  # IndexError: no bytes at all
        raise ProtocolError(
            f"read page selector of {len(data)} bytes: {error}",
            hint="send a RoaringBitmap of page ids in the portable format",
        ) from error

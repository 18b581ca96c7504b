"""Encode and decode one page on the wire: raw, or a zstd frame.

A frame comes from strangers: it must be one frame, the whole of the message, of exactly one page. A frame
that declares or unfolds to more than a page is refused before the room for it is taken.
"""

from __future__ import annotations

import threading
from typing import Final, Literal, Protocol

import zstandard

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.units import PAGE_SIZE, PageId

Encoding = Literal["raw", "zstd"]

ZSTD_LEVEL: Final = 3
"""Level that pages are compressed at; the default of the library."""

ZSTD_WINDOW_BYTES_MAX: Final = 8 * 2**20
"""Most memory that a frame may ask for; what RFC 8878 wants of every decoder."""

WRONG_ENCODING: Final = "the server broke the protocol; report it to whoever runs it"

_of_thread = threading.local()


class PageReader(Protocol):
    """Decodes the pages of one answer."""

    def read(self, page_id: PageId, encoded: bytes) -> bytes:
        """Return the 4096 bytes of the page; ProtocolError when it is not that."""


class RawReader:
    """Pages as they are."""

    def read(self, page_id: PageId, encoded: bytes) -> bytes:
        """Return ``encoded``."""
        if len(encoded) != PAGE_SIZE:
            raise _wrong_size(page_id, len(encoded))
        return encoded


class ZstdReader:
    """Pages as zstd frames without a dictionary. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)

    def read(self, page_id: PageId, encoded: bytes) -> bytes:
        """Return what the frame ``encoded`` holds."""
        try:
            declared = zstandard.get_frame_parameters(encoded).content_size
            if declared not in (PAGE_SIZE, zstandard.CONTENTSIZE_UNKNOWN):
                raise _wrong_size(page_id, declared)
            data = self._decompressor.decompress(encoded, max_output_size=PAGE_SIZE, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ProtocolError(
                f"read page {page_id}: not one zstd frame of {PAGE_SIZE} bytes: {error}", hint=WRONG_ENCODING
            ) from error
        if len(data) != PAGE_SIZE:
            raise _wrong_size(page_id, len(data))
        return data


def encode_bytes(data: bytes) -> bytes:
    """Return ``data`` as one zstd frame."""
    compressor: zstandard.ZstdCompressor | None = getattr(_of_thread, "compressor", None)
    if compressor is None:  # one for each thread: it cannot be shared, and is dear to make
        compressor = _of_thread.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return compressor.compress(data)


def _wrong_size(page_id: PageId, size: int) -> ProtocolError:
    return ProtocolError(
        f"read page {page_id}: remote sent {size} bytes, a page is {PAGE_SIZE}", hint=WRONG_ENCODING
    )

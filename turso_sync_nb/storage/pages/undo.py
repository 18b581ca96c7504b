"""Keep the base content of pages that checkpoints overwrote, so that a pull can restore it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.storage.pages.page_file import PageFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyroaring import BitMap

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.units import PageId


class UndoFile:
    """The undo of one replica; belongs to the revision in force, and goes with it."""

    def __init__(self, folder: ReplicaFolder) -> None:
        self._file = PageFile(folder.undo, compressed=True)

    @property
    def pages(self) -> BitMap:
        """The pages whose base content is here."""
        return self._file.pages

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._file.size

    def save(self, pages: Iterable[tuple[PageId, bytes]]) -> None:
        """Add pages; durable when this returns, before anything is written over them.

        Raises:
            ReplicaError: it cannot be written.
        """
        self._file.put(pages)
        self._file.sync()

    def read(self, page: PageId) -> bytes:
        """Return the base content of ``page``, which is here."""
        return self._file.read(page)

    def discard(self) -> None:
        """Remove the file; may be repeated."""
        self._file.discard()

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._file.close()

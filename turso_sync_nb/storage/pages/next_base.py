"""Hold the pages in which the next base image differs from the one in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.generators import ended
from turso_sync_nb.progress import PAGES, report_progress
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.pages.page_store import validated_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyroaring import BitMap

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.units import PageId


class NextBase:
    """Pages of a state that is not in force yet; ``db_pages`` is its size."""

    def __init__(self, folder: ReplicaFolder, db_pages: int) -> None:
        self.db_pages = db_pages
        self.handed_over = False
        """Whether the file belongs to a publication past its commit point, which may need it once more."""
        self.file = PageFile(folder.next_pages)
        self.file.discard()  # of a pull that came to nothing

    @property
    def pages(self) -> BitMap:
        """The pages that are here."""
        return self.file.pages

    def put(self, pages: Iterable[tuple[PageId, bytes]]) -> None:
        """Add pages as they come; what came before an error stays.

        Raises:
            ProtocolError: a page is not of this database, came twice, or cannot be served here.
            ReplicaError: the disk is full, or cannot be written.
        """
        self.file.put(self._checked(pages))

    def _checked(self, pages: Iterable[tuple[PageId, bytes]]) -> Iterable[tuple[PageId, bytes]]:
        here = self.pages.copy()
        with ended(pages):
            for page, data in pages:
                if page in here:
                    raise ProtocolError(
                        f"read page {page}: it came twice",
                        hint="try again; the server's answers are damaged",
                    )
                here.add(page)
                report_progress(PAGES, 1)
                yield page, validated_page(page, data, self.db_pages)

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page``, which is here."""
        return self.file.read(page)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.file.size

    def sync(self) -> None:
        """Make its pages durable; the file's name is when the folder is synced."""
        self.file.sync(with_name=False)

    def discard(self) -> None:
        """Remove the file, or, once it was handed over, only close it; may be repeated."""
        if self.handed_over:
            self.file.close()
        else:
            self.file.discard()

"""Partial replicas for tests: a real base image with holes, and a page source that can be told to fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw
from pyroaring import BitMap

from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages.page_store import PageStore
from turso_sync_nb.storage.vfs.lazy_vfs import LazyVFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PAGE = 4096
READONLY = apsw.SQLITE_OPEN_READONLY
READWRITE = apsw.SQLITE_OPEN_READWRITE


def pages_of(path: Path) -> list[bytes]:
    """Return the pages of a database that nobody has open."""
    data = path.read_bytes()
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


def names_in(path: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(entry.name for entry in path.iterdir())


def as_stored(pages: Iterable[bytes]) -> list[bytes]:
    """Return pages as a base image holds them: page 0 says WAL."""
    first, *rest = pages
    return [first[:18] + b"\2\2" + first[20:], *rest]


@dataclass
class Source:
    """A page source over pages in memory; ``before`` runs before each page is given and may raise."""

    pages: list[bytes]
    before: Callable[[int], None] = lambda _page: None
    asked: list[BitMap] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, pages: BitMap) -> Iterator[tuple[int, bytes]]:
        """Give what is asked for."""
        with self.lock:
            self.asked.append(BitMap(pages))
        for page in pages:
            self.before(page)
            with self.lock:
                self.given.append(page)
            yield page, self.pages[page]


class FaultyFile:
    """A store's file with a fault: ``fail`` is called with each method's name first, and may raise."""

    def __init__(self, file: apsw.VFSFile, fail: Callable[[str], object]) -> None:
        self.file = file
        self.fail = fail

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: object) -> object:
            self.fail(name)
            return getattr(self.file, name)(*args)

        return call


@dataclass
class Partial:
    """A replica folder with its store, source and VFS; nothing is here but what was put."""

    folder: ReplicaFolder
    store: PageStore
    source: Source
    vfs: LazyVFS

    @classmethod
    def create(
        cls, path: Path, pages: list[bytes], *, here: Iterable[int] = (), segment_pages: int = 8
    ) -> Partial:
        """Make a replica of ``pages`` in the folder ``path`` that has those of ``here``."""
        folder = ReplicaFolder.open_or_create(path)
        store = PageStore.create(folder, len(pages))
        store.put((page, pages[page]) for page in here)
        source = Source(pages)
        return cls(folder, store, source, LazyVFS(folder, store, source, segment_pages))

    def open(self, flags: int) -> apsw.Connection:
        """Open the database on the lazy VFS."""
        db = self.vfs.open(str(self.folder.main), flags)
        db.set_busy_timeout(60_000)  # the first readers of a database take turns in making its WAL index
        return db

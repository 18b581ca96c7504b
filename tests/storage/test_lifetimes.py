"""What storage leaves behind: connections, VFS names, forks, places that cannot be written."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from databases import make_people
from partial import PAGE, READONLY, READWRITE, FaultyFile, Partial, names_in
from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages.page_store import PageStore
from turso_sync_nb.storage.vfs.lazy_vfs import LazyFile

COUNT = "SELECT count(*) FROM person"


def lazy_files() -> int:
    """Return how many handles are alive."""
    gc.collect()
    return sum(type(thing) is LazyFile for thing in gc.get_objects())


def test_connections_leave_nothing(partial) -> None:
    """Thousands of connections, closed or only dropped, leave no handle and no descriptor."""
    replica = partial()
    with closing(replica.open(READONLY)) as db:
        db.execute(COUNT)
    del db
    before = lazy_files()  # collects what other tests left, and their descriptors
    descriptors = len(names_in(Path("/proc/self/fd")))
    for turn in range(1_000):
        db = replica.open(READONLY)
        db.execute(COUNT)
        if turn % 2:
            db.close()
        del db
    assert lazy_files() == before
    assert len(names_in(Path("/proc/self/fd"))) == descriptors


def test_vfs_lives_as_long_as_its_connections(people_pages, tmp_path) -> None:
    """A VFS that only a connection keeps goes on serving it, and its name goes with the last of them."""
    replica = Partial.create(tmp_path / "r", people_pages)
    name = replica.vfs.name
    db = replica.open(READONLY)
    del replica.vfs
    gc.collect()
    assert db.execute(COUNT).get > 0
    db.close()
    del db
    gc.collect()
    assert name not in apsw.vfs_names()
    replica.store.close()


def test_main_file_that_cannot_be_opened(partial) -> None:
    """A connection that fails to open leaves nothing that the next one could be taken for."""
    replica = partial()
    before = lazy_files()
    with pytest.raises(apsw.CantOpenError):
        replica.vfs.open(str(replica.folder.path / "gone.db"), READONLY)
    assert lazy_files() == before
    with closing(replica.open(READONLY)) as db:
        db.execute(COUNT)
        assert replica.vfs.fetched(db) > 0


def test_known_means_written(folder) -> None:
    """At no write does the map already know a page whose bytes are not there: readers look without a lock."""
    store = PageStore.create(folder, 600)
    file = store._file
    looked = []

    def look(method):
        if method == "xWrite":
            known = list(store.page_map.resident)
            looked.append(len(known))
            assert all(file.xRead(4, page * PAGE) == page.to_bytes(4) for page in known)

    store._file = FaultyFile(file, look)
    order = [*range(1, 600, 2), *range(2, 600, 2)]
    store.put((page, page.to_bytes(4) * (PAGE // 4)) for page in order)
    assert looked == sorted(set(looked))
    assert store.page_map.absent() == BitMap([0])
    store.close()


FORK = """
import gc, os, sys
from pathlib import Path
import apsw
from partial import READWRITE, Partial, pages_of
path = Path(sys.argv[1])
replica = Partial.create(path / "r", pages_of(Path(sys.argv[2])))
db = replica.open(READWRITE)
db.execute("BEGIN IMMEDIATE; CREATE TABLE mine(a)")
child = os.fork()
if child == 0:
    del db, replica
    gc.collect()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
other = replica.open(READWRITE)
other.set_busy_timeout(0)
try:
    other.execute("BEGIN IMMEDIATE")
    raise SystemExit("the child took the lock away")
except apsw.BusyError:
    pass
db.execute("COMMIT")
assert db.execute("PRAGMA integrity_check").get == "ok"
assert other.execute("SELECT count(*) FROM mine").get == 0
db.close()
other.close()
replica.store.close()
"""


def test_forked_child_harms_nothing(people, tmp_path) -> None:
    """A forked child that ends takes neither locks nor pages from its parent's open replica."""
    paths = os.pathsep.join(
        str(folder) for folder in (Path(__file__).parent, Path(make_people.__code__.co_filename).parent)
    )
    ran = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path), str(people)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("code", "hint"), [(errno.EROFS, "read-only"), (errno.EACCES, "permissions")])
def test_parent_that_cannot_be_written(code, hint, tmp_path, monkeypatch) -> None:
    """A parent folder that takes no new folder is an error of ours that says why, and nothing is made."""

    def refuse(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(type(tmp_path), "mkdir", refuse)
    with pytest.raises(ReplicaError, match=os.strerror(code)) as caught:
        ReplicaFolder.open_or_create(tmp_path / "flights.db")
    assert hint in caught.value.hint
    assert names_in(tmp_path) == []


def test_checkpoint_against_a_fetch_under_way(partial, people_pages) -> None:
    """A page that a checkpoint writes while its base is on the way keeps what was written."""
    replica = partial(segment_pages=1)
    last = len(people_pages) - 1
    file = replica.vfs.xOpen(str(replica.folder.main), [READWRITE | apsw.SQLITE_OPEN_MAIN_DB, 0])

    def checkpoint(page):
        if page == last:
            file.xWrite(b"mine" * (PAGE // 4), last * PAGE)

    replica.source.before = checkpoint
    assert file.xRead(PAGE, last * PAGE) == b"mine" * (PAGE // 4)
    assert replica.source.given == [last]
    assert last in replica.store.page_map.local_only
    file.xClose()


def test_more_pages_than_asked_are_good(partial, people_pages) -> None:
    """A source that gives pages beyond those asked for makes them present, never over one that is here."""
    replica = partial(here=[3], segment_pages=1)
    fetch = replica.source.fetch

    def generous(pages):
        yield from ((page, bytes(PAGE) if page == 3 else people_pages[page]) for page in range(1, 9))
        yield from fetch(pages)

    replica.source.fetch = generous
    with closing(replica.open(READONLY)) as db:
        assert db.execute("PRAGMA integrity_check").get == "ok"
    assert replica.store.read(3) == people_pages[3]

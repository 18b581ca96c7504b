"""The page store: pages in, never over one that is here; bytes before the map; faults of disk and process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partial import PAGE, FaultyFile, as_stored
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError, ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages import page_store
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore


def content(page: int, version: int = 0) -> bytes:
    """Return a page that is like no other."""
    return random.Random(page * 1000 + version).randbytes(PAGE)


def on_disk(folder) -> set[int]:
    """Return the pages that the map on disk knows; no map knows none."""
    page_map = PageMap.load(folder.page_map)
    return set(page_map.resident) if page_map else set()


@pytest.fixture
def store(folder):
    """Give a store of 10 absent pages."""
    store = PageStore.create(folder, 10)
    yield store
    with suppress(ReplicaError):  # tests that break its disk
        store.close()


def test_new_store(folder, store) -> None:
    """A new base image has its full size and no page, on disk too."""
    assert folder.main.stat().st_size == 10 * PAGE
    assert on_disk(folder) == set()
    assert not store.has(0)
    with pytest.raises(ReplicaBrokenError, match=r"read page 3 .*not there"):
        store.read(3)


def test_put_and_read(people_pages, folder) -> None:
    """Pages put in any order are read back, page 0 saying WAL; each is counted once."""
    store = PageStore.create(folder, len(people_pages))
    order = random.Random(1).sample(range(len(people_pages)), len(people_pages))
    assert store.put((page, people_pages[page]) for page in order) == len(people_pages)
    assert store.put(enumerate(people_pages)) == 0
    assert [store.read(page) for page in range(len(people_pages))] == as_stored(people_pages)
    assert store.page_map.is_whole
    assert store.pages_put == len(people_pages)
    store.close()
    assert folder.main.read_bytes() == b"".join(as_stored(people_pages))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    puts=st.lists(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.integers(1, 4)), max_size=12), max_size=6
    ),
    local=st.sets(st.integers(1, 9)),
)
def test_present_page_is_never_overwritten(puts, local, tmp_path_factory) -> None:
    """Whatever is put and however often, a page keeps what it got first; a local-only page is not touched.

    Up to four pages come together.
    """
    store = PageStore.create(ReplicaFolder.open_or_create(tmp_path_factory.mktemp("r")), 10)
    first: dict[int, bytes] = {}
    for page in local:
        store.wrote_locally(page)
        first[page] = bytes(PAGE)
    for pages in puts:
        items = [
            (page, [content(at, version) for at in range(page, min(page + count, 10))])
            for page, version, count in pages
        ]
        store.put((page, b"".join(together)) for page, together in items)
        for page, together in items:
            for at, data in enumerate(together, page):
                first.setdefault(at, data)
    assert {page: store.read(page) for page in first} == first
    assert set(store.page_map.absent()) == set(range(10)) - set(first)
    store.close()


@pytest.mark.parametrize("limit", [1, 3, 256])
@pytest.mark.parametrize("gap", [0, 1, 2])
def test_neighbours_are_written_together(limit, gap, folder, monkeypatch) -> None:
    """Consecutive pages become one write, up to what SQLite's file layer takes at once."""
    monkeypatch.setattr(page_store, "BATCH_PAGES_MAX", limit)
    store = PageStore.create(folder, 1000)
    writes = []
    store._file = FaultyFile(store._file, writes.append)
    pages = [page for page in range(1, 200) if not gap or page % (gap + 1)]
    store.put((page, content(page)) for page in pages)
    assert [store.read(page) for page in pages] == [content(page) for page in pages]
    if limit == 256:
        runs = 7 if not gap else len(pages) // gap
        assert runs <= writes.count("xWrite") <= runs + 1
    store.close()


def head(change=slice(0, 0), value: bytes = b"") -> bytes:
    """Return a page 0 with ``value`` at ``change``."""
    first = bytearray(b"SQLite format 3\0" + (PAGE).to_bytes(2) + b"\1\1" + bytes(PAGE - 20))
    first[change] = value
    return bytes(first)


@pytest.mark.parametrize(
    ("page", "data", "says"),
    [
        (10, bytes(PAGE), "write page 10: the database has 10 pages"),
        (-1, bytes(PAGE), "write page -1"),
        (2**32 + 1, bytes(PAGE), "write page 4294967297"),
        (3, bytes(PAGE - 1), "write page 3: remote sent 4095 bytes, a page is 4096"),
        (3, bytes(PAGE + 1), "4097 bytes"),
        (3, b"", "0 bytes"),
        (0, bytes(PAGE), "not the first page of a SQLite database"),
        (0, head(slice(0, 3), b"sql"), "not the first page"),
        (0, head(slice(16, 18), b"\x20\x00"), "pages of 8192 bytes"),
        (0, head(slice(16, 18), b"\x00\x01"), "pages of 65536 bytes"),
        (0, head(slice(16, 18), b"\x02\x00"), "pages of 512 bytes"),
        (0, head(slice(18, 20), b"\xff\xff"), "MVCC"),
        (0, head(slice(18, 20), b"\x02\xff"), "MVCC"),
        (0, head(slice(18, 20), b"\x02\x03"), "version 2/3"),
        (0, head(slice(18, 20), b"\x00\x00"), "version 0/0"),
    ],
)
def test_nonsense_is_not_written(page, data, says, folder, store) -> None:
    """A page that cannot be one of this database is refused with a hint; what came before it stays."""
    with pytest.raises(ProtocolError, match=says) as caught:
        store.put([(1, content(1)), (page, data), (2, content(2))])
    assert caught.value.hint
    assert store.page_map.resident == BitMap([1])
    store.close()
    assert folder.main.read_bytes() == bytes(PAGE) + content(1) + bytes(8 * PAGE)
    assert on_disk(folder) == {1}


@pytest.mark.parametrize(
    ("first", "data", "says"),
    [
        (9, bytes(2 * PAGE), "write page 10: the database has 10 pages"),
        (2**32, bytes(3 * PAGE), "write page 4294967296"),
        (-1, bytes(2 * PAGE), "write page -1"),
        (0, bytes(2 * PAGE), "not the first page of a SQLite database"),
        (3, bytes(2 * PAGE + 1), "write page 3: remote sent 8193 bytes"),
    ],
)
def test_nonsense_together_is_not_written(first, data, says, folder, store) -> None:
    """Of pages that come together none is written if one cannot be of this database."""
    with pytest.raises(ProtocolError, match=says):
        store.put([(1, content(1)), (first, data)])
    assert store.page_map.resident == BitMap([1])
    store.close()
    assert folder.main.read_bytes() == bytes(PAGE) + content(1) + bytes(8 * PAGE)


@pytest.mark.parametrize("mode", [b"\1\1", b"\2\2"])
def test_page_0_says_wal(mode, store) -> None:
    """Page 0 is stored saying WAL, whatever journal the remote has, and unchanged but for that."""
    store.put([(0, head(slice(18, 20), mode))])
    assert store.read(0) == head(slice(18, 20), b"\2\2")


def test_page_0_says_wal_when_others_come_with_it(store) -> None:
    """Those are as they came."""
    assert store.put([(0, head(slice(18, 20), b"\1\1") + content(1) + content(2))]) == 3
    assert [store.read(page) for page in range(3)] == [head(slice(18, 20), b"\2\2"), content(1), content(2)]


@pytest.mark.parametrize("error", [OSError("network"), KeyboardInterrupt(), ProtocolError("bad")])
def test_source_breaks(error, folder, store) -> None:
    """When the pages stop with an error, it is raised as it is; what came is here and survives a close."""

    def pages():
        yield 4, content(4)
        yield 5, content(5)
        raise error

    with pytest.raises(type(error)) as caught:
        store.put(pages())
    assert caught.value is error
    store.close()
    assert on_disk(folder) == {4, 5}


# The disk


@pytest.mark.parametrize(
    ("fault", "says"),
    [(apsw.FullError("full"), "the disk is full"), (apsw.IOError("disk I/O error"), "I/O error")],
)
def test_write_fails(fault, says, folder, store) -> None:
    """A disk that is full or broken is an error of ours with a hint; the map does not know the pages."""
    store.put([(1, content(1))])

    def fail(method):
        if method == "xWrite":
            raise fault

    file = store._file
    store._file = FaultyFile(file, fail)
    with pytest.raises(ReplicaError, match=says) as caught:
        store.put([(2, content(2))])
    assert caught.value.hint
    assert store.page_map.resident == BitMap([1])
    store._file = file
    assert store.put([(2, content(2))]) == 1
    store.close()
    assert on_disk(folder) == {1, 2}


def test_sync_fails(folder, store) -> None:
    """After a failed fsync the map on disk is not written, not even when a later fsync says ok."""
    faults = [apsw.IOError("disk I/O error")]

    def fail(method):
        if method == "xSync" and faults:
            raise faults.pop()

    store._file = FaultyFile(store._file, fail)
    store.put([(1, content(1))])
    with pytest.raises(ReplicaError, match="I/O error"):
        store.flush()
    with pytest.raises(ReplicaError, match="in doubt") as caught:
        store.flush()
    assert caught.value.hint
    with pytest.raises(ReplicaError, match="in doubt"):
        store.close()
    store.close()
    assert on_disk(folder) == set()


def test_bytes_before_map(folder, store, monkeypatch) -> None:
    """A flush syncs the bytes, then writes the map; with nothing new it does nothing."""
    store.flush()
    steps = []
    store._file = FaultyFile(store._file, steps.append)
    save = PageMap.save
    monkeypatch.setattr(PageMap, "save", lambda *args: (steps.append("map"), save(*args)))
    store.flush()
    assert steps == []
    store.put([(1, content(1)), (2, content(2))])
    store.flush()
    store.flush()
    assert steps == ["xWrite", "xSync", "map"]


def test_old_map_does_not_outlive_its_pages(folder, monkeypatch) -> None:
    """A new base image forgets the old map before it drops the old pages."""
    with_pages = PageStore.create(folder, 10)
    with_pages.put([(1, content(1))])
    with_pages.close()
    seen = []
    opened = apsw.VFSFile

    def note(*args):
        return FaultyFile(opened(*args), lambda _method: seen.append(on_disk(folder)))

    monkeypatch.setattr(apsw, "VFSFile", note)
    PageStore.create(folder, 10).close()
    assert seen[0] == set()


def test_map_is_written_now_and_then(folder, monkeypatch) -> None:
    """A long stream of pages is made durable as it goes."""
    monkeypatch.setattr(page_store, "UNFLUSHED_PAGES_MAX", 600)
    store = PageStore.create(folder, 2000)
    seen = []

    def pages():
        for page in range(1, 2000):
            seen.append(len(on_disk(folder)) if page % 100 == 0 else 0)
            yield page, bytes(PAGE)

    store.put(pages())
    assert max(seen) >= 1500
    store.close()


def test_empty_base_image_is_known(folder) -> None:
    """That a base image is there and has no page yet is on disk after a flush; an empty database stays so."""
    PageStore.create(folder, 0).close()
    page_map = PageMap.load(folder.page_map)
    assert (page_map.db_pages, page_map.is_whole) == (0, True)


def test_closed_store(store) -> None:
    """A closed store says so; closing again does nothing."""
    store.put([(1, content(1))])
    store.close()
    store.close()
    with pytest.raises(ReplicaError, match="closed") as caught:
        store.put([(2, content(2))])
    assert caught.value.hint


def test_folder_that_cannot_be_opened(folder) -> None:
    """A base image that cannot be opened is an error of ours."""
    folder.main.mkdir()
    with pytest.raises(ReplicaError, match=r"open .*main\.db") as caught:
        PageStore(folder, PageMap(3))
    assert caught.value.hint


FILLING = """
import sys
from pathlib import Path
from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock
from turso_sync_nb.storage.files.metadata import BootstrapPlan, Metadata, load_metadata, save_metadata
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore
path = Path(sys.argv[1]) / "r"
folder = ReplicaFolder.open_or_create(path)
lock = ReplicaLock(folder)
lock.acquire(0)
metadata = Metadata(client_id="x", bootstrap=BootstrapPlan(kind="whole"))
save_metadata(folder, metadata)
store = PageStore.create(folder, 10_000)
page = b"x" * 4096
try:
    store.put((number, page) for number in range(1, 10_000))
    raise SystemExit("it all fits")
except ReplicaError as error:
    print(error, flush=True)
here = len(store.page_map.resident)
assert 0 < here < 9_999, here
assert all(store.read(number) == page for number in store.page_map.resident)
try:
    store.close()
except ReplicaError:
    pass
on_disk = PageMap.load(folder.page_map)
assert on_disk is None or on_disk.resident <= store.page_map.resident
assert load_metadata(folder) == metadata
lock.release()
with (path.parent / "filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(512))
    except OSError:
        pass
folder.discard()
assert not path.exists()
"""


def in_small_room(path) -> list[str]:
    """Return a command that gives the one after it a disk of 1 MiB at ``path``, or else files of 1 MiB."""
    mount = f'mount -t tmpfs -o size=1M none "{path}"'
    for namespace in (["unshare", "-m"], ["unshare", "-Urm"]):
        if subprocess.run([*namespace, "sh", "-c", mount], capture_output=True, check=False).returncode == 0:
            return [*namespace, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    return ["bash", "-c", 'ulimit -f 1024 && exec "$@"', "bash"]


def test_small_disk(tmp_path) -> None:
    """On a disk that fills up, what fitted is here, the rest is not claimed, and all of it can go."""
    ran = subprocess.run(
        [*in_small_room(tmp_path), sys.executable, "-c", FILLING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("write ")
    assert "main.db" in ran.stdout


# The process

PUTTING = """
import random, sys
from pathlib import Path
from turso_sync_nb.storage.pages import page_store
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages.page_store import PageStore
page_store.UNFLUSHED_PAGES_MAX, page_store.BATCH_PAGES_MAX = 8, 3
store = PageStore.create(ReplicaFolder.open_or_create(Path(sys.argv[1])), 20_001)
print("putting", flush=True)
pages = list(range(1, 20_001))
random.Random(int(sys.argv[2])).shuffle(pages)
store.put((page, page.to_bytes(4) * 1024) for page in pages)
"""


@pytest.mark.parametrize("seed", range(5))
def test_killed_process(seed, tmp_path) -> None:
    """A process killed while it puts and flushes leaves a map of pages whose bytes are all there."""
    folder = ReplicaFolder.open_or_create(tmp_path / "r")
    command = [sys.executable, "-c", PUTTING, str(folder.path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"putting\n"
        while len(on_disk(folder)) < 20 * (seed + 1):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    page_map = PageMap.load(folder.page_map)
    assert 0 < len(page_map.resident) < 20_000
    store = PageStore(folder, page_map)
    assert all(store.read(page) == page.to_bytes(4) * 1024 for page in page_map.resident)
    store.close()

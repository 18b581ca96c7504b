"""The page store when the power fails, Ctrl-C comes, its file is gone or its disk has room again."""

from __future__ import annotations

import signal
import subprocess
import sys

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partial import PAGE, FaultyFile
from pyroaring import BitMap
from test_page_store import in_small_room

from turso_sync_nb.errors import ProtocolError, ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages import page_store
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore
from turso_sync_nb.units import LOCK_PAGE


def page_of(number: int) -> bytes:
    """Return a page's content."""
    return number.to_bytes(4) * (PAGE // 4)


class PowerCutFile:
    """A store's file that knows what a power cut would leave: what was written since a sync is lost.

    A sync that fails drops it for good, as Linux does, and the next sync says ok.
    """

    def __init__(self, file: apsw.VFSFile) -> None:
        self.file = file
        self.unsynced: dict[int, bytes] = {}
        self.durable: dict[int, bytes] = {}
        self.sync_fails = False

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - APSW's name
        """Write, for now."""
        for at in range(0, len(data), PAGE):
            self.unsynced[(offset + at) // PAGE] = data[at : at + PAGE]
        self.file.xWrite(data, offset)

    def xSync(self, _flags: int) -> None:  # noqa: N802 - APSW's name
        """Make durable what was written, or lose it."""
        lost, self.unsynced = self.unsynced, {}
        if self.sync_fails:
            raise apsw.IOError("disk I/O error")
        self.durable |= lost

    def xClose(self) -> None:  # noqa: N802 - APSW's name
        """Close the real file."""
        self.file.xClose()


STEPS = st.one_of(
    st.tuples(st.just("put"), st.lists(st.integers(1, 59), max_size=30)),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("sync fails"), st.booleans()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=15))
def test_power_cut(steps, tmp_path_factory) -> None:
    """Whenever the power fails, even on a disk that loses a sync, the map names only synced pages."""
    folder = ReplicaFolder.open_or_create(tmp_path_factory.mktemp("r"))
    store = PageStore.create(folder, 60)
    file = store._file = PowerCutFile(store._file)
    maps = []

    def noted_save(page_map, path):
        maps.append(BitMap(page_map.resident))
        assert all(file.durable.get(page) == page_of(page) for page in page_map.resident)
        save(page_map, path)

    save = PageMap.save
    failed = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PageMap, "save", noted_save)
        patch.setattr(page_store, "UNFLUSHED_PAGES_MAX", 10)
        patch.setattr(page_store, "BATCH_PAGES_MAX", 7)
        for step, value in [*steps, ("flush", None)]:
            try:
                if step == "put":
                    store.put((page, page_of(page)) for page in value)
                elif step == "flush":
                    store.flush()
                else:
                    file.sync_fails = value
            except ReplicaError:
                failed = True
        try:
            store.close()
        except ReplicaError:
            failed = True
    assert failed or maps[-1] == store.page_map.resident


def test_lock_page_is_no_byte_of_the_file(folder) -> None:
    """A base image over 1 GiB opens with its lock page known and nothing written."""
    PageStore.create(folder, LOCK_PAGE + 2).close()
    page_map = PageMap.load(folder.page_map)
    assert page_map.resident == BitMap([LOCK_PAGE])
    store = PageStore(folder, page_map)
    assert store.read(LOCK_PAGE) == bytes(PAGE)
    store.close()
    assert folder.main.stat().st_blocks == 0


@pytest.mark.parametrize("left", [0, 1, 5 * PAGE, 6 * PAGE - 1, None])
def test_file_that_ends_too_early(left, folder) -> None:
    """A base image that is gone or shorter than its map says is refused: its pages would turn into zeros."""
    store = PageStore.create(folder, 10)
    store.put([(1, page_of(1)), (5, page_of(5))])
    store.close()
    if left is None:
        folder.main.unlink()
    else:
        with folder.main.open("r+b") as file:
            file.truncate(left)
    with pytest.raises(ReplicaBrokenError, match="its page map knows page 5") as caught:
        PageStore(folder, PageMap.load(folder.page_map))
    assert str(folder.path) in caught.value.hint


def after_sync(store: PageStore, error: BaseException) -> None:
    """Let ``error`` strike when the next sync is done, as a signal does that came meanwhile."""

    class Interrupted(FaultyFile):
        def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
            self.file.xSync(flags)
            self.fail("xSync")

    def fail(_method: str) -> None:
        if faults:
            raise faults.pop()

    faults = [error]
    store._file = Interrupted(store._file, fail)


def test_interrupted_sync(folder) -> None:
    """Ctrl-C during a sync is no fault of the disk: the next flush makes everything known."""
    store = PageStore.create(folder, 10)
    store.put([(1, page_of(1))])
    after_sync(store, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        store.flush()
    store.close()
    assert PageMap.load(folder.page_map).resident == BitMap([1])


def test_interrupt_does_not_hide_a_failed_sync(folder, monkeypatch) -> None:
    """Ctrl-C while the error of a failed sync is on its way: the disk stays in doubt."""
    store = PageStore.create(folder, 10)
    store.put([(1, page_of(1))])
    after_sync(store, apsw.IOError("disk I/O error"))

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(page_store, "ReplicaError", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.flush()
    with pytest.raises(ReplicaError, match="in doubt"):
        store.close()
    assert PageMap.load(folder.page_map) is None


@pytest.mark.parametrize("fault", ["disk", "page", "none"])
def test_pages_are_closed(fault, folder) -> None:
    """However a put ends, the generator of pages is closed, also while someone keeps the error."""
    store = PageStore.create(folder, 1000)
    closed = []

    def pages():
        try:
            yield from ((page, page_of(page)) for page in range(1, 900))
            if fault == "page":
                yield 1000, page_of(0)
        finally:
            closed.append(True)

    def fail(method):
        if method == "xWrite" and fault == "disk":
            raise apsw.FullError("full")

    file, store._file = store._file, FaultyFile(store._file, fail)
    if fault == "none":
        store.put(pages())
    else:
        with pytest.raises((ReplicaError, ProtocolError)) as kept:
            store.put(pages())
        assert kept.value.__traceback__
    assert closed == [True]
    store._file = file
    store.close()


ROOM_AGAIN = """
import resource, sys
from pathlib import Path
from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore
path = Path(sys.argv[1])
folder = ReplicaFolder.open_or_create(path / "r")
store = PageStore.create(folder, 200)
store.put((page, page.to_bytes(4) * 1024) for page in range(1, 20))
store.flush()
filler = path / "filler"
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, no_limit[1]))
else:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
for attempt in range(3):
    try:
        store.put((page, page.to_bytes(4) * 1024) for page in range(1, 200))
    except ReplicaError as error:
        assert sys.argv[2] == "limit" or "full" in str(error), error
        assert error.hint
    else:
        raise SystemExit("it all fits")
assert all(store.read(page) == page.to_bytes(4) * 1024 for page in store.page_map.resident)
try:
    store.flush()
except ReplicaError as error:
    assert "No space" in str(error), error
assert set(range(1, 20)) <= set(PageMap.load(folder.page_map).resident)
resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
filler.unlink(missing_ok=True)
store.put((page, page.to_bytes(4) * 1024) for page in range(1, 200))
store.close()
page_map = PageMap.load(folder.page_map)
assert len(page_map.resident) == 199
store = PageStore(folder, page_map)
assert all(store.read(page) == page.to_bytes(4) * 1024 for page in range(1, 200))
store.close()
"""


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_room_again(how, tmp_path) -> None:
    """On a disk without room nothing that is here is lost, and once there is room the same store goes on."""
    in_room = in_small_room(tmp_path) if how == "disk" else []
    if "bash" in in_room:  # nothing can be mounted here
        in_room, how = [], "limit"
    command = [*in_room, sys.executable, "-c", ROOM_AGAIN, str(tmp_path), how]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages import page_store
from turso_sync_nb.storage.pages.page_store import PageStore
page_store.UNFLUSHED_PAGES_MAX, page_store.BATCH_PAGES_MAX = 50, 10
store = PageStore.create(ReplicaFolder.open_or_create(Path(sys.argv[1])), 100_001)
page = b"x" * 4096
def pages():
    for number in range(1, 100_001):
        if number == 500:
            print("putting", flush=True)
        yield number, page
try:
    store.put(pages())
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
store.close()
print(len(store.page_map.resident), flush=True)
"""


@pytest.mark.parametrize("turn", range(4))
def test_real_interrupt(turn, tmp_path) -> None:
    """After a real Ctrl-C in a stream of pages a close makes known all that came."""
    folder = ReplicaFolder.open_or_create(tmp_path / "r")
    command = [sys.executable, "-c", INTERRUPTED, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "putting\n"
        for _ in range(turn):  # wherever it strikes
            PageMap.load(folder.page_map)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 0, err
    page_map = PageMap.load(folder.page_map)
    assert len(page_map.resident) == int(out) >= 490
    store = PageStore(folder, page_map)
    assert all(store.read(page) == b"x" * PAGE for page in page_map.resident)
    store.close()

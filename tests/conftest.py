"""What every test may ask for: real peers, the wheel, one rule for skips, one Hypothesis profile."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from binder_env import make_environment
from databases import OPENED
from filelock import FileLock
from hypothesis import settings
from peers import (
    SERVER_KINDS,
    EmbeddedThread,
    PeerMissingError,
    PeerServer,
    embedded_process,
    tursodb_server,
)
from skips import forbid_skip, miss

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import ModuleType

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs this in the background

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 - the file system of Linux that lies in memory
MEMORY_FREE_MIN = 4 * 2**30
"""Bytes free there, below which the tests' folders stay on the disk; three workers took 1.5 GB at most."""

MEMBERS_MAX = int(os.environ.get("TSN_MEMBERS_MAX") or sys.maxsize)
"""Parameter sets of one test that are run, evenly chosen; ``make test-fast`` takes a few."""

SERVERS = pytest.StashKey[list[PeerServer]]()

# A sync of a disk takes 2 ms, and tests do hundreds each; those of power cuts record what was synced.
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# To rewrite the asserts of all test files takes 8 s, in each worker; what came out is kept for the next run.
# Hundreds of processes are started here: what the first one compiles, the others load.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("local", print_blob=True, deadline=None, derandomize=False)
settings.register_profile("bounded", settings.get_profile("local"), max_examples=50, database=None)
settings.load_profile("bounded" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out parameter sets beyond ``MEMBERS_MAX`` of one test."""
    if len(items) <= MEMBERS_MAX:
        return
    of_test: dict[str, list[pytest.Item]] = {}
    for item in items:
        of_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen = {item for members in of_test.values() for item in evenly(members, MEMBERS_MAX)}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def evenly(members: list[pytest.Item], most: int) -> list[pytest.Item]:
    """Return at most so many of them, at even distances, the first one included."""
    count = min(len(members), most)
    return [members[at * len(members) // count] for at in range(count)]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """Close plain SQLite; fail a test that leaves another handler of SIGINT: a later one hears no Ctrl-C."""
    yield
    while OPENED:
        OPENED.pop().close()
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pytest.fail("this test leaves another handler of SIGINT behind", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Apply the rule for skips; show what the servers of a failed test said."""
    report = yield
    forbid_skip(report)
    if report.failed:
        for server in item.stash.get(SERVERS, []):
            if said := server.stderr():
                report.sections.append((f"stderr of {server.name} on port {server.port}", said[-5000:]))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Apply the rule for skips to whole modules."""
    report = yield
    forbid_skip(report)
    return report


@pytest.fixture
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., PeerServer]]:
    """Give a function that starts ``make(folder, ...)`` and ends it with the test."""
    servers: list[PeerServer] = []
    request.node.stash[SERVERS] = servers
    numbers = count(1)

    def start(make: Callable[..., PeerServer], source: Path | None, **options: object) -> PeerServer:
        folder = tmp_path / f"server-{next(numbers)}"
        folder.mkdir()
        try:
            server = make(folder, source, **options)
        except PeerMissingError as missing:
            miss(str(missing))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def tursodb(start_server: Callable[..., PeerServer]) -> Callable[..., PeerServer]:
    """Give ``tursodb(source=None, flags=())``: a real server, fresh or serving a copy of a database."""

    def start(source: Path | None = None, *, flags: Sequence[str] = ()) -> PeerServer:
        return start_server(tursodb_server, source, flags=flags)

    return start


@pytest.fixture
def embedded(start_server: Callable[..., PeerServer]) -> Callable[..., PeerServer]:
    """Give ``embedded(source=None, auth_token=None, process=False)``: our server, by default in a thread."""

    def start(
        source: Path | None = None, *, auth_token: str | None = None, process: bool = False
    ) -> PeerServer:
        make = embedded_process if process else EmbeddedThread
        return start_server(make, source, auth_token=auth_token)

    return start


@pytest.fixture(params=SERVER_KINDS)
def remote_server(request: pytest.FixtureRequest) -> Callable[..., PeerServer]:
    """Give ``remote_server(source=None)`` of each kind, the real one first: for contract suites."""
    start: Callable[..., PeerServer] = request.getfixturevalue(request.param)
    return start


@pytest.fixture(params=SERVER_KINDS)
def server_process(request: pytest.FixtureRequest) -> Callable[..., PeerServer]:
    """Give what ``remote_server`` gives, each server in a process of its own."""
    start: Callable[..., PeerServer] = request.getfixturevalue(request.param)
    return partial(start, process=True) if request.param == "embedded" else start


@pytest.fixture(scope="module", params=SERVER_KINDS)
def read_from(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], str]]:
    """Give ``read_from(source)``: the address of a server that the tests of a module share, and only read."""
    make: Callable[..., PeerServer] = {"tursodb": tursodb_server, "embedded": EmbeddedThread}[request.param]
    servers: dict[Path, PeerServer] = {}

    def address(source: Path) -> str:
        if source not in servers:
            try:
                server = make(tmp_path_factory.mktemp("read-from"), source)
            except PeerMissingError as missing:
                miss(str(missing))
            server.start()
            servers[source] = server
        return servers[source].url

    yield address
    for server in servers.values():
        server.kill()


@pytest.fixture
def pyturso() -> ModuleType:
    """Give the real client, the module ``turso.sync``."""
    try:
        return importlib.import_module("turso.sync")
    except ImportError as error:
        miss(f"pyturso: {error}")


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """Return what ``make(folder)`` returns; of the workers of one run the first makes it, for all."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            done.write_text(str(make(folder)))
        return Path(done.read_text())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the wheel, built as a release is: from the source distribution."""

    def build(folder: Path) -> Path:
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (built,) = folder.glob("*.whl")
        return built

    return made_once(tmp_path_factory, "wheel", build)


@pytest.fixture(scope="session")
def installed_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that holds the installed wheel alone; its dependencies are this environment's."""

    def install(folder: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        command = [*pip, "--target", str(folder), str(wheel)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return folder

    return made_once(tmp_path_factory, "installed", install)


@pytest.fixture(scope="session")
def wheel_path_env(installed_wheel: Path) -> dict[str, str]:
    """Give the environment in which a process, such as a kernel, imports the package from the wheel."""
    return {**os.environ, "PYTHONPATH": str(installed_wheel)}


@pytest.fixture(scope="session")
def binder_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Python of an environment with Binder's versions and the package from its wheel."""
    return made_once(tmp_path_factory, "binder", lambda folder: make_environment(folder / "env", wheel))

"""Real peers for tests: a ``tursodb`` process, and the embedded server behind the same face.

Rules of this file: a server listens on the loopback only, on a free port; it is ready when it answers
HTTP, found by polling with a deadline; the source database that a test hands over is copied, never
touched; what a server wrote to stderr is kept and shown when the test fails.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

import apsw
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PAGE_SIZE = 4096
LOCK_PAGE = 2**30 // PAGE_SIZE + 1
"""SQLite keeps its locks at byte 2**30 and never writes the page (from 1) that holds it."""

SERVER_KINDS = os.environ.get("TSN_SERVERS", "tursodb embedded").split()
"""Servers that the contract suites run against; ``make test-fast`` takes one."""

READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
PORT_TRIES_MAX = 3
"""A free port can be taken before the server listens on it: rare; thrice in a row is no accident."""

TESTS = Path(__file__).parent
_TURSODB_OF_NPM = TESTS / "node_modules/@tursodatabase/cli-linux-x64-gnu/tursodb"


def in_turns(kinds: Sequence[T]) -> list[tuple[str, T]]:
    """Return each kind with one of the servers, in turns: where it is the same to the client which."""
    return list(zip(cycle(SERVER_KINDS), kinds, strict=False))


class PeerMissingError(Exception):
    """The peer is not on this machine; the message begins with its name."""


class PeerServer(Protocol):
    """A running remote: what every test may rely on, whoever serves it."""

    name: str
    port: int
    path: Path
    """The server's own database file; only its server may open it while it runs."""

    @property
    def url(self) -> str:
        """Return ``http://127.0.0.1:PORT``."""

    def start(self) -> None:
        """Listen on ``port``; returns when it answers."""

    def stop(self) -> None:
        """End it politely; nothing happens when it has ended already."""

    def kill(self) -> None:
        """End it with no chance to tidy up; nothing happens when it has ended already."""

    def restart(self) -> None:
        """Stop, then start on the same port and file."""

    def stderr(self) -> str:
        """Return what it wrote to stderr so far."""


def find_tursodb() -> Path:
    """Return the ``tursodb`` binary: what TURSODB names, else what ``npm ci --prefix tests`` installed.

    Raises:
        PeerMissingError: neither is there.
    """
    named = os.environ.get("TURSODB")
    path = Path(named) if named else _TURSODB_OF_NPM
    if not path.is_file():
        raise PeerMissingError(f"tursodb: no binary at {path}; run npm ci --prefix tests, or set TURSODB")
    return path


_PORTS: Final = range(20_000, 30_000)
"""Below those that the system gives to sockets that ask for any: it may give one to two in turn."""

_BLOCK: Final = 500
"""Ports that a process has to itself: a closed one is in use for another minute."""


@cache
def _own_ports() -> Iterator[int]:
    """Return the ports of a block that no other process has, again and again; it is held by a lock."""
    for first in _PORTS[::_BLOCK]:
        lock = FileLock(Path(tempfile.gettempdir(), f"turso-sync-nb-ports-{first}.lock"), blocking=False)
        with suppress(Timeout):
            lock.acquire()
            _LOCKS.append(lock)
            return cycle(range(first, first + _BLOCK))
    raise PeerMissingError(f"find a port: {len(_PORTS) // _BLOCK} processes of tests have them all")


_LOCKS: Final[list[FileLock]] = []
"""Held as long as the process lives."""


def free_port() -> int:
    """Return a port that nothing listens on, and that no other process of tests is given."""
    while True:
        port = next(_own_ports())
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def copy_into_wal(source: Path, target: Path) -> None:
    """Copy the database ``source``, page for page, so that every page sits in ``target``'s WAL.

    That is the one form of an existing database that ``tursodb`` serves whole. ``source`` may be in any
    journal mode and open elsewhere; its page size must be 4096.
    """
    with closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        page_size = reader.pragma("page_size")
        if page_size != PAGE_SIZE:
            raise ValueError(f"serve {source}: pages of {page_size} bytes, wanted {PAGE_SIZE}")
        pages = reader.pragma("page_count")
        with closing(apsw.Connection(str(target))) as writer:
            writer.pragma("journal_mode", "wal")
            writer.pragma("wal_autocheckpoint", 0)
            writer.pragma("synchronous", 0)
            writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            with writer.backup("main", reader, "main") as backup:
                backup.step()
    frames = wal_pages(target)
    if pages and frames != set(range(1, pages + 1)) - {LOCK_PAGE}:
        raise RuntimeError(f"copy {source} into a WAL: {len(frames)} of its {pages} pages arrived")


def wal_pages(database: Path) -> set[int]:
    """Return the page numbers (from 1) that the WAL of ``database`` holds, committed or not."""
    wal = Path(f"{database}-wal")
    if not wal.exists():
        return set()
    frame_size = 24 + PAGE_SIZE
    with wal.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        starts = range(32, size - frame_size + 1, frame_size)
        return {int.from_bytes(os.pread(file.fileno(), 4, start)) for start in starts}


def copy_plain(source: Path, target: Path) -> None:
    """Copy the database ``source``, page for page, into the new file ``target`` (journal mode kept)."""
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reader,
        closing(apsw.Connection(str(target))) as writer,
        writer.backup("main", reader, "main") as backup,
    ):
        backup.step()


def wait_until(ready: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Poll ``ready`` until it is true.

    Raises:
        TimeoutError: it was not within ``timeout_s``; the message says ``what`` was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"wait for {what}: not within {timeout_s} s")
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Return whether something on ``port`` answers HTTP, with whatever status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


class ServerProcess:
    """A server in a process of its own, given by its command line.

    ``command`` makes the command line from the port. Use it with ``with``, or call ``kill`` yourself.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        command: Callable[[int], Sequence[str]],
        *,
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._env = {**os.environ, **(env or {})}
        self._stderr = path.with_name(f"{path.name}.stderr")

    @property
    def url(self) -> str:
        """Return ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id; the server must be running."""
        if self.process is None:
            raise RuntimeError(f"ask the process id of {self.name}: not running")
        return self.process.pid

    def start(self) -> None:
        """Listen on the port of the last start, the first time on a free one; returns when it answers."""
        if self.port:
            self._start_on(self.port)
            return
        for attempt in range(1, PORT_TRIES_MAX + 1):
            try:
                self._start_on(free_port())
            except ChildProcessError:
                self.port = 0
                if attempt == PORT_TRIES_MAX:
                    raise
            else:
                return

    def _start_on(self, port: int) -> None:
        self.port = port
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                list(self._command(port)),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=self._env,
            )
        try:
            wait_until(self._ready, timeout_s=READY_TIMEOUT_S, what=f"{self.name} on port {port}")
        except BaseException:
            self.kill()
            raise

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise ChildProcessError(f"start {self.name}: it ended at once: {self.stderr()[-2000:]}")
        return answers(self.port)

    def stop(self) -> None:
        """Send SIGTERM and wait; SIGKILL when it does not end."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)
        self.process = None

    def restart(self) -> None:
        """Stop, then start on the same port and file."""
        self.stop()
        self.start()

    def stderr(self) -> str:
        """Return what it wrote to stdout and stderr so far."""
        return self._stderr.read_text(errors="replace") if self._stderr.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def tursodb_server(folder: Path, source: Path | None = None, *, flags: Sequence[str] = ()) -> ServerProcess:
    """Return a ``tursodb`` that is not started yet, on a fresh database in ``folder``.

    ``source`` is a SQLite database to serve whole; ``flags`` are such as ``--experimental-...``.

    Raises:
        PeerMissingError: there is no ``tursodb`` here.
    """
    binary = find_tursodb()
    path = folder / "served.db"
    if source is not None:
        copy_into_wal(source, path)
    return ServerProcess(
        "tursodb",
        path,
        lambda port: [str(binary), str(path), "--sync-server", f"127.0.0.1:{port}", *flags],
        env={"TMPDIR": str(folder)},  # one that is killed leaves a folder of its temporary database
    )


def embedded_process(
    folder: Path, source: Path | None = None, *, auth_token: str | None = None
) -> ServerProcess:
    """Return ``python -m turso_sync_nb serve`` that is not started yet, on a database in ``folder``."""
    path = folder / "served.db"
    if source is not None:
        copy_plain(source, path)
    token = ["--auth-token-env", "TSN_TEST_SERVER_TOKEN"] if auth_token else []
    start = [sys.executable, "-m", "turso_sync_nb", "serve", str(path), *token]
    return ServerProcess(
        "embedded",
        path,
        lambda port: [*start, "--listen", f"127.0.0.1:{port}"],
        env={"TSN_TEST_SERVER_TOKEN": auth_token} if auth_token else None,
    )


class EmbeddedThread:
    """``LocalServer`` in this process; ``kill`` is as abrupt as a thread can be, which is ``stop``."""

    name = "embedded"

    def __init__(self, folder: Path, source: Path | None = None, *, auth_token: str | None = None) -> None:
        self.path = folder / "served.db"
        self.port = 0
        self._auth_token = auth_token
        self._running = ExitStack()
        if source is not None:
            copy_plain(source, self.path)

    @property
    def url(self) -> str:
        """Return ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen on the port of the last start, the first time on a free one."""
        from turso_sync_nb.server import LocalServer

        server = LocalServer(self.path, auth_token=self._auth_token, port=self.port)
        url = self._running.enter_context(server).url
        self.port = int(url.rsplit(":", 1)[1])

    def stop(self) -> None:
        """End it politely."""
        self._running.close()

    kill = stop

    def restart(self) -> None:
        """Stop, then start on the same port and file."""
        self.stop()
        self.start()

    def stderr(self) -> str:
        """Return nothing: its log goes where this process's log goes."""
        return ""

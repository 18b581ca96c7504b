"""The embedded server beside ``tursodb``: what one client gets from it, and sixteen at once; and listeners.

Clients are plain HTTP, so that no replica's own work is counted. Each side serves the same 20 MB.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
import httpx
import ready
from figures import Figure, beside_limit, compared, in_turns, timed
from peers import ServerProcess, embedded_process, tursodb_server
from pyroaring import BitMap

from turso_sync_nb.protocol.pipeline import Batch, IsAutocommit, Not, Step, StepOk, Stmt, encode_request
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[httpx.Client, str], None]


PAIRS: Final = 3
CLIENTS: Final = (1, 16)
FETCHES: Final = 64
"""Lazy fetches of one measurement, shared among its clients; each is of eight pages."""

PUSHES: Final = 32
"""Pushes of one measurement, shared among its clients; each is of 500 rows."""

BOOTSTRAPS: Final = 16
PAGES: Final = 5_000
LIMIT: Final = 1.0
LISTENERS: Final = 1_000
HEARD_WITHIN_S: Final = 1.0


def figures() -> list[Figure]:
    """Return the lines."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        source = _made(Path(name) / "source.db")
        sides = []
        for start in (embedded_process, tursodb_server):
            folder = Path(name) / start.__name__
            folder.mkdir()
            sides.append(opened.enter_context(start(folder, source)))
        found, embedded = [], sides[0]
        for what, work, count in (
            (f"bootstrap of {PAGES * 4 // 1000} MB", _bootstrap, BOOTSTRAPS),
            ("lazy fetch of 8 pages", _fetch, FETCHES),
            ("push of 500 rows", _push, PUSHES),
        ):
            for clients in CLIENTS:
                ours, theirs = (partial(_by, clients, count, work, side) for side in sides)
                mine, other = in_turns(ours, theirs, pairs=PAIRS)
                mine, other = ([each / count for each in series] for series in (mine, other))
                title = f"{what}, {clients} client{'s' if clients > 1 else ''}"
                found.append(compared(title, mine, other, peer="tursodb", limit=LIMIT))
            if work is not _fetch:
                found.append(beside_ready(Path(name), title, embedded, work, count))
        return [*found, heard(sides[0])]


def beside_ready(folder: Path, title: str, embedded: ServerProcess, work: Work, count: int) -> Figure:
    """Return the line for the most clients beside a server that sends the same answer, and does nothing."""
    kept: list[bytes] = []
    with httpx.Client(event_hooks={"response": [lambda answer: kept.append(answer.read())]}) as way:
        work(way, embedded.url)
    answer = folder / "answer"
    answer.write_bytes(kept[0])
    command = [sys.executable, ready.__file__, str(answer)]
    with ServerProcess("ready", answer, lambda port: [*command, str(port)]) as other_side:
        sides = [partial(_by, CLIENTS[-1], count, work, side) for side in (embedded, other_side)]
        mine, other = ([each / count for each in series] for series in in_turns(*sides, pairs=PAIRS))
    return beside_limit(title, mine, other, peer=ready.READY)


def _made(path: Path) -> Path:
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE filler (x)")
        db.executemany("INSERT INTO filler VALUES (?)", ((bytes([at % 256]) * 4000,) for at in range(PAGES)))
    db.close()
    return path


def _by(clients: int, count: int, work: Work, side: ServerProcess) -> float:
    """Return the seconds in which so many clients do ``work`` ``count`` times."""
    with ExitStack() as opened:
        ways = [opened.enter_context(httpx.Client(timeout=60, verify=False)) for _ in range(clients)]  # noqa: S501 - http only
        threads = opened.enter_context(ThreadPoolExecutor(clients))

        def share(way: httpx.Client) -> None:
            for _ in range(count // clients):
                work(way, side.url)

        return timed(lambda: list(threads.map(share, ways)))


def _pull(way: httpx.Client, url: str, request: PullRequest) -> str:
    answer = way.post(f"{url}/pull-updates", content=request.encode())
    answer.raise_for_status()
    decoder = PullDecoder(check_bounds=False)
    for _ in decoder.feed(answer.content):
        pass
    decoder.finish()
    assert decoder.header is not None
    return decoder.header.revision


def _bootstrap(way: httpx.Client, url: str) -> None:
    _pull(way, url, PullRequest())


def _fetch(way: httpx.Client, url: str) -> None:
    first = random.randrange(2, PAGES - 10)  # noqa: S311 - chance, no secret
    _pull(way, url, PullRequest(pages=BitMap(range(first, first + 8))))


def _push(way: httpx.Client, url: str) -> None:
    """Push as a replica does: one chain in one request."""
    values = ", ".join(f"({at}, 'text {at}')" for at in range(500))
    texts = ("BEGIN IMMEDIATE", f"INSERT INTO t (a, b) VALUES {values}", "COMMIT")
    steps = [Step(Stmt(text), StepOk(at - 1) if at else None) for at, text in enumerate(texts)]
    body = encode_request([Batch((*steps, Step(Stmt("ROLLBACK"), Not(IsAutocommit()))))])
    answer = way.post(f"{url}/v2/pipeline", content=body).json()
    errors = answer["results"][0]["response"]["result"]["step_errors"]
    assert errors == [None] * 4, errors


def heard(server: ServerProcess) -> Figure:
    """Let a thousand listen, push once, and measure until the last of them was answered."""
    took_s, grown = asyncio.run(_heard(server))
    return Figure(
        f"{LISTENERS} listeners hear of a push",
        f"{took_s * 1000:.0f} ms, {grown / LISTENERS:.0f} kB each",
        "",
        limit=f"<= {HEARD_WITHIN_S:.0f} s",
        within=took_s <= HEARD_WITHIN_S,
    )


async def _heard(server: ServerProcess) -> tuple[float, int]:
    url, process = server.url, server.pid
    with httpx.Client() as way:
        revision = _pull(way, url, PullRequest(pages=BitMap([0])))
        before = _resident_kb(process)
        body = PullRequest(client_revision=revision, long_poll_timeout_ms=30_000, pages=BitMap([0])).encode()
        head = f"POST /pull-updates HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        port = int(url.rsplit(":", 1)[1])
        ways = []
        for _ in range(LISTENERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + body)
            ways.append((reader, writer))
        await asyncio.sleep(3)  # until all of them are listening
        grown = _resident_kb(process) - before
        started_s = time.perf_counter()
        answers = asyncio.gather(*(reader.readexactly(12) for reader, _ in ways))
        await asyncio.to_thread(_push, way, url)
        assert set(await answers) == {b"HTTP/1.1 200"}
        took_s = time.perf_counter() - started_s
        for _, writer in ways:
            writer.close()
        return took_s, grown


def _resident_kb(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])

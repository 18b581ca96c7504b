"""Record what the real client and the real server say to each other, into ``tests/protocol/golden``.

    TURSODB=... python tests/protocol/record_golden.py

A proxy between ``turso.sync`` (pyturso) and ``tursodb`` writes down each body, both ways. The result is
``exchanges.json`` (which file is what) and a file for each body. Revisions, client ids and times differ
from one recording to the next; tests rely on neither.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

import turso.sync  # noqa: E402 - after the path is set
from peers import tursodb_server  # noqa: E402 - after the path is set

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).resolve().parent / "golden"

SETUP = (
    "CREATE TABLE airport(code TEXT PRIMARY KEY, name TEXT, height REAL, photo BLOB)",
    """INSERT INTO airport SELECT 'A' || value, 'airport ' || value, value * 1.5, zeroblob(300)
       FROM generate_series(1, 60)""",
)
OTHERS_CHANGE = "UPDATE airport SET name = 'renamed by another client' WHERE code = 'A7'"


class Recorder(ThreadingHTTPServer):
    """Hands every request on to the server at ``port`` and writes the exchange down."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port = port
        self.scene = ""
        self.exchanges: list[dict[str, object]] = []
        self.lock = threading.Lock()

    def record(self, path: str, request: bytes, status: int, answer: bytes) -> None:
        """Write one exchange down under the name of the scene that is being played."""
        with self.lock:
            number = sum(one["scene"] == self.scene for one in self.exchanges) + 1
            name = f"{self.scene}-{number}"
            exchange = {"scene": self.scene, "name": name, "path": path, "status": status}
            self.exchanges.append(exchange)
            (GOLDEN / f"{name}.request").write_bytes(request)
            (GOLDEN / f"{name}.answer").write_bytes(answer)


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, timeout=30)
        with contextlib.closing(upstream):
            upstream.request("POST", self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        self.server.record(self.path, body, answer.status, content)
        self.send_response(answer.status)
        self.send_header("content-type", answer.headers.get("content-type", ""))
        self.send_header("content-length", str(len(content)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def recording(port: int) -> Iterator[Recorder]:
    """Run a recorder in front of the server at ``port``."""
    with Recorder(port) as recorder:
        thread = threading.Thread(target=recorder.serve_forever)
        thread.start()
        try:
            yield recorder
        finally:
            recorder.shutdown()
            thread.join()


def run_sql(port: int, sql: str) -> None:
    """Run one statement on the server itself, unrecorded."""
    body = {"baton": None, "requests": [{"type": "execute", "stmt": {"sql": sql, "want_rows": True}}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/v2/pipeline", json.dumps(body))
        (result,) = json.loads(connection.getresponse().read())["results"]
    if result["type"] != "ok":
        raise RuntimeError(f"run {sql}: {result}")


def partial(strategy: object) -> turso.sync.PartialSyncOpts:
    """Return the client's options for a small partial replica."""
    return turso.sync.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=8192, prefetch=False)


def play(recorder: Recorder, folder: Path) -> None:
    """Play every scene: bootstraps, a lazy read, a pull with and without news, a push."""
    url = f"http://127.0.0.1:{recorder.server_port}"
    recorder.scene = "bootstrap-whole"
    whole = turso.sync.connect(str(folder / "whole.db"), remote_url=url)
    recorder.scene = "bootstrap-prefix"
    strategy = turso.sync.PartialSyncPrefixBootstrap(length=8192)
    prefix = turso.sync.connect(
        str(folder / "prefix.db"), remote_url=url, partial_sync_experimental=partial(strategy)
    )
    recorder.scene = "lazy-read"
    prefix.execute("SELECT name FROM airport WHERE code = 'A41'").fetchall()
    prefix.close()
    recorder.scene = "bootstrap-query"
    strategy = turso.sync.PartialSyncQueryBootstrap(query="SELECT name FROM airport WHERE code = 'A1'")
    turso.sync.connect(
        str(folder / "query.db"), remote_url=url, partial_sync_experimental=partial(strategy)
    ).close()
    recorder.scene = "pull-nothing"
    whole.pull()
    run_sql(recorder.upstream_port, OTHERS_CHANGE)
    recorder.scene = "pull-news"
    whole.pull()
    recorder.scene = "push"
    values = ("B1", "näme 🛫", -0.0, b"\x00\xff\xfe")
    whole.execute("INSERT INTO airport VALUES (?, ?, ?, ?)", values)
    whole.execute("INSERT INTO airport VALUES ('B2', NULL, 9223372036854775807, x'')")
    whole.execute("UPDATE airport SET name = 'x' WHERE code = 'A1'")
    whole.execute("DELETE FROM airport WHERE code = 'A2'")
    whole.execute("CREATE TABLE extra(a INTEGER PRIMARY KEY, b)")
    whole.commit()
    whole.push()
    recorder.scene = "push-refused"
    whole.execute("INSERT INTO airport VALUES ('C1', NULL, NULL, NULL)")
    whole.commit()
    run_sql(recorder.upstream_port, "ALTER TABLE airport RENAME TO field")
    with contextlib.suppress(Exception):  # the client's own error says nothing about the wire
        whole.push()
    whole.close()


def main() -> None:
    """Record everything anew."""
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with tursodb_server(folder) as server:
            for sql in SETUP:
                run_sql(server.port, sql)
            with recording(server.port) as recorder:
                play(recorder, folder)
                index = json.dumps(recorder.exchanges, indent=1)
    (GOLDEN / "exchanges.json").write_text(index + "\n")


if __name__ == "__main__":
    main()

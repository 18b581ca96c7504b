"""The server of a simulation: the embedded one in this process, or a real ``tursodb`` beside it.

Both answer a request as it is, show their rows past the wire, end and come again, and take up a schema that
SQLite cannot read.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw
from peers import ServerProcess, tursodb_server

from turso_sync_nb.protocol import pipeline
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, Stmt
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest, encode_header, encode_page
from turso_sync_nb.server import pull
from turso_sync_nb.server.database import Database
from turso_sync_nb.server.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from turso_sync_nb.server.history import History
    from turso_sync_nb.units import PageId

SQL: Final = "/v2/pipeline"
TIMEOUT_S: Final = 30.0

Rows = list[tuple[Any, ...]]


class Served(Protocol):
    """A database and what answers for it."""

    def answer(self, path: str, body: bytes, *, as_other: bool) -> tuple[int, str, bytes]:
        """Return status, content type and body; ``as_other``: another database with the same first page."""

    def rows(self, sql: str) -> Rows:
        """Return rows past the wire."""

    def restart(self) -> None:
        """End, and come again."""

    def unreadable(self, *, to: bool) -> None:
        """Have an object in the schema that SQLite cannot read, or not."""

    def close(self) -> None:
        """End."""


class Embedded:
    """The embedded server without its HTTP: requests are answered in the calling thread."""

    def __init__(self, folder: Path, source: Path) -> None:
        self._is_unreadable = False
        self._path = source.rename(folder / "served.db")
        self.database = Database(self._path, DEFAULT_LIMITS)

    def answer(self, path: str, body: bytes, *, as_other: bool) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        if path == SQL:
            requests, _ = pipeline.decode_request(body)
            session = self.database.session()
            *_, answers = session.answer(requests, may_write=True)
            session.close_connection()
            self.database.tidy_soon()
            return 200, "application/json", pipeline.encode_response(answers)
        history: Any = _Other(self.database.history) if as_other else self.database.history
        selection = pull.select(history, PullRequest.decode(body), DEFAULT_LIMITS, lambda: False)
        chunks = pull.chunks(history, selection, DEFAULT_LIMITS.chunk_pages)
        return 200, "application/protobuf", b"".join(chunks)

    def rows(self, sql: str) -> Rows:
        """Return rows past the wire."""
        raw = self._raw()
        try:
            if self._is_unreadable:
                raw.execute("PRAGMA writable_schema = ON")
            return list(raw.execute(sql))
        finally:
            raw.close()

    def restart(self) -> None:
        """Stop, and start again: who kills a thread does no less."""
        self.database.close()
        self.database = Database(self._path, DEFAULT_LIMITS)

    def unreadable(self, *, to: bool) -> None:
        """Have a materialized view, which no parser of SQLite's takes."""
        if to == self._is_unreadable:
            return
        self._is_unreadable = to
        raw = self._raw()
        raw.wal_autocheckpoint(0)
        raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        raw.execute("PRAGMA writable_schema = ON")
        with raw:
            if to:
                raw.execute(
                    "INSERT INTO sqlite_schema VALUES ('view', 'unreadable', 'unreadable', 0, "
                    "'CREATE MATERIALIZED VIEW unreadable AS SELECT 1')"
                )
            else:
                raw.execute("DELETE FROM sqlite_schema WHERE name = 'unreadable'")
            cookie = raw.execute("PRAGMA schema_version").get
            raw.execute(f"PRAGMA schema_version = {cookie + 1}")
        raw.close()

    def close(self) -> None:
        """End."""
        self.database.close()

    def _raw(self) -> apsw.Connection:
        raw = apsw.Connection(str(self.database.path), flags=apsw.SQLITE_OPEN_READWRITE)
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return raw


class _Other:
    """The history of another database, whose revisions, sizes and first page are the same."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def read(self, revision: int, pages: Sequence[PageId]) -> list[bytes]:
        """Return the pages, each but the first one another."""
        read = self._history.read(revision, pages)
        return [_another(page, data) for page, data in zip(pages, read, strict=True)]


_FLIPPED: Final = bytes(byte ^ 1 for byte in range(256))


def _another(page: PageId, data: bytes) -> bytes:
    return data.translate(_FLIPPED) if page else data


class Tursodb:
    """A ``tursodb`` process, asked over its socket."""

    def __init__(self, folder: Path, source: Path) -> None:
        home = folder / "server"
        home.mkdir()
        self._process: ServerProcess = tursodb_server(home, source, flags=["--experimental-views"])
        source.unlink()
        self._process.start()

    def answer(self, path: str, body: bytes, *, as_other: bool) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self._process.port, timeout=TIMEOUT_S)
        kind = "application/json" if path == SQL else "application/protobuf"
        connection.request("POST", path, body, {"content-type": kind})
        answered = connection.getresponse()
        data, status = answered.read(), answered.status
        connection.close()
        if as_other and path != SQL and status == http.client.OK:
            data = _of_another(data)
        return status, kind, data

    def rows(self, sql: str) -> Rows:
        """Return rows, asked without a wire that fails."""
        request = pipeline.encode_request([Execute(Stmt(sql))])
        _, _, body = self.answer(SQL, request, as_other=False)
        ((answer,), _) = pipeline.decode_response(body)
        if not isinstance(answer, ExecuteResponse):
            raise apsw.SQLError(f"{answer}: {sql}")
        return list(answer.result.rows)

    def restart(self) -> None:
        """Be killed, and start again."""
        self._process.kill()
        self._process.start()

    def unreadable(self, *, to: bool) -> None:
        """Have a materialized view."""
        there = self.rows("SELECT 1 FROM sqlite_schema WHERE name = 'unreadable'")
        if to and not there:
            self.rows("CREATE MATERIALIZED VIEW unreadable AS SELECT count(*) AS n FROM hits")
        elif there and not to:
            self.rows("DROP VIEW unreadable")

    def close(self) -> None:
        """End."""
        self._process.kill()


def _of_another(answer: bytes) -> bytes:
    """Return an answer about pages as another database would give it."""
    decoder = PullDecoder(check_bounds=False)
    pages = list(decoder.feed(answer))
    if decoder.header is None:
        return answer
    return encode_header(decoder.header) + b"".join(
        encode_page(page, _another(page, data), decoder.header.encoding) for page, data in pages
    )


SERVERS: Final = {"embedded": Embedded, "tursodb": Tursodb}

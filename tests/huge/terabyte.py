"""A remote of 1 TB that was never written: each of its pages is computed when it is asked for.

One table, ``t(id INTEGER PRIMARY KEY, name TEXT)``, of rows ``(n, 'row n')``. Its b-tree lies in the file as
a walk through it meets its pages, each before those below it; so interior pages are scattered over the whole
file, as in a database that grew. What is written on the remote is a row's new name, kept by its leaf.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import apsw
from pyroaring import BitMap

from turso_sync_nb.protocol.pull_updates import (
    DATABASE_HEADER,
    PullHeader,
    PullRequest,
    encode_header,
    encode_page,
)
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

FANOUT = 340
"""Children of an interior page but the root."""

ROWS = 4
"""Rows of a leaf."""

HEIGHT = 4
ROOT_FANOUT = 7
SUBTREES = [sum(FANOUT**level for level in range(height + 1)) for height in range(HEIGHT)]
"""Pages of a tree of each height below the root's."""

TREE_PAGES = 1 + ROOT_FANOUT * SUBTREES[HEIGHT - 1]
DB_PAGES = 1 + TREE_PAGES + 1
"""The first page, the tree, the lock page; 1.03 TiB."""

LAST_ID = ROOT_FANOUT * FANOUT ** (HEIGHT - 1) * ROWS - 1


def name_of(row: int) -> str:
    """Return the name that a row begins with."""
    return f"row {row}"


class Terabyte:
    """The database, at every revision: ``renamed`` holds a row's new names, each with its revision."""

    def __init__(self) -> None:
        self.revision = 1
        self.renamed: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        self._first = _first_page()

    def rename(self, row: int, name: str) -> None:
        """Write on the remote."""
        self.revision += 1
        self.renamed[row].append((self.revision, name))

    def changed_since(self, revision: int) -> BitMap:
        """Return the pages that were written after ``revision``."""
        return BitMap([leaf_of(row) for row, names in self.renamed.items() if names[-1][0] > revision])

    def name(self, row: int, revision: int) -> str:
        """Return the name of a row at ``revision``."""
        names = [name for when, name in self.renamed.get(row, ()) if when <= revision]
        return names[-1] if names else name_of(row)

    def page(self, page: int, revision: int = 1) -> bytes:
        """Return the content of a page at ``revision``."""
        if page == 0:
            return self._first
        place = page - 1 - (page > LOCK_PAGE)
        height, fanout, first_row = HEIGHT, ROOT_FANOUT, 0
        while place:
            child, place = divmod(place - 1, SUBTREES[height - 1])
            first_row += child * rows_below(height - 1)
            height, fanout = height - 1, FANOUT
        if height:
            children = [
                (id_of(page - 1 - (page > LOCK_PAGE) + 1 + at * SUBTREES[height - 1]),
                 first_row + (at + 1) * rows_below(height - 1) - 1)
                for at in range(fanout)
            ]  # fmt: skip
            return _interior(children)
        return _leaf([(row, self.name(row, revision)) for row in range(first_row, first_row + ROWS)])


def rows_below(height: int) -> int:
    """Return how many rows a subtree of ``height`` has."""
    return ROWS * FANOUT**height


def id_of(place: int) -> int:
    """Return the page id of the tree's page at ``place`` in the walk."""
    return 1 + place + (1 + place >= LOCK_PAGE)


def leaf_of(row: int) -> int:
    """Return the page id of the leaf that has ``row``."""
    place = 0
    for height in range(HEIGHT, 0, -1):
        child, row = divmod(row, rows_below(height - 1))
        place += 1 + child * SUBTREES[height - 1]
    return id_of(place)


def _first_page() -> bytes:
    """Return the schema page of such a database, as SQLite writes it, with the size of ours."""
    with apsw.Connection(":memory:") as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)")
        page = bytearray(db.serialize("main")[:PAGE_SIZE])
    page[28:32] = DB_PAGES.to_bytes(4)
    return bytes(page)


def _varint(number: int) -> bytes:
    """Return SQLite's form of a number below 2**56."""
    sevens = [number & 0x7F]
    while number := number >> 7:
        sevens.append(number & 0x7F | 0x80)
    return bytes(reversed(sevens))


def _interior(children: list[tuple[int, int]]) -> bytes:
    """Return an interior page of a table from (page id, largest rowid) of each child."""
    cells = [(page + 1).to_bytes(4) + _varint(row) for page, row in children[:-1]]
    return _page(b"\5", cells, (children[-1][0] + 1).to_bytes(4))


def _leaf(rows: list[tuple[int, str]]) -> bytes:
    cells = []
    for row, name in rows:
        text = name.encode()
        record = bytes((3, 0)) + _varint(13 + 2 * len(text)) + text
        cells.append(_varint(len(record)) + _varint(row) + record)
    return _page(b"\x0d", cells, b"")


def _page(kind: bytes, cells: list[bytes], right: bytes) -> bytes:
    body, places, start = b"", b"", PAGE_SIZE
    for cell in cells:
        start -= len(cell)
        places += start.to_bytes(2)
        body = cell + body
    head = kind + bytes(2) + len(cells).to_bytes(2) + start.to_bytes(2) + bytes(1) + right + places
    return head + bytes(PAGE_SIZE - len(head) - len(body)) + body


class TerabyteServer:
    """Serves it on the loopback, in a thread; ``computed`` counts the pages that it sent.

    ``name`` is what it calls its database: like ``tursodb``, nothing by default.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.database = Terabyte()
        self.computed: Counter[int] = Counter()
        self.asked_again: list[BitMap] = []
        """For each request of pages at a revision: those that one before it had asked for."""
        self._asked = BitMap()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: PullRequest) -> Iterator[bytes]:
        """Yield the messages that answer ``request``."""
        revision = int(request.server_revision or self.database.revision)
        yield encode_header(PullHeader(str(revision), DB_PAGES))
        pages = BitMap() if request.pages is None else request.pages - BitMap([LOCK_PAGE])
        if request.pages is None and not request.client_revision:
            raise AssertionError("somebody asked for a whole terabyte")
        if request.client_revision and not request.server_revision:
            changed = self.database.changed_since(int(request.client_revision))
            pages = changed if request.pages is None else changed & pages
        else:
            with self._lock:
                self.asked_again.append(pages & self._asked)
                self._asked |= pages
        for page in pages:
            if page < DB_PAGES:
                self.computed[page] += 1
                yield encode_page(PageId(page), self.database.page(page, revision), "raw")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                body = b"".join(server.answer(PullRequest.decode(data)))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                if server.name:
                    self.send_header(DATABASE_HEADER, server.name)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

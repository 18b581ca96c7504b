"""A scan of every flight through the lazy VFS, against native SQLite on a plain file of the same pages.

The replica is a partial one that has the whole table and lacks some index pages: a replica without absent
pages would run on the native VFS and measure nothing. Cold is SQLite's cache empty, in a fresh connection;
the operating system's cache is warm on both sides.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
from figures import Figure, beside_limit, compared, in_turns, timed
from lookup import our_connect

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS: Final = 15
COUNT: Final = "SELECT count(*) FROM flights NOT INDEXED"
SUM: Final = "SELECT sum(distance), max(time_hour) FROM flights NOT INDEXED"
CACHE_KIB: Final = 100_000
"""Room for the whole table, so that a second scan reads no file."""

PLAIN: Final = "bench-plain"
ANY_VFS: Final = "any VFS in Python"
COLD_LIMIT: Final = 1.4
NOTED_LIMIT: Final = 1.25


def figures(url: str, database: Path) -> list[Figure]:
    """Return the lines for cold and warm scans."""
    with tempfile.TemporaryDirectory() as folder:
        replica = Path(folder) / "replica"
        with closing(our_connect(str(replica), url)) as db:
            db.execute(SUM).fetchall()
            stats = db.stats()
            assert stats.pages_resident < stats.pages_total, "no page is absent: the native VFS would be used"
            found = [
                scanned("cold scan, count(*)", COUNT, replica, database, limit=COLD_LIMIT),
                scanned("cold scan, two columns", SUM, replica, database, limit=COLD_LIMIT),
                scanned("warm scan, count(*)", COUNT, replica, database, warm=True),
                scanned("warm scan, two columns", SUM, replica, database, warm=True),
            ]
        return [*found, noted(replica), beside_any_vfs(replica, database)]


def scanned(
    what: str, sql: str, replica: Path, database: Path, *, limit: float | None = None, warm: bool = False
) -> Figure:
    """Return the line for one statement; ``warm``: its pages are in SQLite's cache already."""
    mine, other = in_turns(
        lambda: one_scan(lambda: tsn.connect(replica), sql, warm=warm),
        lambda: one_scan(lambda: apsw.Connection(str(database)), sql, warm=warm),
        pairs=PAIRS,
    )
    return compared(what, mine, other, peer="native", limit=limit)


def noted(replica: Path) -> Figure:
    """Return the line for what it costs to note which pages are used, so that others can be given back."""
    mine, other = in_turns(
        lambda: one_scan(lambda: tsn.connect(replica, max_resident="1GB"), COUNT, warm=False),
        lambda: one_scan(lambda: tsn.connect(replica), COUNT, warm=False),
        pairs=PAIRS,
    )
    return compared("cold scan, count(*), max_resident", mine, other, peer="without it", limit=NOTED_LIMIT)


class PlainVFS(apsw.VFS):
    """What any VFS in Python takes: each read is passed on to the native one."""

    def __init__(self) -> None:
        super().__init__(PLAIN, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open natively, but for what reads."""
        return PlainFile("", name, flags)


class PlainFile(apsw.VFSFile):
    """A file whose reads go through Python."""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read natively."""
        return _native_read(self, amount, offset)


_native_read: Final = apsw.VFSFile.xRead


def beside_any_vfs(replica: Path, database: Path) -> Figure:
    """Return the line for a cold scan beside one on the plain file, through a VFS that only passes on."""
    kept = PlainVFS()
    mine, other = in_turns(
        lambda: one_scan(lambda: tsn.connect(replica), COUNT, warm=False),
        lambda: one_scan(lambda: apsw.Connection(str(database), vfs=PLAIN), COUNT, warm=False),
        pairs=PAIRS,
    )
    kept.unregister()
    return beside_limit("cold scan, count(*)", mine, other, peer=ANY_VFS)


def one_scan(connect: Callable[[], Any], sql: str, *, warm: bool) -> float:
    """Return the seconds of one scan on a fresh connection, connecting and the schema not counted."""
    with closing(connect()) as db:
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute("SELECT 1 FROM flights LIMIT 0").fetchall()
        if warm:
            db.execute(sql).fetchall()
        return timed(lambda: db.execute(sql).fetchall())

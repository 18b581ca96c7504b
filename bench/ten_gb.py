"""A lookup by key on a database of 10 GB, past the lock page at 1 GiB: what it takes from nothing.

The open is included. Served by ``tursodb``, from a log that holds every page, and then, the log moved in, by
the embedded server.
Rows lie a page each, so the table has 2.6 million leaves and 3 levels above them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
from counting import CountingDoor
from figures import Figure, table
from lookup import our_connect
from peers import ServerProcess, find_tursodb

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: Final = 2_600_000
ROW_BYTES: Final = 3_900
KEYS: Final = (1, ROWS // 10, ROWS // 2, ROWS)
REQUESTS_MAX: Final = 6
BYTES_MAX: Final = 600_000

SCHEMA: Final = "CREATE TABLE block(id INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL)"
FILL: Final = f"""
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO block SELECT i, 'row ' || i, zeroblob({ROW_BYTES}) FROM n
"""


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the lines for each server; needs 21 GB in ``folder`` for a while."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        database = Path(work) / "ten.db"
        with closing(apsw.Connection(str(database))) as db:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            for pragma, value in (("journal_mode", "wal"), ("synchronous", 0), ("wal_autocheckpoint", 0)):
                db.pragma(pragma, value)
            db.execute(SCHEMA)
            db.execute(FILL)
        yield from looked_up("tursodb", database, [str(find_tursodb()), str(database), "--sync-server"])
        with closing(apsw.Connection(str(database))) as db:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        serve = [sys.executable, "-m", "turso_sync_nb", "serve", str(database), "--listen"]
        yield from looked_up("embedded server", database, serve)


def looked_up(name: str, database: Path, command: list[str]) -> Iterator[Figure]:
    """Yield the lines for the worst of several keys, each on a replica of its own."""
    worst_requests = worst_bytes = 0
    took_s: list[float] = []
    with ServerProcess(name, database, lambda port: [*command, f"127.0.0.1:{port}"]) as server:
        for key in KEYS:
            with tempfile.TemporaryDirectory() as folder, CountingDoor(server.port) as door:
                started_s = time.perf_counter()
                with closing(our_connect(f"{folder}/replica", door.url)) as db:
                    found = db.execute("SELECT name FROM block WHERE id = ?", (key,)).fetchall()
                    took_s.append(time.perf_counter() - started_s)
                    stats = db.stats()
                assert found == [(f"row {key}",)]
                assert stats.pages_total > ROWS
                worst_requests = max(worst_requests, stats.network_requests)
                worst_bytes = max(worst_bytes, door.count().received)
    size = f"{ROWS * 4096 / 1e9:.1f} GB"
    what = f"open and lookup by key, {size}, {name}"
    yield Figure(
        f"{what}: requests",
        str(worst_requests),
        f"{max(took_s) * 1000:.0f} ms the slowest of {len(KEYS)}",
        limit=f"<= {REQUESTS_MAX}",
        within=worst_requests <= REQUESTS_MAX,
    )
    yield Figure(
        f"{what}: bytes received",
        f"{worst_bytes:,}",
        "",
        limit=f"<= {BYTES_MAX:,}",
        within=worst_bytes <= BYTES_MAX,
    )


def main(folder: Path) -> int:
    """Measure, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(figures(folder))
    print(table(found))
    return int(any(figure.within is False for figure in found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""The databases that are measured, made once and kept in ``.demo``."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE_BYTES: Final = 2 * 10**9
LARGE_ROW_BYTES: Final = 16_000


def without_an_index(flights: Path) -> Path:
    """Return the flights without their index by day, packed: 46 MB, the size the limits are set for."""
    target = flights.with_name("bench.db")
    if target.exists() and target.stat().st_mtime >= flights.stat().st_mtime:
        return target
    target.unlink(missing_ok=True)
    with (
        closing(apsw.Connection(str(flights), flags=apsw.SQLITE_OPEN_READONLY)) as source,
        closing(apsw.Connection(str(target))) as db,
    ):
        with db.backup("main", source, "main") as backup:
            backup.step()
        db.pragma("journal_mode", "delete")
        db.execute("DROP INDEX flights_day")
        db.execute("VACUUM")
    return target


def large(folder: Path, size: int = LARGE_BYTES) -> Path:
    """Return a database of ``size`` bytes, 2 GB: rows of 16 kB that do not compress."""
    target = folder / ("large.db" if size == LARGE_BYTES else f"large-{size // 10**6}.db")
    if target.exists() and target.stat().st_size >= size:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with closing(apsw.Connection(str(target))) as db:
        db.pragma("page_size", 4096)
        db.pragma("journal_mode", "off")
        db.pragma("synchronous", 0)
        db.execute("CREATE TABLE block(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        with db:
            db.executemany("INSERT INTO block(body) VALUES (?)", large_rows(size))
    return target


def large_rows(size: int = LARGE_BYTES) -> Iterator[tuple[bytes]]:
    """Yield rows until their pages hold ``size`` bytes."""
    chance = random.Random(1)  # noqa: S311 - test data
    for _ in range(size // LARGE_ROW_BYTES):
        yield (chance.randbytes(LARGE_ROW_BYTES),)

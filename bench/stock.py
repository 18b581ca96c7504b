"""The table that is written to, its rows, and replicas on which ours and pyturso's do the same."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import apsw

if TYPE_CHECKING:
    from pathlib import Path

    import turso.sync

    import turso_sync_nb as tsn

    Replica: TypeAlias = tsn.Connection | turso.sync.ConnectionSync

ROWS: Final = 20_000
COLUMNS: Final = "(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, note TEXT)"
PLACES: Final = "(id, name, price, note) VALUES (?, ?, ?, ?)"


def rows(first: int, count: int = ROWS) -> list[tuple[Any, ...]]:
    """Return ``count`` rows whose keys begin at ``first``."""
    return [
        (key, f"article {key}", key * 0.25, "kept in the second store, ünter dem Dach" if key % 3 else None)
        for key in range(first, first + count)
    ]


def made(path: Path, *tables: str, filled: bool = False) -> Path:
    """Make a database of such tables, ``filled``: with the first rows in each; return its path."""
    with closing(apsw.Connection(str(path))) as db, db:
        for table in tables:
            db.execute(f"CREATE TABLE {table} {COLUMNS}")
            if filled:
                db.executemany(f"INSERT INTO {table} {PLACES}", rows(1))
    return path


def fill(db: Replica, table: str, first: int) -> None:
    """Insert rows in one transaction."""
    db.executemany(f"INSERT INTO {table} {PLACES}", rows(first))
    db.commit()

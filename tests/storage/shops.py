"""A packed database of items in shops, and a reader of a partial replica of it."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    from pathlib import Path

    from partial import Partial

ROWS = 30_000
PREFIX = range(8)
"""Pages that are here at first: the schema and every root."""


def make_shops(path: Path) -> None:
    """Make it: 30 rows to a leaf, 100 rows of each ``shop`` in random places; long values."""
    chance = random.Random(5)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE item(id INTEGER PRIMARY KEY, shop INT, note TEXT);"
            "CREATE INDEX item_shop ON item(shop);"
            "CREATE TABLE photo(id INTEGER PRIMARY KEY, body BLOB);"
            "CREATE TABLE word(k TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE small(id INTEGER PRIMARY KEY, v TEXT)"
        )
        shops = [number % (ROWS // 100) for number in range(ROWS)]
        chance.shuffle(shops)
        with db:
            notes = ((number, shop, "n" * 110) for number, shop in enumerate(shops))
            db.executemany("INSERT INTO item VALUES(?, ?, ?)", notes)
            db.executemany(
                "INSERT INTO photo VALUES(?, ?)", ((n, chance.randbytes(20_000)) for n in range(300))
            )
            db.executemany("INSERT INTO word VALUES(?)", ((f"{n:0200}",) for n in range(9000)))
            db.executemany("INSERT INTO small VALUES(?, ?)", ((n, "x" * 100) for n in range(1000)))
        db.execute("VACUUM")


class Reading:
    """A reader of a partial replica, with what each statement asked for."""

    def __init__(self, replica: Partial, db: apsw.Connection) -> None:
        self.replica = replica
        self.db = db
        self.file = replica.vfs.file(db)
        db.execute("SELECT 1 FROM item LIMIT 0").fetchall()

    def rows(self, sql: str, *bindings: object) -> list[Any]:
        """Return the rows."""
        return self.db.execute(sql, bindings).fetchall()

    def asked(self, sql: str, *bindings: object) -> list[int]:
        """Run ``sql`` and return how many pages each of its requests had."""
        before = len(self.replica.source.asked)
        self.rows(sql, *bindings)
        return [len(pages) for pages in self.replica.source.asked[before:]]

    def wasted(self) -> int:
        """Return how many pages came that nobody has read so far."""
        return len(set(self.replica.source.given) - set(self.file.read_ahead.read()))

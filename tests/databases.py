"""Databases for tests, made by plain SQLite from a seed; the oracle is the same file."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = '''
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, score REAL, born TEXT, photo BLOB);
CREATE INDEX person_city ON person(city, name);
CREATE TABLE visit(person INTEGER REFERENCES person(id), at TEXT, note,
  PRIMARY KEY(person, at)) WITHOUT ROWID;
CREATE TABLE "odd ""table"""("a b" INTEGER, "select" TEXT);
CREATE VIEW adult AS SELECT id, name FROM person WHERE score > 0.5;
'''

OPENED: Final[list[sqlite3.Connection]] = []
"""Connections of plain SQLite that the end of the test closes."""

CITIES = ("Zürich", "Oslo", "", "São Paulo", None, "東京")


def make_database(path: Path, statements: Iterable[str]) -> Path:
    """Write a database that ``statements`` make to ``path``."""
    with closing(apsw.Connection(str(path))) as raw:
        for sql in statements:
            raw.execute(sql)
    return path


def plain_sqlite(**options: Any) -> sqlite3.Connection:
    """Open an empty database of plain SQLite in memory, to compare with; the end of the test closes it."""
    OPENED.append(sqlite3.connect(":memory:", **options))
    return OPENED[-1]


def make_people(path: Path, *, people: int = 3000, seed: int = 7) -> Path:
    """Write a database of ``people`` rows with neighbours of every kind of value to ``path``."""
    chance = random.Random(seed)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(SCHEMA).fetchall()
        with db:
            db.executemany(
                "INSERT INTO person VALUES(?, ?, ?, ?, ?, ?)",
                (
                    (
                        number,
                        f"name {chance.randrange(people)}",
                        chance.choice(CITIES),
                        chance.random() if chance.random() > 0.1 else None,
                        f"19{chance.randrange(10, 99)}-01-02",
                        chance.randbytes(chance.randrange(300)) if chance.random() > 0.5 else None,
                    )
                    for number in range(1, people + 1)
                ),
            )
            extreme = (2**63 - 1, bytes(20_000))
            db.execute("INSERT INTO person VALUES(?, 'extreme', 'Oslo', -0.0, NULL, ?)", extreme)
            db.executemany(
                "INSERT OR IGNORE INTO visit VALUES(?, ?, ?)",
                ((chance.randrange(1, people + 1), _month(chance), _note(chance)) for _ in range(people)),
            )
            db.execute('INSERT INTO "odd ""table""" VALUES(1, \'one\')')
            db.execute("ANALYZE").fetchall()
    return path


def _month(chance: random.Random) -> str:
    return f"2026-{chance.randrange(1, 13):02}"


def _note(chance: random.Random) -> object:
    return chance.choice([1, 2.5, "x", None])


def pages_of(path: Path) -> dict[int, bytes]:
    """Return the pages of a database file at rest, by page id; nobody may have it open."""
    data = path.read_bytes()
    return {offset // 4096: data[offset : offset + 4096] for offset in range(0, len(data), 4096)}

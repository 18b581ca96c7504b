"""Queries of many kinds on a lazy replica: requests, and how close a dry run comes."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 20_000
FEW = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024), segment_size=4096
)
PICKED = sorted(random.Random(3).sample(range(ROWS), 60))
IDS = ", ".join(map(str, PICKED))
PAIRS = ", ".join(f"({key}, {key % 7})" for key in PICKED)
TAILS = ", ".join(f"'t{number:05}'" for number in range(0, 1000, 100))
DAYS = "day COLLATE NOCASE BETWEEN '2026-03-04' AND '2026-03-06'"

CLOSE = {
    "one key": ("SELECT note FROM flight WHERE id = 7777", 2),
    "keys": (f"SELECT note FROM flight WHERE id IN ({IDS})", 2),
    "keys by OR": (f"SELECT note FROM flight WHERE {' OR '.join(f'id = {key}' for key in PICKED)}", 2),
    "keys of JSON": (f"SELECT note FROM flight WHERE id IN (SELECT value FROM json_each('[{IDS}]'))", 2),
    "keys of VALUES": (
        f"SELECT note FROM (VALUES {IDS.replace(', ', '), (').join('()')}) JOIN flight ON id = column1",
        2,
    ),
    "a range of keys": ("SELECT note FROM flight WHERE id BETWEEN 9000 AND 9900", 2),
    "groups": (f"SELECT tail, count(*), max(note) FROM flight WHERE id IN ({IDS}) GROUP BY tail", 2),
    "a window function": (f"SELECT row_number() OVER (ORDER BY n) FROM flight WHERE id IN ({IDS})", 2),
    "a view": (f"SELECT note FROM late WHERE id IN ({IDS})", 2),
    "a common table": (f"WITH c AS (SELECT * FROM flight WHERE id IN ({IDS})) SELECT note FROM c", 2),
    "an index": ("SELECT note FROM flight WHERE n = 77", 4),
    "a range of an index": ("SELECT note FROM flight WHERE n BETWEEN 70 AND 72", 4),
    "a partial index": ("SELECT note FROM flight WHERE tail BETWEEN 'T00100' AND 'T00140' AND n > 900", 4),
    "an index of an expression": ("SELECT note FROM flight WHERE lower(tail) = 't00777'", 4),
    "several keys of it": (f"SELECT note FROM flight WHERE lower(tail) IN ({TAILS})", 4),
    "an index with a collation": (f"SELECT note FROM flight WHERE {DAYS} AND n > 800", 4),
    "an index alone": ("SELECT n FROM flight WHERE n BETWEEN 70 AND 90", 2),
    "keys without rowids": (f"SELECT t FROM word WHERE (a, b) IN (VALUES {PAIRS})", 2),
    "an index without rowids": ("SELECT t FROM word WHERE s = 'S00777'", 4),
    "a small table, all here": ("SELECT note FROM small JOIN flight ON flight.id = small.k", 2),
}
"""Each with its requests; a dry run says to the page what it then fetches."""

OTHERS = {
    "keys of a subquery": ("SELECT note FROM flight WHERE id IN (SELECT f FROM key WHERE k < 'K000050')", 4),
    "an EXISTS": (
        "SELECT k FROM key WHERE k < 'K000050' AND EXISTS (SELECT 1 FROM flight WHERE id = f AND n > 3)",
        4,
    ),
    "a scalar subquery": ("SELECT (SELECT note FROM flight WHERE id = f) FROM key WHERE k < 'K000050'", 4),
    "a left join": ("SELECT k, note FROM key LEFT JOIN flight ON id = f WHERE k < 'K000050'", 4),
    "a join of three": (
        "SELECT t FROM key JOIN flight ON id = f JOIN word ON a = n WHERE k < 'K000050'",
        6,
    ),
    "a table joined with itself": (
        "SELECT b.note FROM flight AS a JOIN flight AS b ON b.tail = a.tail WHERE a.id IN (5, 900)",
        4,
    ),
    "an index joined with its table": (
        "SELECT count(*) FROM flight AS a CROSS JOIN flight AS b ON b.n = a.n WHERE a.id IN (5, 900)",
        3,
    ),
    "a union of keys and a scan": (f"SELECT note FROM both_tables WHERE id IN ({IDS})", 7),
    "a recursion": (
        "WITH RECURSIVE c(k) AS (SELECT 5 UNION SELECT n * 19 FROM c JOIN flight ON id = k) SELECT * FROM c",
        32,
    ),
    "the first rows of an index": ("SELECT note FROM flight ORDER BY n DESC LIMIT 20", 4),
    "the first rows with a condition": ("SELECT note FROM flight WHERE n > 990 ORDER BY id LIMIT 20", 4),
    "the least and the greatest": ("SELECT min(n), max(n) FROM flight", 2),
    "a change": (f"UPDATE flight SET n = n + 1 WHERE id IN ({IDS})", 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of 8 MB with indexes of each kind."""
    path, chance = tmp_path_factory.mktemp("kinds") / "kinds.db", random.Random(7)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE small(k INTEGER PRIMARY KEY);"
            "CREATE TABLE flight(id INTEGER PRIMARY KEY, tail TEXT, n INT, day TEXT, note TEXT);"
            "CREATE TABLE word(a INT, b INT, s TEXT, t TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;"
            "CREATE TABLE key(k TEXT PRIMARY KEY, f INT, x TEXT);"
            "CREATE VIEW late AS SELECT id, tail, note FROM flight WHERE n > 500;"
            "CREATE VIEW both_tables AS SELECT id, note FROM flight UNION ALL SELECT b, t FROM word"
        )
        with db:
            db.executemany("INSERT INTO small VALUES(?)", [(key,) for key in PICKED])
            db.executemany(
                "INSERT INTO flight VALUES(?, ?, ?, ?, ?)",
                (
                    (n, f"T{chance.randrange(1000):05}", chance.randrange(1000), day(chance), "n" * 150)
                    for n in range(ROWS)
                ),
            )
            words = ((n, n % 7, f"S{chance.randrange(1000):05}", "t" * 100) for n in range(ROWS))
            db.executemany("INSERT INTO word VALUES(?, ?, ?, ?)", words)
            keys = ((f"K{n:06}", chance.randrange(ROWS), "x" * 80) for n in range(5000))
            db.executemany("INSERT INTO key VALUES(?, ?, ?)", keys)
        db.execute(
            "CREATE INDEX word_s ON word(s); CREATE INDEX flight_part ON flight(tail) WHERE n > 900;"
            "CREATE INDEX flight_lower ON flight(lower(tail)); CREATE INDEX flight_n ON flight(n);"
            "CREATE INDEX flight_day ON flight(day COLLATE NOCASE, n DESC);"
            "CREATE INDEX flight_tail ON flight(tail); ANALYZE"
        )
    return path


def day(chance: random.Random) -> str:
    """Return a day of 2026."""
    return f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"


@pytest.mark.parametrize("what", [*CLOSE, *OTHERS])
def test_requests_and_dry_run(what, read_from: Callable, flights, tmp_path) -> None:
    """The query fetches no more than its dry run said; rows are those of plain SQLite."""
    sql, requests = {**CLOSE, **OTHERS}[what]
    url = read_from(flights)
    with closing(tsn.connect(tmp_path / "r", url, partial_sync=FEW)) as db:
        db.execute("SELECT 1").fetchall()  # the schema, and the statistics
        before = db.stats().network_requests
        rows = db.execute(sql).fetchall()
        assert db.stats().network_requests - before == requests
        with closing(apsw.Connection(":memory:")) as plain:
            plain.deserialize("main", flights.read_bytes())
            assert sorted(rows) == sorted(plain.execute(sql).fetchall())
    with closing(tsn.connect(tmp_path / "dry", url, partial_sync=FEW)) as db:
        dry = db.dry_run(sql)
        fetched = db.run(sql).report.pages_fetched
        assert fetched == dry.pages if what in CLOSE else fetched <= dry.pages
        assert dry.requests <= 5
        assert dry.pages_fetched <= 30

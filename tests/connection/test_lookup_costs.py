"""What queries cost on the wire after a partial bootstrap: requests, bytes, pages fetched in vain."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pandas as pd
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 60_000
FEW = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024), segment_size=4096
)

PICKED = sorted(random.Random(3).sample(range(1, ROWS), 100))
BY_KEY = "SELECT * FROM flight WHERE id = 43210"
QUERIES = {
    "by key": (BY_KEY, 2),
    "by index": ("SELECT * FROM flight WHERE tail = 'T00777'", 4),
    "by a key of text": ("SELECT model FROM plane WHERE tail = 'T00777'", 2),
    "100 rows that the query names": (
        f"SELECT * FROM flight WHERE id IN ({', '.join(map(str, PICKED))})",
        2,
    ),
    "100 rows that another table names": (
        "SELECT note, tail FROM pick JOIN flight ON flight.id = pick.flight",
        3,
    ),
    "100 rows and what they name": (
        "SELECT f.id, model FROM flight AS f CROSS JOIN plane USING(tail) WHERE f.id BETWEEN 3000 AND 3099",
        4,
    ),
    "1,000 rows in order": ("SELECT * FROM flight WHERE id BETWEEN 20000 AND 20999", 2),
    "the last rows": ("SELECT * FROM flight ORDER BY id DESC LIMIT 100", 2),
    "the first rows of an index": ("SELECT * FROM flight ORDER BY tail LIMIT 10", 4),
    "all of an index": ("SELECT tail, count(*) FROM flight GROUP BY tail", 12),
    "all rows": ("SELECT sum(length(text)) FROM flight", 12),
}  # fmt: skip


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of 14 MB, analyzed: flights, planes, and 100 flights picked at random."""
    path, chance = tmp_path_factory.mktemp("flights") / "flights.db", random.Random(7)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE plane(tail TEXT PRIMARY KEY, model TEXT);"
            "CREATE TABLE flight(id INTEGER PRIMARY KEY, tail TEXT, text TEXT);"
            "CREATE TABLE pick(id INTEGER PRIMARY KEY, note TEXT, flight INTEGER)"
        )
        with db:
            flights = ((n, f"T{chance.randrange(2000):05}", "on time " * 20) for n in range(1, ROWS))
            db.executemany("INSERT INTO flight VALUES(?, ?, ?)", flights)
            planes = ((f"T{n:05}", "model " * 12) for n in range(2000))
            db.executemany("INSERT INTO plane VALUES(?, ?)", planes)
            picks = ((n, chance.randrange(1, ROWS)) for n in range(100))
            db.executemany("INSERT INTO pick VALUES(?, 'look', ?)", picks)
            db.execute("CREATE INDEX flight_tail ON flight(tail); ANALYZE")
    return path


@pytest.mark.parametrize("what", QUERIES)
def test_requests(what, read_from: Callable, flights, tmp_path) -> None:
    """Each query on a replica of its own; what it gives is what plain SQLite gives."""
    sql, requests_max = QUERIES[what]
    with closing(tsn.connect(tmp_path / "r", read_from(flights), partial_sync=FEW)) as db:
        result = db.run(sql)
        with closing(apsw.Connection(str(flights))) as plain:
            rows = plain.execute(sql).fetchall()
        assert sorted(db.execute(sql).fetchall()) == sorted(rows)
        assert 1 <= result.report.requests <= requests_max
        if sql == BY_KEY:
            assert result.report.received_bytes <= 50_000


def test_waste(read_from: Callable, flights, tmp_path) -> None:
    """Over all of these queries, scans left out, at most one page in fifty was not read."""
    url = read_from(flights)
    fetched = wasted = 0
    for number, (what, (sql, _)) in enumerate(QUERIES.items()):
        if not what.startswith("all"):
            with closing(tsn.connect(tmp_path / str(number), url, partial_sync=FEW)) as db:
                report = db.run(sql).report
                fetched, wasted = fetched + report.pages_fetched, wasted + report.pages_wasted
    assert fetched > 300
    assert wasted <= fetched / 50


def test_rows_named_by_another_table_in_any_of_its_columns(embedded: Callable, flights, tmp_path) -> None:
    """Columns of other integers lead nowhere, and rows that are not sought in turn are found one by one."""
    with closing(
        tsn.connect(tmp_path / "r", embedded(flights).url, partial_sync=FEW, isolation_level=None)
    ) as db:
        db.execute("CREATE TABLE odd(a INTEGER, b TEXT, flight INTEGER, c INTEGER)")
        chance = random.Random(9)
        named = [(n % 3, None if n % 2 else "b", chance.randrange(1, ROWS), -n) for n in range(60)]
        db.executemany("INSERT INTO odd VALUES(?, ?, ?, ?)", named)
        before = db.stats().network_requests
        found = db.execute("SELECT id FROM odd CROSS JOIN flight ON flight.id = odd.flight").fetchall()
        assert [row for (row,) in found] == [flight for _, _, flight, _ in named]
        assert db.stats().network_requests - before <= 65


def updated(db: tsn.Connection) -> None:
    """Change 100 scattered rows in one statement."""
    db.execute(f"UPDATE flight SET text = 'late' WHERE id IN ({', '.join(map(str, PICKED))})")


def repeated(db: tsn.Connection) -> None:
    """Change them one by one."""
    db.executemany("UPDATE flight SET text = 'late' WHERE id = ?", [(key,) for key in PICKED])


def deleted(db: tsn.Connection) -> None:
    """Delete them, and their entries in an index."""
    db.execute(f"DELETE FROM flight WHERE id IN ({', '.join(map(str, PICKED))})")


def upserted(db: tsn.Connection) -> None:
    """Write a frame over them."""
    frame = pd.DataFrame({"id": PICKED, "tail": "T00001", "text": "late"})
    db.write_frame(frame, "flight", mode="upsert")


@pytest.mark.parametrize(
    ("change", "requests_max"), [(updated, 2), (repeated, 2), (deleted, 4), (upserted, 4)]
)  # fmt: skip
def test_requests_of_changes(change, requests_max, remote_server: Callable, flights, tmp_path) -> None:
    """Rows that are changed come as those that are read do; what is pushed is what was changed."""
    url = remote_server(flights).url
    with closing(tsn.connect(tmp_path / "r", url, partial_sync=FEW)) as db:
        db.execute("SELECT 1 FROM flight LIMIT 0").fetchall()
        before = db.stats().network_requests
        change(db)
        db.commit()
        assert db.stats().network_requests - before <= requests_max
        db.push()
        with closing(tsn.connect(tmp_path / "other", url)) as other:
            sql = "SELECT * FROM flight ORDER BY id"
            assert other.execute(sql).fetchall() == db.execute(sql).fetchall()
            changed = other.execute("SELECT count(*) FROM flight WHERE text = 'late'").fetchone()
            assert changed == (0 if change is deleted else len(PICKED),)

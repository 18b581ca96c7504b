"""What only one connection has (functions, collations, TEMP and attached tables) makes no query cost more."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

ROWS = 40_000
FEW = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024), segment_size=4096
)
PICKED = sorted(random.Random(3).sample(range(1, ROWS), 100))
IDS = ", ".join(map(str, PICKED))
TAILS = ", ".join(f"'T{number:05}'" for number in range(0, 2000, 100))


READS = ("SELECT", "WITH", "INSERT INTO found")
"""First words of statements that leave the replica's own tables as they are."""


class Longest:
    """An aggregate, and a window function, that keeps the greatest."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def step(self, value: Any) -> None:
        """Take a value."""
        self.values.append(value)

    def inverse(self, value: Any) -> None:
        """Take one back."""
        self.values.remove(value)

    def value(self) -> Any:
        """Return the greatest."""
        return max(self.values, default=None)

    finalize = value


def furnish(db: Any) -> None:
    """Give a connection, ours or sqlite3's, everything that the statements use."""
    db.create_function("half", 1, lambda value: value // 2)
    db.create_function("both", -1, lambda *values: "".join(map(str, values)), deterministic=True)
    db.create_function("lower", 1, str.lower)
    db.create_aggregate("longest", 1, Longest)
    db.create_window_function("greatest", 1, Longest)
    db.create_collation("backwards", lambda one, other: (one < other) - (one > other))
    db.executescript("""
        CREATE TEMP TABLE picked(k INTEGER, twice AS (k * 2), why TEXT COLLATE backwards);
        CREATE INDEX temp.picked_why ON picked(why);
        CREATE TEMP TABLE "odd name"(k PRIMARY KEY, v) WITHOUT ROWID;
        CREATE TEMP TABLE indexed(k);
        CREATE INDEX temp.indexed_k ON indexed(k);
        CREATE TEMP VIEW view_of_picked AS SELECT k AS key FROM picked WHERE half(k) > 0;
        CREATE TEMP VIEW view_of_view AS SELECT key FROM view_of_picked;
        CREATE TEMP VIEW late AS SELECT * FROM flight WHERE note <> 'early';
        CREATE TEMP TABLE found(id, tail);
        CREATE TEMP TABLE plane(tail TEXT);
        ATTACH ':memory:' AS "other one";
        CREATE TABLE "other one".chosen(k INTEGER PRIMARY KEY, why);
    """)
    db.executemany("INSERT INTO temp.picked(k, why) VALUES(?, 'why')", [(key,) for key in PICKED])
    db.executemany('INSERT INTO "odd name" VALUES(?, 1)', [(key,) for key in PICKED])
    db.executemany('INSERT INTO "other one".chosen VALUES(?, 1)', [(key,) for key in PICKED])
    db.execute("INSERT INTO temp.plane VALUES('T00700')")
    db.execute("INSERT INTO temp.indexed SELECT k FROM temp.picked")
    db.commit()


STATEMENTS = {
    "a function": (f"SELECT sum(half(id)) FROM flight WHERE id IN ({IDS})", 2),
    "a function that lets rows pass": (f"SELECT note FROM flight WHERE id IN ({IDS}) AND half(id) > 9", 2),
    "several functions": (f"SELECT both(half(id), lower(tail), 7) FROM flight WHERE id IN ({IDS})", 2),
    "an aggregate": (f"SELECT longest(tail) FROM flight WHERE id IN ({IDS}) GROUP BY note", 2),
    "a window function": (
        f"SELECT greatest(id) OVER (ORDER BY id ROWS 3 PRECEDING) FROM flight WHERE id IN ({IDS})",
        2,
    ),
    "a function over a join": (
        f"SELECT half(id), model FROM flight CROSS JOIN main.plane AS p USING (tail) WHERE id IN ({IDS})",
        4,
    ),
    "a function and an index": ("SELECT half(id) FROM flight WHERE tail = 'T00700'", 2),
    "a collation that orders": (
        f"SELECT id FROM flight WHERE id IN ({IDS}) ORDER BY tail COLLATE backwards",
        2,
    ),
    "a collation that compares": (
        f"SELECT id FROM flight WHERE id IN ({IDS}) AND tail COLLATE backwards < 'T01000'",
        2,
    ),
    "IN a TEMP table": ("SELECT note FROM flight WHERE id IN (SELECT k FROM picked)", 2),
    "IN a TEMP table without rowids": ('SELECT note FROM flight WHERE id IN (SELECT k FROM "odd name")', 2),
    "a joined TEMP table": ("SELECT note, why FROM picked JOIN flight ON id = k", 2),
    "a computed column of a TEMP table": ("SELECT note FROM picked JOIN flight ON id = twice", 2),
    "a TEMP view of a TEMP table": ("SELECT note FROM view_of_picked CROSS JOIN flight ON id = key", 2),
    "a TEMP view of the replica": (f"SELECT count(*) FROM late WHERE id IN ({IDS})", 2),
    "a TEMP table in place of one of the replica": (
        "SELECT note FROM plane JOIN flight ON flight.tail = plane.tail",
        4,
    ),
    "a TEMP table in a common table": (
        "WITH wanted(w) AS (SELECT k FROM picked WHERE k > 9) SELECT note FROM wanted JOIN flight ON id = w",
        2,
    ),
    "keys of a TEMP table or others": (
        f"SELECT note FROM flight WHERE id IN (SELECT k + 1 FROM picked) OR id IN ({IDS})",
        2,
    ),
    "an attached table": ("SELECT note FROM chosen CROSS JOIN flight ON id = k", 2),
    "an attached table, in a condition": (
        'SELECT note FROM flight WHERE id IN (SELECT k FROM "other one".chosen WHERE why = 1)',
        2,
    ),
    "a change by a TEMP table": ("UPDATE flight SET note = 'seen' WHERE id IN (SELECT k FROM picked)", 2),
    "a change by a joined TEMP table": ("UPDATE flight SET note = why FROM picked WHERE id = k", 2),
    "a change by a joined TEMP table with an index": (
        "UPDATE flight SET note = 'seen' FROM indexed WHERE id = k",
        2,
    ),
    "a removal by a TEMP table": ("DELETE FROM flight WHERE id IN (SELECT k FROM picked)", 3),
    "a TEMP table that is filled": (f"INSERT INTO found SELECT id, tail FROM flight WHERE id IN ({IDS})", 2),
}  # fmt: skip


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of 12 MB, analyzed: flights and planes."""
    path, chance = tmp_path_factory.mktemp("flights") / "flights.db", random.Random(7)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE plane(tail TEXT PRIMARY KEY, model TEXT);"
            "CREATE TABLE flight(id INTEGER PRIMARY KEY, tail TEXT, note TEXT)"
        )
        with db:
            flights = ((n, f"T{chance.randrange(2000):05}", "on time " * 30) for n in range(1, ROWS))
            db.executemany("INSERT INTO flight VALUES(?, ?, ?)", flights)
            planes = ((f"T{n:05}", "model " * 12) for n in range(2000))
            db.executemany("INSERT INTO plane VALUES(?, ?)", planes)
            db.execute("CREATE INDEX flight_tail ON flight(tail); ANALYZE")
    return path


@pytest.mark.parametrize("what", STATEMENTS)
def test_requests(what, read_from: Callable, flights, tmp_path) -> None:
    """Each on a replica of its own; rows, what it returns and what it leaves, are those of plain SQLite."""
    sql, requests = STATEMENTS[what]
    plain_path = shutil.copy(flights, tmp_path / "plain.db")
    with (
        closing(tsn.connect(tmp_path / "r", read_from(flights), partial_sync=FEW)) as db,
        closing(sqlite3.connect(plain_path)) as plain,
    ):
        furnish(db)
        furnish(plain)
        db.execute("SELECT 1 FROM flight LIMIT 0").fetchall()
        before = db.stats().network_requests
        rows = db.execute(sql).fetchall()
        asked = db.stats().network_requests - before
        assert sorted(rows) == sorted(plain.execute(sql).fetchall())
        for table in ("found", "picked", "chosen", *(() if sql.startswith(READS) else ("main.flight",))):
            whole = f"SELECT * FROM {table}"
            assert sorted(db.execute(whole)) == sorted(plain.execute(whole))
        assert asked == requests


@pytest.fixture
def db(embedded: Callable, flights: Path, tmp_path: Path) -> Iterator[tsn.Connection]:
    """Give a new lazy replica of the flights."""
    with closing(tsn.connect(tmp_path / "r", embedded(flights).url, partial_sync=FEW)) as db:
        yield db


def test_nothing_of_the_users_is_called_by_a_guess(db, flights) -> None:
    """A function, an aggregate and a collation get just the values that they get from plain SQLite."""
    sql = (
        "SELECT noted(id), longest(tail) FROM picked CROSS JOIN flight ON id = k"
        " WHERE noted(k) > 0 GROUP BY note, id ORDER BY tail COLLATE noting LIMIT 50"
    )
    called: list[list[object]] = []
    with closing(sqlite3.connect(flights)) as plain:
        for one in (db, plain):
            furnish(one)
            calls: list[object] = []

            def noted(value: int, calls: list[object] = calls) -> int:
                calls.append(value)
                return value

            def noting(one: str, other: str, calls: list[object] = calls) -> int:
                calls.append((one, other))
                return (one > other) - (one < other)

            one.create_function("noted", 1, noted)
            one.create_collation("noting", noting)
            one.execute(sql).fetchall()
            called.append(calls)
    assert len(called[0]) > 100
    assert called[0] == called[1]


def test_rows_are_copied_only_when_they_can_be_of_use(db) -> None:
    """Not of a large table, nor while all is here; again when rows changed and a page was absent."""
    db.execute("CREATE TEMP TABLE k(k INTEGER)")
    copies: list[str] = []
    db.set_trace_callback(lambda sql: copies.append(sql) if sql.endswith("LIMIT 10001") else None)

    def asked_for(keys: Iterable[int]) -> int:
        db.execute("DELETE FROM temp.k")
        db.executemany("INSERT INTO temp.k VALUES(?)", [(key,) for key in keys])
        db.commit()
        before = db.stats().network_requests
        sql = "SELECT id FROM temp.k CROSS JOIN flight ON id = k"
        assert [row for (row,) in db.execute(sql)] == list(keys)
        return db.stats().network_requests - before

    assert asked_for(PICKED) == 2
    assert asked_for(PICKED) == 0
    assert asked_for(PICKED[:50]) == 0
    assert len(copies) == 2  # the first one's requests were waited for
    assert asked_for([key + 190 for key in PICKED[:9]]) > 1
    assert len(copies) == 2
    assert asked_for([key + 90 for key in PICKED[:9]]) == 1
    assert len(copies) == 3
    asked_for(range(1, 10_500))
    assert len(copies) == 4


def test_an_attached_database_that_is_damaged(db, tmp_path) -> None:
    """The statement that reads it says so, as ever; others go on, with their copies."""
    furnish(db)
    path = tmp_path / "keys.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE wanted(k)")
    path.write_bytes(path.read_bytes()[:4096] + bytes([7]) * 4096)
    db.execute("ATTACH ? AS keys", (str(path),))
    with pytest.raises(tsn.DatabaseError, match="malformed"):
        db.execute("SELECT id FROM wanted CROSS JOIN flight ON id = k")
    before = db.stats().network_requests
    assert db.execute("SELECT count(*) FROM picked JOIN flight ON id = k").fetchone() == (100,)
    assert db.stats().network_requests - before <= 3


def test_what_was_removed_is_known_no_more(db) -> None:
    """A function, a collation and a TEMP table that are gone are gone for guesses too."""
    furnish(db)
    sql = f"SELECT half(id) FROM flight WHERE id IN ({IDS})"
    db.execute(sql).fetchall()
    db.create_function("half", 1, None)
    with pytest.raises(tsn.OperationalError, match="no such function"):
        db.execute(sql)
    db.execute("DROP VIEW view_of_view")
    db.execute("CREATE TEMP TABLE view_of_view(key)")
    assert db.execute("SELECT note FROM view_of_view JOIN flight ON id = key").fetchall() == []


@pytest.mark.parametrize(
    ("sql", "is_close"),
    [
        ("SELECT note FROM flight WHERE id IN (SELECT k FROM picked)", True),
        ("SELECT note FROM chosen JOIN flight ON id = k", True),
        (f"SELECT half(id) FROM flight WHERE note > '' AND id IN ({IDS}) GROUP BY lower(note)", True),
        ("SELECT note FROM flight WHERE id IN (SELECT half(k) FROM picked)", False),
        ("SELECT note FROM view_of_view JOIN flight ON id = key", False),
        ("SELECT note FROM flight WHERE id IN (SELECT k FROM picked WHERE why < 'x')", False),
    ],
)
def test_dry_run(db, sql, is_close) -> None:
    """Copied keys are counted to the page; where a function of the user's decides, whole tables count."""
    furnish(db)
    dry = db.dry_run(sql)
    fetched = db.run(sql).report.pages_fetched
    assert fetched <= dry.pages
    assert (dry.pages == fetched) is is_close
    assert is_close or dry.pages > 2000

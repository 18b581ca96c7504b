"""Tables with more columns than an expression may be deep are changed and synced like any other."""

from __future__ import annotations

import pandas as pd
import pytest
from random_peer import Server, contents, differences

from turso_sync_nb.changes.row_conditions import conjunction

COLUMNS = 1100
NAMES = [f"c{number}" for number in range(COLUMNS)]

KEYS = {
    "an integer key": ("id INTEGER PRIMARY KEY, ", ""),
    "a key of two columns": ("id, ", ", PRIMARY KEY (id, c0)"),
    "no key": ("id, ", ""),
}


def rows_of(db, table="wide"):
    """Return the rows of a table, in order."""
    return sorted(map(repr, db.execute(f"SELECT * FROM {table}").fetchall()))


@pytest.mark.parametrize("key", KEYS)
def test_a_wide_table_is_edited(two, key):
    """Rows inserted, changed in one column and in all, and deleted, alone and together, arrive."""
    mine, yours = two
    before, after = KEYS[key]
    mine.execute(f"CREATE TABLE wide ({before}{', '.join(NAMES)}{after})")
    many = ", ".join("?" * (COLUMNS + 1))
    mine.executemany(
        f"INSERT INTO wide VALUES ({many})", [(row, *range(row, COLUMNS + row)) for row in range(1, 9)]
    )
    mine.push()
    yours.pull()
    yours.execute("UPDATE wide SET c5 = -1 WHERE id IN (1, 2)")
    every = ", ".join(f"{name} = {name} + 0.5" for name in NAMES)
    yours.execute(f"UPDATE wide SET {every} WHERE id IN (3, 4)")
    yours.execute("DELETE FROM wide WHERE id = 5")
    yours.execute("DELETE FROM wide WHERE id IN (6, 7)")
    assert yours.push().transactions == 4
    mine.pull()
    assert rows_of(mine) == rows_of(yours)
    assert len(rows_of(mine)) == 5
    assert not len(yours.changes())


def test_a_wide_row_changed_on_both_sides_is_a_conflict(two):
    """Of a wide row the same column changed twice is a conflict; other columns merge."""
    mine, yours = two
    mine.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(NAMES)})")
    mine.execute("INSERT INTO wide (id, c1) VALUES (1, 0)")
    mine.push()
    yours.pull()
    mine.execute("UPDATE wide SET c1 = 'mine', c7 = 'mine'")
    yours.execute("UPDATE wide SET c1 = 'yours', c1099 = 'yours'")
    mine.push()
    yours.sync()
    mine.pull()
    assert mine.execute("SELECT c1, c7, c1099 FROM wide").fetchall() == [("yours", "mine", "yours")]
    assert rows_of(mine) == rows_of(yours)
    assert list(yours.conflicts()["table"]) == ["wide"]


def test_a_wide_frame_is_written(two):
    """A frame of 1,100 columns is written in every mode, and what it made arrives."""
    mine, yours = two
    for mode, ids, after in [
        ("append", [1, 2], [1, 2]),
        ("upsert", [2, 3], [1, 2, 3]),
        ("replace", [2, 5], [2, 5]),
    ]:
        frame = pd.DataFrame({"id": ids, **{name: [len(mode), 8] for name in NAMES}})
        if mode == "append":
            mine.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(NAMES)})")
        mine.write_frame(frame, "wide", mode)
        mine.push()
        yours.pull()
        assert rows_of(mine) == rows_of(yours)
        assert [row[0] for row in yours.execute("SELECT id, c5 FROM wide ORDER BY id")] == after


@pytest.mark.parametrize("value", [1e300, -5e-324])
def test_wide_rows_of_reals_that_are_sent_as_integers(two, server, value):
    """Rows without a key, found by all their values, of which each is a product or quotient on the way."""
    mine, yours = two
    mine.execute(f"CREATE TABLE wide (id, {', '.join(NAMES)})")
    mine.execute("CREATE UNIQUE INDEX one ON wide (id)")
    many = ", ".join("?" * (COLUMNS + 1))
    for row in range(1, 6):  # one by one: SQLite takes 4 s to compile five such rows in one INSERT
        mine.execute(f"INSERT INTO wide VALUES ({many})", (row, *[value] * COLUMNS))
    mine.push()
    yours.pull()
    yours.execute("UPDATE wide SET c5 = c5 / 3 WHERE id = 1")
    yours.execute("DELETE FROM wide WHERE id = 2")
    yours.execute("DELETE FROM wide WHERE id IN (3, 4)")
    yours.execute(f"INSERT OR REPLACE INTO wide VALUES ({many})", (5, *[value / 7] * COLUMNS))
    assert yours.push().transactions == 4
    assert not len(yours.changes())
    mine.pull()
    remote = Server(server.url)
    states = [contents(lambda sql, db=db: db.execute(sql).fetchall()) for db in two]
    assert [differences(contents(remote.run), state) for state in states] == [{}, {}]
    remote.close()
    assert rows_of(mine) == sorted(
        [repr((1, *[value] * 5, value / 3, *[value] * (COLUMNS - 6))), repr((5, *[value / 7] * COLUMNS))]
    )


@pytest.mark.parametrize("count", [1, 16, 17, 100, 2000])
def test_a_conjunction_is_shallow_and_keeps_its_terms(count):
    """The terms stand in their order, and no more than 30 of them are in one chain of ANDs."""
    terms = [f"c{number} IS ?" for number in range(count)]
    text = conjunction(terms)
    assert text.replace("(", "").replace(")", "") == " AND ".join(terms)
    depth = deepest = 0
    for sign in text:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        deepest = max(deepest, depth)
    longest = max(part.count(" AND ") + 1 for part in text.replace("(", ")").split(")"))
    assert deepest + longest <= 30

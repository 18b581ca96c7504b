"""A table looked at in windows, and edits staged on it: a plain query's rows, for the pages shown."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn
from turso_sync_nb.connection.grid import VIEW_ROWS_MAX, grid_of
from turso_sync_nb.connection.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 60_000
SCHEMA = f"""
CREATE TABLE large (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'bad'), n UNIQUE, twice AS (id * 2));
CREATE TABLE pairs (a TEXT, b INTEGER, v, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE worded (k TEXT PRIMARY KEY, v);
CREATE TABLE bare (x);
CREATE TABLE child (id INTEGER PRIMARY KEY, of REFERENCES large (id));
CREATE VIEW seen AS SELECT id, name FROM large WHERE id > 10;
WITH RECURSIVE i (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {ROWS})
INSERT INTO large (id, name, n) SELECT i * 3, printf('name %0100d', i), i FROM i;
INSERT INTO pairs SELECT name, n % 7, n FROM large WHERE n < 50;
INSERT INTO worded SELECT name, n FROM large WHERE n < 50; INSERT INTO bare VALUES (1), (1), (NULL);
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a long table, made once."""
    path = tmp_path_factory.mktemp("large") / "large.db"
    with closing(apsw.Connection(str(path))) as raw:
        raw.execute(SCHEMA)
    return path


@pytest.fixture
def db(embedded: Callable[..., Any], large: Path, connect: Callable[..., Any]) -> tsn.Connection:
    """A lazy replica of it, in autocommit mode."""
    some = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )
    return connect(embedded(large).url, partial_sync=some, isolation_level=None)


@pytest.mark.parametrize(
    ("table", "order"),
    [("large", "id"), ("pairs", "b, a"), ("worded", "rowid"), ("bare", "rowid"), ("seen", "id")],
)
def test_windows_are_the_rows_of_a_query(db, table, order):
    """Forwards to the end and backwards to the beginning, each row once, in order."""
    grid = grid_of(db, table)
    columns = ", ".join(f'"{name}"' for name in grid.names)
    rows = db.execute(f"SELECT {columns} FROM {table} ORDER BY {order} LIMIT 1000").fetchall()
    forwards = grid.first(db, 7)
    while len(forwards) < len(rows) and (more := grid.after(db, forwards[-1].position, 7)):
        forwards += more
    assert [row.values for row in forwards[: len(rows)]] == rows
    start = forwards[min(len(forwards), 1000) - 1]
    backwards = [start]
    while more := grid.before(db, backwards[0].position, 7):
        backwards = more + backwards
    assert [row.values for row in backwards] == rows[: len(backwards)]
    assert len(backwards) == min(len(rows), 1000)
    assert grid.after(db, start.position, 1, within=True)[0] == start


def test_a_jump_costs_a_few_pages(db):
    """To the middle of a long table of which nothing is here."""
    grid = grid_of(db, "large")
    before = db.stats().pages_resident
    rows = grid.at_part(db, 0.5, 60)
    assert len(rows) == 60
    assert rows[0].position == (ROWS * 3 // 2 + 3,)
    assert grid.part_of(grid.ends(db), rows[0].position) == pytest.approx(0.5, abs=0.01)
    assert db.stats().pages_resident - before <= 14
    assert grid.at_part(db, 1.0, 60)[-1].position == (ROWS * 3,)
    assert grid.at_part(db, 0.0, 60)[0].position == (3,)
    assert [row.position for row in grid_of(db, "pairs").at_part(db, 0.9, 3)] == [
        row.position for row in grid_of(db, "pairs").last(db, 3)
    ]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("seen", "a view has no rows of its own"),
        ("bare", "it has no primary key"),
        ("large", ""),
        ("pairs", ""),
    ],
)
def test_what_cannot_be_edited_says_why(db, table, reason):
    """It can be looked at; steps are refused with the reason."""
    grid = grid_of(db, table)
    assert grid.reason.startswith(reason)
    assert bool(grid.reason) == bool(reason)
    assert [column.name for column in grid.columns if column.reason] == (
        ["twice"] if table == "large" else []
    )
    if reason:
        for step in (lambda: Staging(grid).add(), lambda: Staging(grid).delete("1", {})):
            with pytest.raises(tsn.UsageError, match=reason):
                step()


def test_a_view_has_an_end(db):
    """Only so many of its rows can be scrolled to."""
    grid = grid_of(db, "seen")
    last = grid.last(db, 5)
    assert last[-1].position == (VIEW_ROWS_MAX - 1,)
    assert grid.after(db, last[-1].position, 5) == []


def test_no_such_table(db):
    """It says so."""
    with pytest.raises(tsn.UsageError, match="there is no such table"):
        grid_of(db, "lagre")


# Staging


def row_of(db: tsn.Connection, key: int) -> dict[str, Any]:
    """Return a row as it is seen."""
    names = ("id", "name", "n", "twice")
    return dict(zip(names, db.execute("SELECT * FROM large WHERE id = ?", (key,)).fetchone(), strict=True))


def test_everything_is_written_as_one_transaction(db):
    """Rows set, added and deleted; values that are what they were are no edit."""
    staging = Staging(grid_of(db, "large"))
    staging.put("3", row_of(db, 3), {"name": "three", "n": 1})
    assert staging.rows["3"].new == {"name": "three"}
    staging.delete("6", row_of(db, 6))
    new = staging.add()
    staging.put(new, None, {"name": "new", "n": "n"})
    report = staging.apply(db)
    assert (report.updated, report.deleted, report.inserted) == (1, 1, 1)
    assert row_of(db, 3)["name"] == "three"
    assert row_of(db, ROWS * 3 + 1)["n"] == "n"
    assert len(set(db.changes()["transaction"])) == 1
    assert not staging.rows
    assert not staging.can_undo


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "bad"}, "CHECK constraint"),
        ({"name": None}, "NOT NULL constraint"),
        ({"n": 2}, "UNIQUE constraint"),
    ],
)
def test_what_sqlite_refuses_is_marked(db, values, said):
    """The row has the error, nothing is written, and the edit stays to be corrected."""
    staging = Staging(grid_of(db, "large"))
    staging.put("6", row_of(db, 6), {"name": "fine"})
    staging.put("3", row_of(db, 3), values)
    with pytest.raises(tsn.IntegrityError):
        staging.apply(db)
    assert said in staging.rows["3"].error
    assert not staging.rows["6"].error
    assert db.changes().empty
    staging.put("3", row_of(db, 3), {"name": "good", "n": 1})
    assert not staging.rows["3"].error
    assert staging.apply(db).updated == 2


def test_rows_changed_underneath_are_flagged(db):
    """They are not overwritten, and one can go on from what is there."""
    staging = Staging(grid_of(db, "large"))
    staging.put("3", row_of(db, 3), {"name": "mine"})
    staging.put("6", row_of(db, 6), {"name": "mine too"})
    staging.delete("9", row_of(db, 9))
    db.execute("UPDATE large SET name = 'theirs' WHERE id = 3")
    db.execute("UPDATE large SET n = -1 WHERE id = 6")
    db.execute("DELETE FROM large WHERE id = 9")
    staging.look(db)
    assert staging.rows["3"].underneath == {"name": "theirs"}
    assert staging.rows["6"].underneath is None
    assert staging.rows["9"].underneath is None
    with pytest.raises(tsn.ConflictError):
        staging.apply(db)
    staging.take_theirs("3", row_of(db, 3))
    assert staging.apply(db).updated == 2
    assert row_of(db, 6) == {"id": 6, "name": "mine too", "n": -1, "twice": 12}


def test_a_new_row_needs_its_key(db):
    """Where SQLite assigns none."""
    staging = Staging(grid_of(db, "worded"))
    new = staging.add()
    with pytest.raises(tsn.UsageError, match="no value in its key k"):
        staging.apply(db)
    assert staging.rows[new].error
    staging.put(new, None, {"k": "key"})
    assert staging.apply(db).inserted == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["3", "6"]), st.sampled_from(["x", "y", None])),
        st.tuples(st.sampled_from(["delete"]), st.sampled_from(["3", "6"]), st.none()),
        st.tuples(st.sampled_from(["add", "discard"]), st.none(), st.none()),
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_undo_takes_every_step_back(db, steps):
    """One by one, to nothing; each state on the way is the state there was."""
    staging = Staging(grid_of(db, "large"))
    seen = {"3": row_of(db, 3), "6": row_of(db, 6)}
    states = []
    for step, row_id, value in steps:
        before, could = dict(staging.rows), len(staging._before)
        if step == "put":
            staging.put(row_id, seen[row_id], {"n": value})
        elif step == "delete":
            staging.delete(row_id, seen[row_id])
        else:
            getattr(staging, step)()
        if len(staging._before) > could:
            states.append(before)
    while staging.can_undo:
        staging.undo()
        assert staging.rows == states.pop()
    assert not states
    assert not staging.rows

"""Parts of a connection that know no replica: what moves to the next one, time limits, rows by keys."""

from __future__ import annotations

import time
from types import SimpleNamespace

import apsw
import pytest

from turso_sync_nb.changes.model import SchemaChange
from turso_sync_nb.connection.deadline import Deadline
from turso_sync_nb.connection.rows_now import KEYS_TOGETHER, rows_now
from turso_sync_nb.connection.schema_choice import taken_by_ours
from turso_sync_nb.connection.session_state import SessionState

SETTINGS = {
    "temp_store": 2,
    "foreign_keys": 1,
    "case_sensitive_like": 1,
    "cache_size": -4_321,
    "recursive_triggers": 1,
    "busy_timeout": 1_234,
    "query_only": 1,
    "reverse_unordered_selects": 1,
}


@pytest.mark.parametrize("first_is_closed", [False, True])
def test_what_moves_to_the_next_connection(tmp_path, first_is_closed):
    """Pragmas, TEMP objects, attached databases, the last rowid; a file that is gone is told."""
    old, new = (apsw.Connection(str(tmp_path / "x.db")) for _ in range(2))
    for name, value in SETTINGS.items():
        if name != "query_only":
            old.pragma(name, value)
    old.execute(
        "CREATE TEMP TABLE mine (a); INSERT INTO mine VALUES (1); CREATE TEMP VIEW seen AS SELECT 7 AS b"
    )
    old.execute('ATTACH \':memory:\' AS "in ""memory"; CREATE TABLE "in ""memory".t (a)')
    old.execute('INSERT INTO "in ""memory".t VALUES (5)')
    for name in ("here", "gone"):
        old.execute(f"ATTACH ? AS {name}; CREATE TABLE {name}.t (a); INSERT INTO {name}.t VALUES (6)",
                    (str(tmp_path / f"{name}.db"),))  # fmt: skip
    old.set_last_insert_rowid(77)
    old.pragma("query_only", 1)
    state = SessionState(old, in_memory_copy=first_is_closed)
    if first_is_closed:
        old.close()
    (tmp_path / "gone.db").unlink()
    lost = state.put_onto(new)
    assert [reason.partition(":")[0] for reason in lost] == ["gone"]
    assert not (tmp_path / "gone.db").exists()
    assert {name: new.pragma(name) for name in SETTINGS if name != "case_sensitive_like"} == {
        name: value for name, value in SETTINGS.items() if name != "case_sensitive_like"
    }
    assert new.execute("SELECT 'a' LIKE 'A'").get == 0
    assert new.last_insert_rowid() == 77
    read = 'SELECT a FROM mine UNION ALL SELECT b FROM seen UNION ALL SELECT a FROM "in ""memory".t'
    assert [value for (value,) in new.execute(f"{read} UNION ALL SELECT a FROM here.t")] == [1, 7, 5, 6]


LIMITS = {
    "none": (None, None, False),
    "a statement's, not over": (60.0, None, False),
    "a statement's, over": (0.0, None, True),
    "a block's, not over": (None, 60.0, False),
    "a block's, over": (None, 0.0, True),
    "the earlier of both": (0.0, 60.0, True),
    "the earlier of both, the other way": (60.0, 0.0, True),
}
"""Seconds that a statement and a block may run, and whether it is late a moment later."""


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_time(name):
    """Each limit for itself; a block's ends with it."""
    statement_s, block_s, late = LIMITS[name]
    deadline = Deadline()
    deadline.statement_s = statement_s
    deadline.begin()
    assert deadline.is_set is (statement_s is not None)
    with deadline.limited(block_s):
        time.sleep(0.001)
        assert deadline.is_late() is late
    assert deadline.is_late() is (statement_s == 0.0)


@pytest.mark.parametrize(("seconds", "message"), [(0.0, "it ran longer than 0 s"), (60.0, "asked to")])
def test_an_interrupt_in_a_block(seconds, message):
    """Says that it was the limit, if it was."""
    deadline = Deadline()

    def run():
        with deadline.limited(seconds):
            time.sleep(0.001)
            raise apsw.InterruptError("asked to")

    with pytest.raises(apsw.InterruptError, match=message):
        run()


def test_a_limit_that_was_taken_away_holds_for_the_last_statement():
    """So that its rows are not fetched without one."""
    deadline = Deadline()
    deadline.statement_s = 60.0
    deadline.begin()
    deadline.statement_s = None
    assert deadline.is_set
    deadline.begin()
    assert not deadline.is_set


class Db:
    """What is asked of a connection for rows: cursors."""

    def __init__(self):
        self.raw = apsw.Connection(":memory:")
        self.raw.execute('CREATE TABLE "t""t" (a, "b b" COLLATE NOCASE, v, PRIMARY KEY (a, "b b"))')
        self.raw.execute('CREATE TEMP TABLE "t""t" (a, "b b", v)')
        rows = [(at, f"k{at}", at * at) for at in range(3 * KEYS_TOGETHER)]
        self.raw.executemany('INSERT INTO main."t""t" VALUES (?, ?, ?)', rows)
        self.statements = 0

    def cursor(self):
        """Return one that counts its statements."""
        cursor = self.raw.cursor()

        def execute(sql, values):
            self.statements += 1
            cursor.execute(sql, values)

        return SimpleNamespace(
            execute=execute, fetchall=cursor.fetchall, close=cursor.close, row_factory=None
        )


@pytest.mark.parametrize("count", [0, 1, KEYS_TOGETHER, KEYS_TOGETHER + 1, 3 * KEYS_TOGETHER])
def test_rows_by_many_keys(count):
    """Of the table in main, some keys in each statement."""
    db = Db()
    wanted = [(at, f"k{at}") for at in range(count)]
    found = rows_now(db, 't"t', ["v", "a"], ["a", "b b"], wanted)
    assert found == {key: (key[0] ** 2, key[0]) for key in wanted}
    assert db.statements == -(-count // KEYS_TOGETHER)


def test_rows_by_keys_as_the_table_compares_them():
    """Under the key that was asked for; none for a key without a row, or with NULL in it."""
    found = rows_now(Db(), 't"t', ["b b"], ["a", "b b"], [(2, "K2"), (2.0, "k2"), (2, "x"), (None, "k2")])
    assert found == {(2, "K2"): ("k2",), (2.0, "k2"): ("k2",)}


TAKEN = {
    "CREATE VIEW v AS SELECT 1": "view",
    " create unique\n index i ON t (a)": "index",
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END": "trigger",
    "CREATE TABLE t (a)": "",
    "CREATE VIEWS": "",
    None: "",
}


@pytest.mark.parametrize("remote", TAKEN)
def test_what_ours_can_take_the_place_of(remote):
    """Of what holds no rows, where ours is one CREATE."""
    conflict = SimpleNamespace(remote=remote)
    create = SchemaChange(1, "CREATE VIEW v AS SELECT 2", "create", "v")

    def transaction(*changes):
        return SimpleNamespace(changes=changes)

    assert taken_by_ours(conflict, transaction(create)) == TAKEN[remote]
    assert taken_by_ours(conflict, transaction(create, create)) == ""
    assert taken_by_ours(conflict, transaction(create.changed(kind="drop"))) == ""
    assert taken_by_ours(conflict, None) == ""

"""The script of what was changed: run on the state before, it gives the state after."""

from __future__ import annotations

import apsw
import pytest
from captured import Captured, contents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_capture_rows import EFFECTS, SETUP, WITH_EFFECTS, run

from turso_sync_nb.changes.script import script

VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.sampled_from(["?", "'", '"?"', "a\0b", -0.0, "--", ";"])
)  # fmt: skip


def run_script(setup: str, text: str, *, foreign_keys: bool = False) -> dict[str, object]:
    """Return what is in a database made by ``setup`` after ``text``."""
    raw = apsw.Connection(":memory:")
    raw.execute(setup)
    raw.pragma("foreign_keys", int(foreign_keys))
    raw.execute(text)
    return contents(raw)


@pytest.mark.parametrize("foreign_keys_there", [False, True])
@pytest.mark.parametrize("case", WITH_EFFECTS)
def test_the_script_does_what_was_done(case, foreign_keys_there, tmp_path):
    """Whatever the statements were, by whatever triggers and actions."""
    setup = SETUP + EFFECTS
    database = Captured(tmp_path / "x.db", setup)
    database.raw.pragma("foreign_keys", 1)
    run(database, WITH_EFFECTS[case])
    text = "\n".join(script(database.tape()))
    assert run_script(setup, text, foreign_keys=foreign_keys_there) == contents(database.raw)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4), later=VALUES)
def test_values_are_written_out_exactly(rows, later):
    """Quotes, question marks, NUL, the last digit of a float, and the sign of zero."""
    setup = 'CREATE TABLE t (id INTEGER PRIMARY KEY, "a?" , "b""?")'
    database = Captured(":memory:", setup)
    for row in rows:
        database.run("INSERT INTO t VALUES (NULL, ?, ?)", row)
    database.run('UPDATE t SET "a?" = ?, "b""?" = "a?" WHERE id = 1', (later,))
    database.run("DELETE FROM t WHERE id = 2")
    there = run_script(setup, "\n".join(script(database.tape())))
    assert list(map(repr, there.items())) == list(map(repr, contents(database.raw).items()))


def test_what_is_not_in_force_is_left_out(tmp_path):
    """It is named, with its state; what is on the remote is said to be."""
    database = Captured(tmp_path / "x.db", SETUP, ignored=["bare"])
    run(database, ["INSERT INTO t VALUES (7, 'z', 1)", "DELETE FROM t WHERE id = 7", "CREATE TABLE n (a);"])
    run(database, ["INSERT INTO bare VALUES (1, 1)"])
    first, second, *others = database.tape()
    lines = list(script([first, second.changed(state="skipped"), *others], pushed=1))
    assert lines == [
        "-- transaction 1, 1970-01-01 00:00:01 UTC, pushed",
        "BEGIN;",
        """INSERT INTO "t" ("id", "k", "v") VALUES (7, 'z', 1);""",
        "COMMIT;",
        "-- transaction 2, 1970-01-01 00:00:01 UTC, skipped: left out",
        "-- transaction 3, 1970-01-01 00:00:01 UTC, pending",
        "BEGIN;",
        "CREATE TABLE IF NOT EXISTS n (a);",
        "COMMIT;",
    ]


@pytest.mark.parametrize(
    "end", ["", ";", " ;  ", " -- note", " -- note;", " /* note */", " /* open", " /* ; */;"]
)
@pytest.mark.parametrize(
    "sql", ["CREATE TABLE n (a)", "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM bare; END"]
)
def test_a_statement_ends_behind_its_comment(sql, end, tmp_path):
    """A schema change that ends in a comment does not swallow what follows it."""
    database = Captured(tmp_path / "x.db", SETUP)
    run(database, [sql + end, "INSERT INTO t VALUES (7, 'z', 1)"])
    there = run_script(SETUP, "\n".join(script(database.tape())))
    assert sorted(there) == sorted(contents(database.raw))
    assert there["t"] == contents(database.raw)["t"]

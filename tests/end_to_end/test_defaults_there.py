"""Defaults of new columns, in rows that are there: the same value on both sides, or refused when made."""

from __future__ import annotations

import pytest
from stalling import StallingRemote

import turso_sync_nb as tsn

LITERALS = (
    *("-9223372036854775808", "9223372036854775807", "-9223372036854775807", "9223372036854775808"),
    *("-9223372036854775809", "123456789012345678901234567890", "0x10", "0x7fffffffffffffff"),
    *("0xffffffffffffffff", "-0x7fffffffffffffff", "1e999", "-1e999", "1e15", "1e-320", "1.5", "-0.0", "0.0"),
    *("-1", "+5", "TRUE", "NULL", "''", "'a''b'", "'9223372036854775808'", "x'00ff'", "x''"),
    *("(-9223372036854775808)", "(9e18)", "CURRENT_USER"),
    *("(1)", "(CAST('5' AS INTEGER))", "(CAST(1e3 AS TEXT))", "CHECK (c <> '(') DEFAULT 7", '"text"', "word"),
)
TYPES = ("INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "DECIMAL(10,2)", '"of-two words"', "")
OF_STRICT = ("INT", "REAL", "TEXT", "BLOB", "ANY")
NEVER_REFUSED = {
    *(("INTEGER", sql) for sql in ("9223372036854775807", "0x10", "-1", "TRUE", "NULL")),
    *(("REAL", sql) for sql in ("1.5", "0.0", "1e15", "NULL")),
    *(("TEXT", sql) for sql in ("''", "'a''b'", "NULL")),
    *(("BLOB", sql) for sql in ("x'00ff'", "x''", "NULL")),
    *(("", sql) for sql in ("1.5", "''", "x'00ff'", "-1")),
    *((kind, sql) for kind in ("INTEGER", "REAL") for sql in ("(1)", "CHECK (c <> '(') DEFAULT 7")),
    *(("ANY", sql) for sql in ("1e15", "0.0", "1.5", "x'00ff'", "-1", "'a''b'", "NULL")),
}


@pytest.mark.parametrize(
    ("kind", "strict"), [(kind, False) for kind in TYPES] + [(kind, True) for kind in OF_STRICT]
)
def test_a_default_is_the_same_value_on_both_sides(kind, strict, server, replica):
    """Or the ALTER is refused with a way on, and leaves nothing behind."""
    mine, refused = replica("mine"), dict[str, tsn.UsageError]()
    literals = LITERALS[:-9] if kind.startswith('"') else LITERALS  # with the rest a push is refused
    tables = {f"d{at}": sql for at, sql in enumerate(literals)}
    for table in tables:
        mine.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, a {'ANY) STRICT' if strict else ')'}")
        mine.execute(f"INSERT INTO {table} (a) VALUES (1)")
    mine.push()
    mine.pull()
    for table, sql in tables.items():
        try:
            mine.execute(
                f"ALTER TABLE {table} ADD COLUMN c {kind} {'' if 'DEFAULT' in sql else 'DEFAULT '}{sql}"
            )
        except tsn.OperationalError:  # of SQLite itself: a type mismatch
            assert strict, sql
            mine.execute(f"ALTER TABLE {table} ADD COLUMN c {kind}")
        except tsn.UsageError as error:
            refused[sql] = error
            assert mine.execute(f"SELECT count(*) FROM pragma_table_info('{table}')").fetchone() == (2,)
            mine.execute(f"ALTER TABLE {table} ADD COLUMN c {kind}")  # the way on
            if not strict and (kind, sql) in (("INTEGER", "0.0"), ("NUMERIC", "1e15")):
                mine.execute(f"UPDATE {table} SET c = {sql}")
        mine.execute(f"INSERT INTO {table} (a) VALUES (2)")
    mine.push()
    mine.pull()
    assert mine.verify()
    yours = replica("yours")
    for table, sql in tables.items():
        query = f"SELECT id, typeof(c), c FROM {table} ORDER BY id"
        assert mine.execute(query).fetchall() == yours.execute(query).fetchall(), sql
    assert not {sql for of, sql in NEVER_REFUSED if of == kind} & refused.keys()
    for error in refused.values():
        assert "cannot hold DEFAULT" in str(error)
        assert "UPDATE the rows" in error.hint
    assert not refused or server.name == "tursodb"
    yours.execute("UPDATE d0 SET a = 'theirs'")
    yours.push()
    mine.pull()
    mine.execute("UPDATE d0 SET c = NULL")
    mine.push()
    assert mine.verify()


STATEMENTS = (
    "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 1",
    "ALTER TABLE t ADD COLUMN d TEXT DEFAULT 'x'",
    "ALTER TABLE kv ADD COLUMN c TEXT COLLATE NOCASE",
    "ALTER TABLE kv ADD COLUMN d TEXT AS (k)",
    "CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID",
    "INSERT INTO w VALUES (1, 1)",
    "UPDATE w SET v = 2",
    "DELETE FROM w",
    "ALTER TABLE bare RENAME TO other",
)


def test_a_remote_that_does_not_answer_is_waited_for_once(server, replica):
    """For a moment, by the first statement that it should judge; the others have the write lock for none."""
    with StallingRemote(server.url) as way:
        mine = replica("mine", remote_url=way.url)
        mine.pull()
        way.stalled.set()
        asked = mine.stats().network_requests
        for sql in STATEMENTS:
            mine.execute(sql)
        assert mine.stats().network_requests == asked + 1
        assert len(mine.changes()) == len(STATEMENTS)


def test_offline_it_is_not_asked(server, replica):
    """In a block that is to ask nothing of the network, and again after it."""
    with StallingRemote(server.url) as way:
        mine = replica("mine", remote_url=way.url)
        mine.pull()
        way.stalled.set()
        with mine.fetching(offline=True):
            for sql in STATEMENTS:
                mine.execute(sql)
        assert not way.asked.is_set()
        mine.execute("CREATE TABLE w_too (k PRIMARY KEY) WITHOUT ROWID")
        assert way.asked.is_set()

"""Defaults of new columns, in rows that are there: the same value on both sides, or refused when made."""

from __future__ import annotations

import pytest

import turso_sync_nb as tsn

LITERALS = (
    *("-9223372036854775808", "9223372036854775807", "-9223372036854775807", "9223372036854775808"),
    *("-9223372036854775809", "123456789012345678901234567890", "0x10", "0x7fffffffffffffff"),
    *("0xffffffffffffffff", "-0x7fffffffffffffff", "1e999", "-1e999", "1e15", "1e-320", "1.5", "-0.0", "0.0"),
    *("-1", "+5", "TRUE", "NULL", "''", "'a''b'", "'9223372036854775808'", "x'00ff'", "x''"),
    *("(-9223372036854775808)", "(9e18)", "CURRENT_USER"),
)
TYPES = ("INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "DECIMAL(10,2)", "")
NEVER_REFUSED = {
    *(("INTEGER", sql) for sql in ("9223372036854775807", "0x10", "-1", "TRUE", "NULL")),
    *(("REAL", sql) for sql in ("1.5", "0.0", "1e15", "NULL")),
    *(("TEXT", sql) for sql in ("''", "'a''b'", "NULL")),
    *(("BLOB", sql) for sql in ("x'00ff'", "x''", "NULL")),
    *(("", sql) for sql in ("1.5", "''", "x'00ff'", "-1")),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_default_is_the_same_value_on_both_sides(kind, server, replica):
    """Or the ALTER is refused with a way on, and leaves nothing behind."""
    mine, refused = replica("mine"), dict[str, tsn.UsageError]()
    tables = {f"d{at}": sql for at, sql in enumerate(LITERALS)}
    for table in tables:
        mine.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, a)")
        mine.execute(f"INSERT INTO {table} (a) VALUES (1)")
    mine.push()
    mine.pull()
    for table, sql in tables.items():
        try:
            mine.execute(f"ALTER TABLE {table} ADD COLUMN c {kind} DEFAULT {sql}")
        except tsn.UsageError as error:
            refused[sql] = error
            assert mine.execute(f"SELECT count(*) FROM pragma_table_info('{table}')").fetchone() == (2,)
            mine.execute(f"ALTER TABLE {table} ADD COLUMN c {kind}")  # the way on
            if (kind, sql) in (("INTEGER", "0.0"), ("NUMERIC", "1e15")):
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

"""Keys of AUTOINCREMENT in a table that gets its name before its first push."""

from __future__ import annotations

import pytest

RENAMED = {
    "made and renamed": (
        "CREATE TABLE one (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
        "ALTER TABLE one RENAME TO two",
        "INSERT INTO two (v) VALUES (1)",
    ),
    "filled, then renamed": (
        "CREATE TABLE one (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
        "INSERT INTO one (v) VALUES (1)",
        "ALTER TABLE one RENAME TO two",
    ),
    "renamed twice": (
        "CREATE TABLE one (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
        "ALTER TABLE one RENAME TO other",
        "INSERT INTO other (v) VALUES (1)",
        "ALTER TABLE other RENAME TO two",
    ),
    "made in the place of another": (
        "CREATE TABLE two (id INTEGER PRIMARY KEY, v)",
        "ALTER TABLE two RENAME TO other",
        "CREATE TABLE two (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
        "INSERT INTO two (v) VALUES (1)",
    ),
}


@pytest.mark.parametrize("name", RENAMED)
def test_it_is_pushed(name, two):
    """The remote has no AUTOINCREMENT table yet, and nothing to be asked about."""
    mine, yours = two
    for sql in RENAMED[name]:
        mine.execute(sql)
    mine.push()
    yours.pull()
    assert yours.execute("SELECT * FROM two").fetchall() == [(1, 1)]


@pytest.mark.parametrize("first", ["rename", "insert"])
def test_a_key_that_was_used_there_is_not_used_again(first, two):
    """Under the name that the table has there, it is asked which keys were used."""
    mine, yours = two
    mine.execute("CREATE TABLE one (id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
    mine.push()
    yours.pull()
    yours.execute("INSERT INTO one (v) VALUES ('theirs')")
    yours.execute("DELETE FROM one")
    yours.push()
    steps = ["ALTER TABLE one RENAME TO two", "INSERT INTO {} (v) VALUES ('mine')"]
    for sql in steps if first == "rename" else reversed(steps):
        mine.execute(sql.format("two" if first == "rename" else "one"))
    mine.push()
    yours.pull()
    assert yours.execute("SELECT * FROM two").fetchall() == [(2, "mine")]

"""Values and keys of every kind reach the other side exactly, or are refused by name before they are sent."""

from __future__ import annotations

import math
import random
import struct
from contextlib import closing
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer

VALUES = {
    "integers": [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1],
    "floats": [0.0, -0.0, 1.5, 1e300, 5e-324, float("inf"), float("-inf"), 1e17, 0.1, 1.0],
    "floats of 17 digits": [
        *(2461374.5 + at / 997 for at in range(400)),
        *(at / 997 for at in range(400)),
        *(-math.exp(at) for at in range(-745, 709)),
        *(9007199254740991.0 - at for at in range(50)),
        1.7976931348623157e308,
        2.2250738585072014e-308,
        1.1125369292536007e-308,
    ],
    "texts": ["", "a", "0", "1.0", "\0", "a\0b", "'\"`[]", "é😀\u2028", "x" * 100_000],
    "blobs": [b"", b"\0", b"\xff" * 10, bytes(range(256)), random.Random(1).randbytes(1 << 20)],
    "null": [None],
}


def exact(db: tsn.Connection, sql: str) -> list[tuple[Any, ...]]:
    """Return rows with floats as their bits, so that -0.0 is not 0.0 and 1 is not 1.0."""
    return [
        tuple(struct.pack("<d", value) if isinstance(value, float) else value for value in row)
        for row in db.execute(sql).fetchall()
    ]


@pytest.mark.parametrize("kind", VALUES)
def test_values_arrive_exactly(two, kind):
    """Inserted, updated to, updated from and deleted: every value of each storage class."""
    mine, yours = two
    mine.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, a, b)")
    values = VALUES[kind]
    mine.executemany("INSERT INTO v VALUES (?, ?, 0)", list(enumerate(values, 1)))
    mine.push()
    mine.executemany(
        "UPDATE v SET b = ?, a = NULL WHERE id = ?", [(value, at) for at, value in enumerate(values, 1)]
    )
    mine.execute("DELETE FROM v WHERE id = 1")
    mine.push()
    yours.pull()
    query = "SELECT id, a, b, typeof(b) FROM v ORDER BY id"
    assert exact(yours, query) == exact(mine, query)
    assert len(exact(mine, query)) == len(values) - 1


@given(rows=st.lists(st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary(max_size=20)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.none() | st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, float("inf")]),
), max_size=8))  # fmt: skip
@settings(max_examples=20)
def test_rows_without_key_are_matched_exactly(rows):
    """Any rows of a table without a key, each changed and some deleted, are the same on the other side."""
    with LocalServer() as server:
        with tsn.connect(":memory:", server.url, isolation_level=None) as mine:
            mine.execute("CREATE TABLE bare (x, y)")
            mine.executemany("INSERT INTO bare VALUES (?, ?)", rows)
            mine.push()
            mine.execute("UPDATE bare SET y = 'changed' WHERE rowid % 2")
            mine.execute("DELETE FROM bare WHERE rowid % 3 = 0")
            mine.push()
        with tsn.connect(":memory:", server.url) as yours:
            query = "SELECT quote(x), quote(y), typeof(x), typeof(y) FROM bare ORDER BY 1, 2, 3, 4"
            assert exact(yours, query) == exact(mine, query)
        yours.close()
        mine.close()


KEYS = {
    "composite, in key order": (
        "CREATE TABLE k (a, b, c, PRIMARY KEY (b, a))",
        [
            "INSERT INTO k VALUES (1, 2, 3), (2, 1, 4)",
            "UPDATE k SET a = 9 WHERE b = 2",
            "DELETE FROM k WHERE b = 1",
        ],
    ),
    "parts that are NULL": (
        "CREATE TABLE k (a, b, c, PRIMARY KEY (a, b))",
        ["INSERT INTO k VALUES (NULL, 2, 3), (NULL, 2, 3), (NULL, 2, 4), (1, NULL, 5)",
         "DELETE FROM k WHERE rowid = 1", "UPDATE k SET c = 6 WHERE a = 1"],
    ),
    "without case": (
        "CREATE TABLE k (a TEXT COLLATE NOCASE PRIMARY KEY, b)",
        ["INSERT INTO k VALUES ('Abc', 1)", "UPDATE k SET a = 'ABC', b = 2 WHERE a = 'abc'"],
    ),
    "strict": (
        "CREATE TABLE k (a INT PRIMARY KEY, b REAL, c ANY) STRICT",
        ["INSERT INTO k VALUES (1, 2, '3'), (2, 9e999, x'00')", "UPDATE k SET a = a + 10"],
    ),
    "odd names": (
        'CREATE TABLE k ("select" TEXT PRIMARY KEY, "rowid" INT, "a "" b" REAL)',
        [
            "INSERT INTO k VALUES ('x', 1, 2), ('y', 3, 4)",
            'UPDATE k SET "rowid" = 7',
            """DELETE FROM k WHERE "select" = 'x'""",
        ],
    ),
    "swapped in one transaction": (
        "CREATE TABLE k (id INTEGER PRIMARY KEY, v)",
        [
            "INSERT INTO k VALUES (1, 'a'), (2, 'b')",
            "BEGIN",
            "UPDATE k SET id = -id",
            "UPDATE k SET id = 3 + id",
            "COMMIT",
        ],
    ),
    "pointing at itself": (
        "CREATE TABLE k (id INTEGER PRIMARY KEY, up REFERENCES k DEFERRABLE INITIALLY DEFERRED)",
        [
            "BEGIN",
            "INSERT INTO k VALUES (1, 2)",
            "INSERT INTO k VALUES (2, 1)",
            "COMMIT",
            "DELETE FROM k WHERE id = 2",
        ],
    ),
    "autoincrement": (
        "CREATE TABLE k (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
        [
            "INSERT INTO k (v) VALUES ('a'), ('b')",
            "DELETE FROM k WHERE id = 2",
            "INSERT INTO k (v) VALUES ('c')",
        ],
    ),
    "descending key": (
        "CREATE TABLE k (id INTEGER PRIMARY KEY DESC, v)",
        ["INSERT INTO k VALUES (5, 'a'), (NULL, 'b')", "UPDATE k SET v = 'c' WHERE id = 5"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind(two, kind):
    """Rows are found by their keys, whatever those are, also once the other side has changed something."""
    mine, yours = two
    create, statements = KEYS[kind]
    mine.execute(create)
    mine.push()
    yours.execute("INSERT INTO t VALUES (100, 'yours', 100)")
    yours.push()
    for statement in statements:
        mine.execute(statement)
    mine.pull()
    mine.push()
    yours.pull()
    query = "SELECT * FROM k ORDER BY 1, 2"
    assert exact(yours, query) == exact(mine, query) != []
    assert yours.conflicts().empty
    assert mine.conflicts().empty


def test_text_that_is_not_utf8_is_refused_by_name_and_kept(two):
    """It cannot cross the wire: the push names table, row and column, and sends nothing."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('fine', 1)")
    mine.execute("INSERT INTO kv VALUES ('bad', CAST(x'61ff' AS TEXT))")
    with pytest.raises(tsn.ConflictError, match=r"insert into kv, k='bad'.*column v"):
        mine.push()
    assert not yours.pull()
    assert list(mine.changes()["state"]) == ["pending", "refused"]
    yours.execute("INSERT INTO t VALUES (100, 'yours', 100)")
    yours.push()
    mine.pull()
    assert mine.execute("SELECT hex(v) FROM kv WHERE k = 'bad'").fetchall() == [("61FF",)]
    mine.push(skip_refused=True)
    yours.pull()
    assert yours.execute("SELECT k FROM kv ORDER BY 1").fetchall() == [("fine",), ("x",)]


GUARDED = {
    "an update of it": "UPDATE v SET a = 0",
    "a delete": "DELETE FROM v",
    "a delete of rows without a key": "DELETE FROM w",
    "a row that is replaced": "REPLACE INTO x (id, a, b) SELECT id + 1000, a, 1 FROM x",
    "a row beside a trigger": "UPDATE y SET a = a + 1",
    "a column that is dropped": "ALTER TABLE v DROP COLUMN a",
    "a table that is dropped": "DROP TABLE v",
    "a table without a key that is dropped": "DROP TABLE w",
}
"""Work that goes on the remote only if reals there are still what they were."""


@pytest.mark.parametrize("name", GUARDED)
def test_reals_of_17_digits_are_found_as_they_were(remote_server, tmp_path, name):
    """What is guarded by them goes through, and comes out on the other side as here."""
    values = [(value,) for value in dict.fromkeys(VALUES["floats of 17 digits"])][::10]
    schema = (
        "CREATE TABLE v (id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE w (a)",
        "CREATE TABLE x (id INTEGER PRIMARY KEY, a UNIQUE, b)",
        "CREATE TABLE y (id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE log (a)",
        "CREATE TRIGGER g AFTER UPDATE ON y BEGIN INSERT INTO log VALUES (old.a); END",
        "CREATE TRIGGER h AFTER DELETE ON x BEGIN INSERT INTO log VALUES (old.a); END",
    )
    with closing(apsw.Connection(str(tmp_path / "source.db"))) as raw, raw:
        for sql in schema:
            raw.execute(sql)
        for table in "vwxy":
            raw.executemany(f"INSERT INTO {table} (a) VALUES (?)", values)
    url = remote_server(tmp_path / "source.db").url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url)) as yours,
    ):
        mine.execute(GUARDED[name])
        mine.push()
        yours.pull()
        for table in ("v", "w", "x", "y", "log"):
            found = "SELECT name FROM pragma_table_info(?)"
            assert yours.execute(found, (table,)).fetchall() == mine.execute(found, (table,)).fetchall()
            if mine.execute(found, (table,)).fetchall():
                query = f"SELECT * FROM {table} ORDER BY rowid"
                assert exact(yours, query) == exact(mine, query)


def test_reals_of_a_transform_arrive_exactly(replica):
    """The parameters of a statement of a transform's own, beside what only looks like a place for one."""

    def rewritten(change):
        sql = "INSERT INTO v (id, a, b) /* ? */ VALUES (?, ?, '?') -- ?"
        return tsn.Rewrite(sql, change.new[:2])

    mine, yours = replica("mine", transform=rewritten), replica("yours")
    mine.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, a, b)")
    values = VALUES["floats of 17 digits"][:400]
    mine.executemany("INSERT INTO v (a) VALUES (?)", [(value,) for value in values])
    mine.push()
    yours.pull()
    assert exact(yours, "SELECT a, b FROM v ORDER BY id") == [(struct.pack("<d", one), "?") for one in values]

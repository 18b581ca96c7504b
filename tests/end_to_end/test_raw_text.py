"""Text that is not UTF-8 in a row of the remote stops neither news nor changes of its other columns."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database

import turso_sync_nb as tsn
from turso_sync_nb.changes.model import RawText


@pytest.fixture
def source(tmp_path):
    """A table with such a row."""
    path = tmp_path / "source.db"
    raw = apsw.Connection(str(path))
    raw.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, "a{" TEXT, b)')
    raw.execute("INSERT INTO t VALUES (1, CAST(x'ff41' AS TEXT), 1), (2, 'x', 1)")
    raw.execute("CREATE TABLE k (k TEXT PRIMARY KEY, v)")
    raw.execute("INSERT INTO k VALUES (CAST(x'ff' AS TEXT), 1)")
    raw.close()
    return path


@pytest.fixture
def server(embedded, source):
    """The embedded server: ``tursodb`` calls a database with such a text corrupt when the row is changed."""
    return embedded(source)


@pytest.mark.parametrize("pulled", [False, True])
def test_other_columns_of_the_row_arrive(replica, pulled):
    """An update of another column is pushed, news are pulled, and the text stays as it is."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("UPDATE t SET b = 2 WHERE id = 1")
    yours.execute("UPDATE t SET b = 5 WHERE id = 2")
    yours.push()
    if pulled:
        mine.pull()
    mine.sync()
    yours.pull()
    wanted = [(1, b"\xffA", 2), (2, b"x", 5)]
    for db in (mine, yours):
        assert db.execute('SELECT id, CAST("a{" AS BLOB), b FROM t').fetchall() == wanted
    assert mine.changes().empty


def test_a_text_that_cannot_be_sent_waits_with_its_reason(replica):
    """What writes such a text is refused by table and column, and blocks no pull."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("UPDATE t SET \"a{\" = CAST(x'fe' AS TEXT) WHERE id = 1")
    yours.execute("UPDATE t SET b = 5 WHERE id = 2")
    yours.push()
    with pytest.raises(tsn.ConflictError, match=r"update of t, id=1: column a\{ holds text"):
        mine.push()
    mine.pull()
    assert mine.execute("SELECT b FROM t WHERE id = 2").fetchall() == [(5,)]
    assert "not UTF-8" in mine.changes()["reason"].iloc[0]


FOLLOWED = {"text": "'ours'", "text that is not UTF-8": "CAST(x'ff' AS TEXT)", "bytes": "x'ff01'"}


@pytest.mark.parametrize("key", FOLLOWED.values(), ids=FOLLOWED)
def test_a_child_waits_with_its_parent_whatever_the_key(embedded, tmp_path, key):
    """Where the parent's row cannot be there after a pull, its child waits too, and the pull goes through."""
    schema = ("CREATE TABLE p (k PRIMARY KEY, u UNIQUE)", "CREATE TABLE c (k REFERENCES p, x)")
    url = embedded(make_database(tmp_path / "source.db", schema)).url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        yours.execute("INSERT INTO p VALUES ('theirs', 7)")
        yours.push()
        mine.execute(f"INSERT INTO p VALUES ({key}, 7)")
        mine.execute(f"INSERT INTO c VALUES ({key}, 'child')")
        assert mine.pull().set_aside == 2
        assert "points at" in mine.changes()["reason"].iloc[1]


ROWS = {
    "a text for another value": (
        "UPDATE t SET b = {} WHERE id = 2",
        "UPDATE t SET b = 'theirs' WHERE id = 2",
    ),
    "a row that has such a text": (
        'UPDATE t SET "a{{" = {} WHERE id = 1',
        "UPDATE t SET \"a{\" = 'y' WHERE id = 1",
    ),
    "such a row is gone": ('UPDATE t SET "a{{" = {} WHERE id = 1', "DELETE FROM t WHERE id = 1"),
    "such a row is deleted": ("DELETE FROM t WHERE id = 1", "UPDATE t SET \"a{\" = 'y' WHERE id = 1"),
    "such a row as key": ("UPDATE k SET v = {}", "UPDATE k SET v = 'theirs'"),
}
"""What is done here, and by others to the same row."""


@pytest.mark.parametrize("side", ["mine", "theirs"])
@pytest.mark.parametrize(("ours", "theirs"), ROWS.values(), ids=ROWS)
def test_a_conflict_over_such_a_text_is_settled(replica, ours, theirs, side):
    """The list of conflicts has the text's bytes, and the row is either side's as asked."""
    mine, yours = replica("mine", conflict_policy="remote-wins"), replica("yours")
    mine.execute(ours.format("CAST(x'fe' AS TEXT)"))
    wanted = {"mine": seen(mine)}
    yours.execute(theirs)
    yours.push()
    mine.pull()
    wanted["theirs"] = seen(yours)
    (conflict,) = mine.settled
    mine.settle(1, side)
    assert seen(mine) == wanted[side]
    known = [value for row in (conflict.key, conflict.base, conflict.local) if row for value in row.values()]
    assert any(isinstance(value, RawText) for value in known)


def seen(db):
    """Return all rows, each value as its type and bytes."""
    columns = {"t": ("id", '"a{"', "b"), "k": ("k", "v")}
    found = []
    for table, names in columns.items():
        listed = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in names)
        found.append(db.execute(f"SELECT {listed} FROM {table} ORDER BY 1, 2").fetchall())
    return found

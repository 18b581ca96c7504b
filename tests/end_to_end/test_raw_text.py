"""Text that is not UTF-8 in a row of the remote stops neither news nor changes of its other columns."""

from __future__ import annotations

import apsw
import pytest

import turso_sync_nb as tsn


@pytest.fixture
def source(tmp_path):
    """A table with such a row."""
    path = tmp_path / "source.db"
    raw = apsw.Connection(str(path))
    raw.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, "a{" TEXT, b)')
    raw.execute("INSERT INTO t VALUES (1, CAST(x'ff41' AS TEXT), 1), (2, 'x', 1)")
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

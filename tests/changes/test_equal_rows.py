"""Rows that nothing tells apart: one of several is changed nowhere, so that both sides stay equal."""

from __future__ import annotations

import apsw
import pytest

import turso_sync_nb as tsn

DECLARED = {
    "a key that may be NULL": "rowid TEXT PRIMARY KEY, oid, _rowid_",
    "a key of two columns": "rowid, oid, _rowid_, PRIMARY KEY (rowid, oid)",
    "a key, and a trigger": "rowid TEXT PRIMARY KEY, oid, _rowid_",
}
REFUSED = (
    "DELETE FROM t WHERE _rowid_ = 1",
    "UPDATE t SET _rowid_ = 5 WHERE _rowid_ = 1",
    "DELETE FROM t",
    "DELETE FROM t WHERE oid = 4",
)


@pytest.fixture
def db(tmp_path, embedded, request):
    """A replica of two equal rows and one more, in a table of which no name reaches the rowid."""
    raw = apsw.Connection(str(tmp_path / "source.db"))
    raw.execute(f"CREATE TABLE t ({DECLARED[request.param]})")
    raw.execute("CREATE TABLE log (n)")
    if "trigger" in request.param:
        raw.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END")
    raw.execute("INSERT INTO t VALUES (NULL, 1, 1), (NULL, 1, 1), (NULL, 2, 2), (NULL, 3, 3)")
    raw.close()
    db = tsn.connect(tmp_path / "mine", embedded(tmp_path / "source.db").url, isolation_level=None)
    yield db
    db.close()


@pytest.mark.parametrize("db", DECLARED, indirect=True)
def test_one_of_equal_rows_is_not_changed(db):
    """A statement that changes one of several equal rows is refused; one of a single row arrives."""
    before = db.execute("SELECT * FROM t").fetchall()
    for statement in REFUSED:
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (NULL, 4, 4), (NULL, 4, 4)")
        with pytest.raises(tsn.IntegrityError, match="equal rows of t"):
            db.execute(statement)
        db.rollback()
        assert db.execute("SELECT * FROM t").fetchall() == before
    db.execute("UPDATE t SET _rowid_ = 7 WHERE oid = 2")
    db.execute("DELETE FROM t WHERE oid = 3")
    db.execute("INSERT INTO t VALUES (NULL, 1, 1)")
    assert db.push().changes == 3
    with tsn.connect(":memory:", db.remote_url) as there:
        assert sorted(there.execute("SELECT oid, _rowid_ FROM t").fetchall()) == [(1, 1)] * 3 + [(2, 7)]
    there.close()

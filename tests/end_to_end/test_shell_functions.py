"""Functions of SQLite's shell: here as on the server, captured and pushed, and harmless to schemas."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import turso_sync_nb as tsn
from turso_sync_nb import table_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SELECTS = {
    "SELECT group_concat(value) FROM generate_series(1, 9, 3)": "1,4,7",
    "SELECT group_concat(value) FROM generate_series(5, 1, -2)": "5,3,1",
    "SELECT count(*) FROM t JOIN generate_series(1, 2) AS s ON s.value = t.id": 2,
    "SELECT sum(value) FROM generate_series WHERE start = 1 AND stop = 3": 6,
    "WITH s AS (SELECT value v FROM generate_series(1, 3)) SELECT max(v) FROM s": 3,
    "SELECT 'abc' REGEXP '^a.c$'": 1,
    "SELECT count(*) FROM t WHERE a REGEXP 't(wo|hree)'": 2,
    "SELECT regexpi('A', 'bab')": 1,
    "SELECT round(ln(exp(2)) + sqrt(16) + pow(2, 3) + ceil(0.2) + mod(7, 4), 6)": 18.0,
    "SELECT percentile(id, 50) FROM t": 2.0,
    "SELECT median(id) FROM t": 2.0,
}


@pytest.fixture
def on(tmp_path) -> Iterator[Callable[..., tsn.Connection]]:
    """Give ``on(name, url)``: a connection to a replica, closed at the end."""
    with ExitStack() as ending:

        def connect(name: str, url: str, **options: Any) -> tsn.Connection:
            db = tsn.connect(tmp_path / name, url, isolation_level=None, **options)
            ending.callback(db.close)
            return db

        yield connect


@pytest.mark.parametrize("kind", ["whole", "lazy"])
def test_they_answer_as_the_shell_does(embedded, source, on, kind):
    """On a whole and on a partial replica."""
    lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096)) if kind == "lazy" else None
    db = on("mine", embedded(source).url, partial_sync=lazily)
    assert {sql: db.execute(sql).fetchone()[0] for sql in SELECTS} == SELECTS
    with pytest.raises(tsn.Error, match="not authorized"):
        db.execute("SELECT load_extension('anything')")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO kv SELECT 'k' || value, value * 2 FROM generate_series(1, 700)",
        "UPDATE t SET a = a || '!' WHERE a REGEXP 't(wo|hree)'",
        "DELETE FROM t WHERE id IN (SELECT value FROM generate_series(2, 3))",
        "REPLACE INTO kv SELECT 'x', percentile(id, 50) FROM t",
        "CREATE TABLE made AS SELECT value AS v, sqrt(value) AS r FROM generate_series(1, 40)",
        "CREATE VIEW seen AS SELECT value FROM generate_series(1, 3)",
    ],
)
def test_writes_by_them_arrive(two, sql):
    """A statement that uses them is captured whole, survives a pull, and is the same on both sides."""
    mine, yours = two
    yours.execute("INSERT INTO bare VALUES ('theirs', 1)")
    yours.push()
    mine.execute(sql)
    mine.pull()
    mine.push()
    yours.pull()
    mine.pull()
    asked = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'turso_sync%'"
    for (table,) in mine.execute(asked).fetchall():
        rows = [sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for db in two]
        assert rows[0] == rows[1]
    assert mine.changes().empty
    assert mine.execute(asked).fetchall() == yours.execute(asked).fetchall()


def test_a_schema_that_calls_them_is_read_and_written(embedded, on, tmp_path):
    """A CHECK, an index and a view of an untrusted schema may call them; a write waits and is replayed."""
    path: Path = tmp_path / "calls.db"
    raw = apsw.Connection(str(path))
    table_functions.register(raw)
    raw.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, a TEXT CHECK (a REGEXP '@'))")
    raw.execute("CREATE INDEX by_size ON mail (sqrt(id))")
    raw.execute("CREATE VIEW numbers AS SELECT value FROM generate_series(1, 3)")
    raw.execute("INSERT INTO mail VALUES (1, 'a@b')")
    raw.close()
    server = embedded(path)
    mine, yours = on("mine", server.url), on("yours", server.url)
    assert mine.execute("SELECT count(*) FROM numbers").fetchone() == (3,)
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT INTO mail VALUES (2, 'nothing')")
    mine.execute("INSERT INTO mail VALUES (2, 'c@d')")
    yours.execute("INSERT INTO mail VALUES (3, 'e@f')")
    yours.push()
    mine.pull()
    mine.push()
    yours.pull()
    assert mine.execute("SELECT * FROM mail").fetchall() == [(1, "a@b"), (2, "c@d"), (3, "e@f")]
    assert yours.execute("SELECT * FROM mail").fetchall() == [(1, "a@b"), (2, "c@d"), (3, "e@f")]
    assert mine.diff().empty


def test_a_program_that_does_not_close_ends_quietly(embedded, source, tmp_path):
    """The end of the interpreter closes the connection, and nothing is printed about it."""
    code = """
import sys, turso_sync_nb as tsn
db = tsn.connect(sys.argv[1], sys.argv[2], isolation_level=None)
db.execute("INSERT INTO kv SELECT 'k' || value, 1 FROM generate_series(1, 3)")
"""
    url = embedded(source).url
    command = [sys.executable, "-c", code, str(tmp_path / "r"), url]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    with closing(tsn.connect(tmp_path / "r", url)) as db:
        assert len(db.changes()) == 3

"""Functions and collations of a user under the names of SQLite's own answer the user's statements alone."""

from __future__ import annotations

import ast
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pandas as pd
import pytest
from databases import make_database

import turso_sync_nb as tsn
from turso_sync_nb.connection.overrides import NAMES_USED

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b UNIQUE)",
    "CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE)",
    "CREATE TABLE plain (k TEXT PRIMARY KEY, v)",
    "CREATE TABLE bare (x, y)",
    "CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log (what) VALUES (new.a); END",
    "CREATE TRIGGER r BEFORE INSERT ON t WHEN new.a = 'old' BEGIN DELETE FROM t WHERE b = new.b; END",
    "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
    "INSERT INTO plain VALUES ('x', 1)",
    "INSERT INTO bare VALUES (1, 1), (1, 1), (2, 2.5)",
)


def scalars() -> list[tuple[str, int]]:
    """Return SQLite's scalar functions, with the numbers of their arguments."""
    query = "SELECT DISTINCT name, max(narg, -1) FROM pragma_function_list WHERE builtin AND type = 's'"
    with closing(apsw.Connection(":memory:")) as raw:
        return [(name, count) for name, count in raw.execute(query) if not name.startswith(("->", "fts"))]


def hides_an_aggregate(name: str, count: int) -> bool:
    """Return whether a function of so many arguments would take the place of an aggregate of SQLite."""
    return name in {"max", "min"} and count < 0


def override_all(db: tsn.Connection) -> int:
    """Make functions of all names that raise, and return how many."""
    made = 0
    for name, count in scalars():
        counts = (2, 3) if hides_an_aggregate(name, count) else (count,)
        for each in counts:
            db.create_function(name, each, raising, innocuous=True)
            made += 1
    return made


def raising(*_: object) -> None:
    """Answer no query of ours."""
    raise AssertionError("the user's function was called")


def run_all(*statements: str) -> Callable[[tsn.Connection], None]:
    """Return a program that runs ``statements``."""

    def run(db: tsn.Connection) -> None:
        for sql in statements:
            db.execute(sql)

    return run


def write_frames(db: tsn.Connection) -> None:
    """Write frames in each mode, and apply an edited one."""
    db.write_frame(pd.DataFrame({"k": ["x", "y"], "v": [5, 6]}), "plain", mode="upsert")
    db.write_frame(pd.DataFrame({"x": [9], "y": [9.5]}), "bare")
    db.write_frame(pd.DataFrame({"n": [1]}), "made")
    frame = db.edit_frame("t")
    edited = frame.copy()
    edited.loc[edited["id"] == 1, "a"] = "edited"
    db.apply(edited, of=frame)


def undo(db: tsn.Connection) -> None:
    """Push a transaction and undo it."""
    db.execute("INSERT INTO plain VALUES ('undone', 1)")
    db.push()
    db.undo(db.pushed[-1].number)


PROGRAMS: dict[str, Any] = {
    "plain": run_all(
        "INSERT INTO bare VALUES (5, 6)", "UPDATE bare SET y = 7 WHERE x = 2", "DELETE FROM bare WHERE x = 1"
    ),
    "key": run_all(
        "INSERT OR IGNORE INTO plain VALUES ('x', 2), ('z', 3)", "REPLACE INTO plain VALUES ('z', 4)"
    ),
    "triggers": run_all(
        "UPDATE t SET a = 'changed' WHERE id = 2",
        "INSERT INTO t VALUES (4, 'old', 3)",
        "INSERT OR REPLACE INTO t (a, b) VALUES ('replaces', 2)",
        "INSERT INTO t VALUES (9, 'x', 1) ON CONFLICT (b) DO UPDATE SET a = 'upserted'",
    ),
    "cascade": run_all("PRAGMA foreign_keys = ON", "DELETE FROM t WHERE id = 1"),
    "schema": run_all(
        "CREATE TABLE n (id INTEGER PRIMARY KEY, a)", "INSERT INTO n (a) VALUES (1)",
        "ALTER TABLE n ADD COLUMN c",
        "CREATE INDEX i ON bare (y)", "ALTER TABLE bare RENAME COLUMN y TO z", "DROP TABLE plain",
        "CREATE TABLE copied AS SELECT * FROM bare", "CREATE VIEW w AS SELECT * FROM t",
    ),
    "transaction": run_all(
        "BEGIN", "INSERT INTO log (what) VALUES ('a')", "SAVEPOINT s", "DELETE FROM bare", "ROLLBACK TO s",
        "COMMIT",
    ),
    "frames": write_frames,
    "undo": undo,
}  # fmt: skip


def whole(source: Any) -> dict[str, Any]:
    """Return the rows of all tables, and the schema."""
    query = (
        "SELECT name, sql FROM sqlite_schema WHERE name NOT GLOB 'turso_sync_*' AND sql <> '' ORDER BY name"
    )
    schema = [tuple(row) for row in source.execute(query) if "sqlite_" not in row[0]]
    names = [name for name, sql in schema if sql.startswith("CREATE TABLE")]
    return {"": schema} | {
        name: sorted(map(repr, map(tuple, source.execute(f'SELECT * FROM "{name}"')))) for name in names
    }


@pytest.mark.parametrize("first_written", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_capture_and_verbs_do_not_call_them(name, first_written, remote_server, connect, tmp_path):
    """A program does what it does without them, here and on the remote."""
    states = []
    for overriding in (False, True):
        server = remote_server(make_database(tmp_path / f"source-{overriding}.db", SCHEMA))
        folder = tmp_path / f"replica-{overriding}"
        db = connect(server.url, folder, isolation_level=None)
        if first_written:
            db.execute("INSERT INTO log (what) VALUES ('before')")
        if overriding:
            assert override_all(db) > 50
        PROGRAMS[name](db)
        with connect(server.url, tmp_path / f"other-{overriding}", isolation_level=None) as other:
            other.execute("INSERT INTO log (id, what) VALUES (77, 'theirs')")
            other.push()
        db.pull()
        db.changes(), db.diff(), db.verify(), list(db.iterdump()), db.script()
        db.push()
        db.pull()
        assert db.changes().empty
        assert db.verify()
        db.close()
        here = connect(server.url, folder)
        fresh = connect(server.url, tmp_path / f"fresh-{overriding}")
        assert whole(here) == whole(fresh)
        states.append(whole(fresh))
    assert states[0] == states[1]


def test_they_answer_the_users_statements(connect):
    """As they do in sqlite3; also after the connection was opened anew."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    made = {"ifnull": 2, "lower": 1, "max": 2, "like": 2, "glob": 2, "coalesce": -1, "json_extract": -1}
    for name, count in made.items():
        db.create_function(name, count, lambda *_, name=name: f"my {name}")
    query = (
        "SELECT ifnull(1, 2), lower('A'), max(1, 2), 'a' LIKE 'a', 'a' GLOB 'b', coalesce(1, 2), "
        "json_extract('{}', '$')"
    )
    mine = [("my ifnull", "my lower", "my max", "my like", "my glob", "my coalesce", "my json_extract")]
    assert db.execute(query).fetchall() == mine
    db.execute("INSERT INTO t (a) SELECT lower('A') WHERE ifnull(NULL, 'B') = 'my ifnull'")
    assert db.execute("SELECT a, max(id) FROM t").fetchall() == [("my lower", 1)]
    db.checkpoint()
    assert db.execute(query).fetchall() == mine
    for name, count in made.items():
        db.create_function(name, count, None)
    assert db.execute("SELECT ifnull(1, 2), max(1, 2), 'a' LIKE 'A'").fetchall() == [(1, 2, 1)]


class Sum:
    """An aggregate that is no good."""

    def step(self, *_: object) -> None:
        """Take a row."""

    finalize = value = inverse = step


REFUSED: dict[str, Callable[[tsn.Connection], object]] = {
    "scalar max of one": lambda db: db.create_function("MAX", 1, raising),
    "scalar max of any number": lambda db: db.create_function("max", -1, raising),
    "scalar count": lambda db: db.create_function("count", 0, raising),
    "scalar sum": lambda db: db.create_function("sum", 1, raising),
    "aggregate max": lambda db: db.create_aggregate("max", 1, Sum),
    "aggregate count": lambda db: db.create_aggregate("count", -1, Sum),
    "aggregate ifnull": lambda db: db.create_aggregate("ifnull", 2, Sum),
    "window min": lambda db: db.create_window_function("min", 1, Sum),
    "BINARY": lambda db: db.create_collation("BINARY", lambda a, b: 0),
    "nocase": lambda db: db.create_collation("nocase", lambda a, b: 0),
    "RTRIM removed": lambda db: db.create_collation("RTRIM", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_apart_is_refused(name, connect):
    """In one line with a hint; nothing of it is made."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    with pytest.raises(tsn.UsageError, match="refused") as caught:
        REFUSED[name](db)
    assert "another name" in caught.value.hint
    db.execute("CREATE TABLE t (a TEXT COLLATE NOCASE UNIQUE)")
    db.execute("INSERT INTO t VALUES ('a'), ('B')")
    assert db.execute("SELECT max(a), count(*), min(a) FROM t WHERE a = 'b' COLLATE NOCASE").fetchall() == [
        ("B", 1, "B")
    ]


def test_names_that_we_do_not_use_are_free(connect):
    """Aggregates and functions of other names of SQLite's, as programs make them."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.create_aggregate("json_group_array", 1, Sum)
    db.create_function("json_group_object", 2, lambda *_: 5)
    db.create_aggregate("median", 1, Sum)
    db.create_function("sqrt", 1, lambda x: -x)
    db.create_collation("GERMAN", lambda a, b: (a > b) - (a < b))
    assert db.execute("SELECT sqrt(4), json_group_object(1, 2)").fetchall() == [(-4, 5)]


def test_the_names_that_queries_use_are_listed():
    """So a new query cannot call an aggregate that a user may take the place of."""
    with closing(apsw.Connection(":memory:")) as raw:
        known = {
            name
            for (name,) in raw.execute("SELECT name FROM pragma_function_list WHERE builtin AND type <> 's'")
        }
    called = re.compile(r"\b([a-z_0-9]+)\(")
    found = set()
    for folder in ("changes", "connection", "jupyter", "widgets"):
        for path in (Path(tsn.__file__).parent / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and re.search(r"\b(SELECT|WHERE|FROM)\b", text):
                    found |= {name for name in called.findall(text) if name in known}
    assert found <= NAMES_USED
    assert {"max", "count"} <= found

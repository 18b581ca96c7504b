"""Functions and collations of a user under the names of SQLite's own answer the user's statements alone."""

from __future__ import annotations

import ast
import re
from contextlib import closing, nullcontext
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


CONTEXT = {
    "SELECT json_array(json('[1]'))": "[[1]]",
    "SELECT changes()": 1,
    "SELECT last_insert_rowid()": 77,
    "SELECT nullif('a' COLLATE NOCASE, 'A')": None,
    "SELECT max('a' COLLATE NOCASE, 'B')": "B",
    "SELECT hex(quote(CAST(x'ff' AS TEXT)))": "27FF27",
    "SELECT json_group_array(1)": "[1]",
}
NAMES = {"json": 1, "changes": 0, "last_insert_rowid": 0, "NULLIF": 2, "max": 2, "quote": 1, "hex": -1}


@pytest.mark.parametrize("is_made", [True, False])
def test_those_that_are_removed_leave_no_trace(is_made, connect):
    """SQLite's own answer again, also those that answer by more than values; TEMP objects are kept."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TEMP TABLE mine AS SELECT 5 AS five")
    if is_made:
        for name, count in NAMES.items():
            db.create_function(name, count, lambda *_: "mine")
        db.create_aggregate("json_group_array", 1, Sum)
    for name, count in NAMES.items():
        db.create_function(name.swapcase(), count, None)
    db.create_aggregate("json_group_array", 1, None)
    for sql, wanted in CONTEXT.items():
        db.execute("INSERT OR REPLACE INTO t VALUES (77)")
        assert db.execute(sql).fetchall() == [(wanted,)]
    db.checkpoint()
    assert db.execute("SELECT changes() < 9, five FROM mine").fetchall() == [(1, 5)]


def test_none_is_removed_amid_a_transaction_or_cursor(connect):
    """It goes on answering until then."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.create_function("lower", 1, lambda _: "mine")
    db.execute("BEGIN")
    with pytest.raises(tsn.UsageError, match="refused amid an open transaction"):
        db.create_function("lower", 1, None)
    db.execute("COMMIT")
    cursor = db.execute("SELECT lower('A') UNION ALL SELECT 2")
    assert cursor.fetchone() == ("mine",)
    with pytest.raises(tsn.UsageError, match="refused amid a cursor"):
        db.create_function("lower", 1, None)
    cursor.close()
    assert db.execute("SELECT lower('A')").fetchall() == [("mine",)]
    db.create_function("LOWER", 1, None)
    assert db.execute("SELECT lower('A')").fetchall() == [("a",)]


DEFINED: dict[str, tuple[str, str, bool]] = {
    "index": ("CREATE INDEX i ON p (lower(a))", "lower", True),
    "index by quoted name": ('CREATE INDEX i ON p ("LOWER" (a))', "lower", True),
    "partial index": ("CREATE INDEX i ON p (a) WHERE length(a) > 1", "length", True),
    "partial index with an operator": ("CREATE INDEX i ON p (a) WHERE a LIKE 'x%'", "like", True),
    "generated column": ("ALTER TABLE p ADD COLUMN c AS (upper(a))", "upper", True),
    "check": ("ALTER TABLE p ADD COLUMN c CHECK (length(c) < 3)", "length", True),
    "trigger": (
        "CREATE TRIGGER g AFTER INSERT ON p BEGIN INSERT INTO log VALUES (upper(new.a)); END",
        "upper",
        False,
    ),
    "a name of a table alone": (
        "CREATE TRIGGER g AFTER INSERT ON p BEGIN INSERT INTO date(x) VALUES (1); END",
        "date",
        None,
    ),
    "a type alone": ("ALTER TABLE p ADD COLUMN c CHAR(10)", "char", None),
    "another": ("CREATE INDEX i ON p (upper(a))", "lower", None),
}  # fmt: skip
"""A definition, a function that is made after it, whether reading the table is refused; ``None``: nothing."""


@pytest.mark.parametrize("flags", [{}, {"deterministic": True, "innocuous": True}])
@pytest.mark.parametrize("name", DEFINED)
def test_definitions_are_not_answered_by_them(name, flags, remote_server, connect, tmp_path):
    """A statement on such a table is refused before it does anything; the others, and verbs, are not."""
    sql, function, reads = DEFINED[name]
    schema = ("CREATE TABLE p (id INTEGER PRIMARY KEY, a)", "CREATE TABLE log (x)", "CREATE TABLE date (x)")
    server = remote_server(make_database(tmp_path / "source.db", schema))
    db, other = connect(server.url, isolation_level=None), connect(server.url, tmp_path / "other")
    db.execute("INSERT INTO p (a) VALUES ('Ab')")
    count = dict(scalars())[function]
    db.create_function(function, count, lambda *_: 1, **flags)
    assert db.execute("SELECT a FROM p").fetchall() == [("Ab",)]
    if "AS (" in sql and server.name == "tursodb":
        with pytest.raises(tsn.UsageError, match="cannot hold"):
            other.execute(sql)
        return
    other.execute(sql)
    other.commit()
    other.push()
    db.push()
    db.pull()
    writes = ("INSERT INTO p (a) VALUES ('Cd')", "UPDATE p SET a = 'Ef'", "PRAGMA integrity_check", "REINDEX")
    for statement in ("SELECT a FROM p", *writes):
        is_refused = reads is not None and (reads or statement in writes)
        for _ in range(2):
            if is_refused:
                with pytest.raises(tsn.UsageError, match=f"calls SQLite's {function}, in whose place"):
                    db.execute(statement)
            else:
                db.execute(statement).fetchall()
    db.execute("INSERT INTO log VALUES (5)")
    assert db.verify()
    db.create_function(function, count, None)
    db.execute("UPDATE p SET a = 'Gh' WHERE id = 1")
    db.push()
    db.pull()
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    fresh = connect(server.url, tmp_path / "fresh")
    assert whole(db) == whole(fresh)


@pytest.mark.parametrize("innocuous", [False, True])
def test_a_view_calls_them_if_they_are_innocuous(innocuous, connect):
    """Views may have come from the remote; the schema is read whatever they call."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    for sql in (
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES ('A')",
        "CREATE VIEW v AS SELECT lower(a) FROM t",
    ):
        db.execute(sql)
    db.create_function("lower", 1, lambda _: "mine", innocuous=innocuous)
    for query in ("SELECT * FROM v", "SELECT * FROM t, (SELECT * FROM v)"):
        with (
            nullcontext() if innocuous else pytest.raises(tsn.UsageError, match="view v calls SQLite's lower")
        ):
            assert "mine" in db.execute(query).fetchall()[0]
    assert db.execute("SELECT lower(a) FROM t").fetchall() == [("mine",)]


def test_known_statements_are_looked_at_again(connect):
    """When a function is made, and when it is removed."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    for sql in ("CREATE TABLE t (a)", "CREATE INDEX i ON t (lower(a))", "INSERT INTO t VALUES ('A')"):
        db.execute(sql)
    query = "SELECT a FROM t WHERE lower(a) = 'a'"
    for _ in range(3):
        assert db.execute(query).fetchall() == [("A",)]
    db.create_function("lower", 1, lambda _: "mine")
    with pytest.raises(tsn.UsageError, match="index i calls SQLite's lower"):
        db.execute(query)
    db.create_function("lower", 1, None)
    assert db.execute(query).fetchall() == [("A",)]


def test_an_index_is_not_made_with_them(connect):
    """The remote's would have SQLite's values; a table is made of theirs."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE t (a)")
    db.execute("INSERT INTO t VALUES ('A')")
    db.create_function("lower", 1, lambda _: "mine", deterministic=True)
    with pytest.raises(tsn.UsageError, match="the index calls SQLite's lower"):
        db.execute("CREATE INDEX i ON t (lower(a))")
    db.execute("CREATE TABLE copied AS SELECT lower(a) AS a FROM t")
    assert db.execute("SELECT a FROM copied").fetchall() == [("mine",)]


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

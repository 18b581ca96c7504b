"""Rows are upserted by any key and in parts: those that are there are updated, unchanged ones left alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import apsw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = """
CREATE TABLE user (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT NOT NULL, n REAL DEFAULT 7);
INSERT INTO user VALUES (1, 'a@x', 'Ada', 1), (2, 'b@x', 'Bob', 2), (3, NULL, 'Cleo', 3);
CREATE TABLE two (a TEXT UNIQUE, b TEXT UNIQUE, v);
INSERT INTO two VALUES ('a', 'b', 1);
CREATE TABLE bare (k TEXT, day DATE, v);
INSERT INTO bare VALUES ('x', '2024-01-01', 1), ('x', '2024-01-02', 2), ('y', '2024-01-01', 3);
INSERT INTO bare VALUES (NULL, NULL, 4);
CREATE TABLE cased (k TEXT COLLATE NOCASE, v);
INSERT INTO cased VALUES ('Ab', 1), ('cd', 2);
CREATE TABLE part (k TEXT, v);
CREATE UNIQUE INDEX part_of ON part (k) WHERE v > 0;
CREATE UNIQUE INDEX lower_of ON part (lower(k));
INSERT INTO part VALUES ('p', 1);
CREATE TABLE norowid (a TEXT, b INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO norowid VALUES ('a', 1, 'v'), ('a', 2, 'w');
CREATE TABLE shadowed (rowid TEXT, k INTEGER, v);
INSERT INTO shadowed VALUES ('r', 5, 'v');
CREATE TABLE child (id INTEGER PRIMARY KEY, user_id REFERENCES user ON DELETE CASCADE);
INSERT INTO child VALUES (1, 1), (2, 2);
"""

CASES: dict[str, tuple[str, Any, dict[str, list[Any]], int, list[Any]]] = {
    "the primary key": ("user", None, {"id": [1, 9], "name": ["Ada L", "New"]}, 2,
        [(1, "a@x", "Ada L", 1), (2, "b@x", "Bob", 2), (3, None, "Cleo", 3), (9, None, "New", 7)]),
    "the one UNIQUE": ("user", None, {"email": ["b@x", "c@x", None], "name": ["Bo", "Cy", "No"]}, 3,
        [(1, "a@x", "Ada", 1), (2, "b@x", "Bo", 2), (3, None, "Cleo", 3), (4, "c@x", "Cy", 7),
         (5, None, "No", 7)]),
    "a chosen UNIQUE": ("user", "email", {"email": ["a@x", "b@x"], "name": ["A", "Bob"], "n": [1, 2]}, 1,
        [(1, "a@x", "A", 1), (2, "b@x", "Bob", 2), (3, None, "Cleo", 3)]),
    "a chosen UNIQUE beside the primary key": ("user", ["email"],
        {"id": [1], "email": ["a@x"], "name": ["Q"]}, 1,
        [(1, "a@x", "Q", 1), (2, "b@x", "Bob", 2), (3, None, "Cleo", 3)]),
    "one of two": ("two", "b", {"a": ["z"], "b": ["b"], "v": [2]}, 1, [("z", "b", 2)]),
    "columns without a UNIQUE": ("bare", ["k", "day"],
        {"k": ["x", "x", "z", None], "day": ["2024-01-02", "2024-01-01", "2024-01-01", None],
         "v": [20, 1, 5, 6]}, 3,
        [("x", "2024-01-01", 1), ("x", "2024-01-02", 20), ("y", "2024-01-01", 3), (None, None, 4),
         ("z", "2024-01-01", 5), (None, None, 6)]),
    "one column of several rows": ("bare", "k", {"k": ["x", "q", "q"], "v": [0, 1, 2]}, 3,
        [("x", "2024-01-01", 0), ("x", "2024-01-02", 0), ("y", "2024-01-01", 3), (None, None, 4),
         ("q", None, 2)]),
    "moments in the key": ("bare", ["k", "day"],
        {"k": ["x"], "day": [pd.Timestamp("2024-01-02")], "v": [9]}, 1,
        [("x", "2024-01-01", 1), ("x", "2024-01-02", 9), ("y", "2024-01-01", 3), (None, None, 4)]),
    "the collation of the column": ("cased", "k", {"k": ["AB", "new"], "v": [3, 4]}, 2,
        [("Ab", 3), ("cd", 2), ("new", 4)]),
    "a partial index is none": ("part", "k", {"k": ["p", "r"], "v": [2, 3]}, 2, [("p", 2), ("r", 3)]),
    "without rowid": ("norowid", "b", {"a": ["a", "c"], "b": [2, 3], "v": ["new", "x"]}, 2,
        [("a", 1, "v"), ("a", 2, "new"), ("c", 3, "x")]),
    "a column called rowid": ("shadowed", "k", {"k": [5, 6], "v": ["w", "x"]}, 2,
        [("r", 5, "w"), (None, 6, "x")]),
    "nothing beside the key": ("user", "email", {"email": ["a@x"], "name": ["Ada"]}, 0,
        [(1, "a@x", "Ada", 1), (2, "b@x", "Bob", 2), (3, None, "Cleo", 3)]),
}  # fmt: skip
"""Table, chosen key, frame, changes that wait then, and all rows of the table."""


@pytest.fixture
def server(remote_server, tmp_path) -> Any:
    """Both servers with tables of every kind of key."""
    path = tmp_path / "keys.db"
    raw = apsw.Connection(str(path))
    raw.execute(SCHEMA)
    raw.close()
    return remote_server(path)


def rows(db: tsn.Connection, table: str) -> list[Any]:
    """Return all rows of a table, in the order in which they came."""
    order = "a, b" if table == "norowid" else "_rowid_"
    return db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


def test_rows_are_upserted_by_any_key(server, connect, tmp_path):
    """The rows, here and on the remote; done again, only rows without a key are inserted once more."""
    db = connect(server.url)
    for name, (table, key, columns, changes, want) in CASES.items():
        if table == "norowid" and server.name == "tursodb":
            continue  # it cannot hold such an update, and says so
        before, children, waiting = rows(db, table), rows(db, "child"), db.pending_changes
        for wanted in (changes, len([1 for each in zip(*columns.values(), strict=True) if None in each])):
            db.write_frame(pd.DataFrame(columns), table, "upsert", key=key)
            assert db.pending_changes - waiting == wanted, name
            waiting = db.pending_changes
            if wanted == changes:
                assert rows(db, table) == want, name
                assert rows(db, "child") == children
                db.push()
                other = connect(server.url, tmp_path / "other")
                other.pull()
                assert rows(other, table) == want, name
                waiting = db.pending_changes
        _restore(db, table, before)


def _restore(db: tsn.Connection, table: str, before: list[Any]) -> None:
    """Put the rows of a table back, without touching those that are the same."""
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(f"DELETE FROM {table}")
    db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(before[0]))})", before)
    db.commit()


@pytest.mark.parametrize(
    ("table", "mode", "key", "columns", "reason"),
    [
        ("bare", "upsert", None, ["k", "v"], r"no primary key \(choose columns with key="),
        ("user", "upsert", None, ["name"], r"lacks the key column 'id' \(choose columns with key="),
        ("two", "upsert", None, ["a", "b"], r"several UNIQUE fit: (a and b|b and a) \(choose one with key="),
        ("user", "upsert", "emial", ["email", "name"], r"no column 'emial' \(did you mean email\?"),
        ("user", "append", "email", ["email", "name"], r"key= is for upsert"),
        ("user", "upsert", [], ["email", "name"], r"no column is chosen"),
    ],
)
def test_a_key_that_is_none_is_refused(server, connect, table, mode, key, columns, reason):  # noqa: PLR0917 - a table's columns
    """With what to write; nothing is changed."""
    db = connect(server.url)
    before = rows(db, table)
    with pytest.raises(tsn.UsageError, match=reason):
        db.write_frame(pd.DataFrame({name: ["q"] for name in columns}), table, mode, key=key)
    assert rows(db, table) == before
    assert not db.in_transaction


PARTS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "read_csv": lambda frame: pd.read_csv(io.StringIO(frame.to_csv(index=False)), chunksize=7),
    "a generator": lambda frame: (frame.iloc[at : at + 9] for at in range(0, len(frame), 9)),
    "a list": lambda frame: [frame.iloc[:1], frame.iloc[1:]],
    "columns in another order": lambda frame: [frame.iloc[:5], frame.iloc[5:][["name", "id", "x"]]],
    "an Arrow reader": lambda frame: pa.Table.from_pandas(frame).to_reader(4),
    "polars": lambda frame: pl.from_pandas(frame).iter_slices(8),
    "one frame": lambda frame: frame,
}


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_parts_are_written_as_one(server, connect, mode):
    """Iterators of frames give the rows that the whole frame gives, as one transaction."""
    db = connect(server.url)
    names, numbers = [f"n{n}" for n in range(20)], [n / 4 for n in range(20)]
    frame = pd.DataFrame({"id": range(20), "name": names, "x": numbers})
    for number, (name, parts) in enumerate(PARTS.items()):
        db.execute(f"CREATE TABLE p{number} (id INTEGER PRIMARY KEY, name TEXT, x REAL)")
        if mode != "append":
            db.execute(f"INSERT INTO p{number} VALUES (3, 'old', 0), (99, 'old', 0)")
        db.commit()
        assert db.write_frame(parts(frame), f"p{number}", mode) == 20, name
        want = [tuple(row) for row in frame.itertuples(index=False)]
        assert db.execute(f"SELECT * FROM p{number} WHERE id < 99 ORDER BY id").fetchall() == want
        left = db.execute(f"SELECT count(*) FROM p{number} WHERE id = 99").fetchone()[0]
        assert left == (mode == "upsert")
    assert db.push()


def bad_parts() -> dict[str, tuple[list[Any], str]]:
    """Return parts that do not go together, with what is said."""
    whole = pd.DataFrame({"id": [1, 2], "name": ["a", "b"]})
    return {
        "no part": ([], "no frame came"),
        "other columns": ([whole, whole[["id"]]], "row 2: the frames before had other columns: name"),
        "text": ([whole, whole.assign(id=["007", "x"])], "column id, row 2: TEXT after INTEGER"),
        "a mixture": ([whole, whole.assign(id=["007", 3])], "column id, row 2: several types after INTEGER"),
        "numbers after text": ([whole, whole.assign(name=[1, 2])], "column name, row 2: INTEGER after TEXT"),
        "no frame": ([whole, {"id": 1}], "a dict is no DataFrame"),
        "a value that SQLite has not": ([whole, whole.assign(id=[1j, 2])], "row 2: "),
    }  # fmt: skip


def test_parts_that_do_not_fit_leave_nothing(server, connect):
    """All of them or none: no table is there, nothing waits."""
    db = connect(server.url)
    for name, (parts, reason) in bad_parts().items():
        with pytest.raises(tsn.UsageError, match=reason):
            db.write_frame(iter(parts), "made")
        assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'made'").fetchone() is None, name
        assert db.pending_changes == 0
    assert db.write_frame([pd.DataFrame({"a": [1, None]}), pd.DataFrame({"a": [1.5]})], "made") == 3

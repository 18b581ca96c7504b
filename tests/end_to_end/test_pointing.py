"""What foreign-key actions do is done on the remote and kept by a pull, however a child writes its key."""

from __future__ import annotations

from contextlib import closing
from itertools import product

import apsw
import pytest
from databases import make_database

import turso_sync_nb as tsn

KEYS = {
    "text at an integer": ("INTEGER PRIMARY KEY", 1, "", "'1'"),
    "text with a point": ("INTEGER PRIMARY KEY", 1, "", "'1.0'"),
    "a real at an integer": ("INTEGER PRIMARY KEY", 1, "", "1.0"),
    "an integer at text": ("TEXT PRIMARY KEY", "'1'", "", "1"),
    "an integer at a real": ("REAL PRIMARY KEY", "1", "", "1"),
    "another case": ("TEXT PRIMARY KEY COLLATE NOCASE", "'abc'", "TEXT", "'ABC'"),
    "spaces behind": ("TEXT PRIMARY KEY COLLATE RTRIM", "'abc'", "TEXT", "'abc  '"),
    "text at an integer without a type": ("PRIMARY KEY", 1, "TEXT", "'1'"),
    "the same": ("TEXT PRIMARY KEY", "'abc'", "TEXT", "'abc'"),
}
"""The type of a key, a key, the type of what points at it, and how it does."""

ACTIONS = {
    "delete cascade": ("ON DELETE CASCADE", "DELETE FROM parent WHERE k = {key}"),
    "delete set null": ("ON DELETE SET NULL", "DELETE FROM parent WHERE k = {key}"),
    "update cascade": ("ON UPDATE CASCADE", "UPDATE parent SET k = 7 WHERE k = {key}"),
    "update set default": ("ON UPDATE SET DEFAULT", "UPDATE parent SET k = 7 WHERE k = {key}"),
}
SHOWN = ("SELECT k, a FROM parent ORDER BY k", "SELECT id, p, a FROM child ORDER BY id")


REFUSED = {
    ("text at an integer without a type", action) for action in ("update cascade", "update set default")
}
"""What SQLite refuses: the child's new value is text, and points at no number."""


@pytest.mark.parametrize(("name", "action"), [pair for pair in product(KEYS, ACTIONS) if pair not in REFUSED])
def test_an_action_is_done_everywhere(name, action, remote_server, tmp_path):
    """As plain SQLite has it: here, after a pull that replays it, on the remote, and for others."""
    kind, key, column, value = KEYS[name]
    does, sql = ACTIONS[action]
    source = make_database(
        tmp_path / "source.db",
        (
            f"CREATE TABLE parent (k {kind}, a)",
            f"CREATE TABLE child (id INTEGER PRIMARY KEY, p {column} DEFAULT 3 REFERENCES parent {does}, a)",
            "CREATE TABLE news (x)",
            f"INSERT INTO parent VALUES ({key}, 0), (3, 0), (4, 0)",
            f"INSERT INTO child VALUES (1, {value}, 0), (2, {key}, 0), (3, 4, 0), (4, NULL, 0)",
        ),
    )
    program = ("PRAGMA foreign_keys = ON", "UPDATE child SET a = 1 WHERE id = 1", sql.format(key=key))
    with closing(apsw.Connection(":memory:")) as plain, closing(apsw.Connection(str(source))) as one:
        with plain.backup("main", one, "main") as copy:
            copy.step()
        for statement in program:
            plain.execute(statement)
        wanted = [plain.execute(query).fetchall() for query in SHOWN]
    url = remote_server(source).url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "far", url, isolation_level=None)) as far,
    ):
        for statement in program:
            mine.execute(statement)
        assert [mine.execute(query).fetchall() for query in SHOWN] == wanted
        far.execute("INSERT INTO news VALUES (1)")
        far.push()
        mine.pull()
        assert [mine.execute(query).fetchall() for query in SHOWN] == wanted
        mine.push()
        far.pull()
        assert [far.execute(query).fetchall() for query in SHOWN] == wanted
        assert mine.conflicts().empty
        assert mine.verify()

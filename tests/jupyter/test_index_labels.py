"""Indexes that SQLite made by itself have a reader's names wherever they are shown."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

from turso_sync_nb.server import LocalServer

SCHEMA = """
CREATE TABLE carriers (carrier TEXT PRIMARY KEY, name TEXT, home TEXT, UNIQUE (name, home));
CREATE TABLE "its ""own" (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE UNIQUE INDEX by_home ON carriers(home);
INSERT INTO carriers SELECT value, value, value FROM json_each('[1, 2, 3]');
"""

SHOWN = {
    "schema carriers": ["UNIQUE (name, home)", "unique index by_home on home"],
    "explain SELECT * FROM carriers WHERE carrier = 'UA'": [
        "USING INDEX OF primary key (carrier) (carrier=?)"
    ],
    "explain SELECT * FROM carriers WHERE name = 'x'": ["INDEX OF UNIQUE (name, home) (name=?)"],
    "tables": ["carriers"],
    "sql --dry-run SELECT * FROM carriers WHERE carrier = 'UA'": ["index of primary key (carrier)"],
}
"""Lines and what they say; none has the names that SQLite gives."""


@pytest.fixture
def carriers(shell, tmp_path):
    """Give a shell, connected to a database with indexes of every origin of which little is here."""
    with closing(apsw.Connection(str(tmp_path / "carriers.db"))) as raw:
        raw.execute(SCHEMA)
    with LocalServer(tmp_path / "carriers.db") as server:
        shell.good(f"%turso_sync connect c.db {server.url} --prefix 4096")
        yield shell


@pytest.mark.parametrize("line", SHOWN)
def test_a_line_names_what_the_index_is_of(carriers, line):
    """Its columns, and whether it is of the key or of a constraint."""
    said = carriers.good(f"%turso_sync {line}").text
    assert [each for each in SHOWN[line] if each not in said] == [], said
    assert "autoindex" not in said


@pytest.mark.parametrize("widget", ["pages", "explore", "dashboard"])
def test_a_widget_names_it_too(carriers, widget):
    """Nor does what a widget leaves in a saved notebook."""
    carriers.good("%turso_sync sql SELECT * FROM carriers")
    said = carriers.good(f"%turso_sync {widget}").text
    assert "carriers" in said
    assert "autoindex" not in said
    if widget == "pages":
        assert "UNIQUE (name, home) (index of carriers)" in said

"""Names with capital letters: stored in small letters by ``tursodb``, as written by SQLite, found in both.

What is dropped or renamed goes on both sides; where ``tursodb`` would leave it in the schema over pages that
it frees, that is refused, when it is made or at the push.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from databases import make_database, plain_sqlite
from faulty import lost_before
from ordinary import contents, names

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from faulty import Way

SCHEMA = (
    'CREATE TABLE "User" ("Id" INTEGER PRIMARY KEY AUTOINCREMENT, "Email" TEXT NOT NULL UNIQUE, "Nick" TEXT)',
    'CREATE TABLE "Other" (a)',
    "CREATE TABLE lower (a)",
    'CREATE INDEX "User_Nick" ON "User" ("Nick")',
    'CREATE INDEX "Lower_A" ON lower (a)',
    'CREATE VIEW "Nicks" AS SELECT "Nick" FROM "User"',
    'CREATE TRIGGER "Note" AFTER INSERT ON "User" BEGIN INSERT INTO "Other" VALUES (new."Id"); END',
    'CREATE TRIGGER "Low" AFTER INSERT ON "LOWER" BEGIN INSERT INTO "Other" VALUES (new.a); END',
    "INSERT INTO User VALUES (1, 'a', 'n'), (2, 'b', 'm')",
)
FREED = "DROP VIEW Nicks"  # of tursodb, views stay on a table's former name
CHANGES = {
    "a table": ('DROP TABLE "Other"',),
    "a table with an index and a trigger": ("DROP TABLE user",),
    "a table of small letters, its trigger has capitals": ("DROP TABLE lower",),
    "an index": ('DROP INDEX "User_Nick"', "DROP INDEX lower_a"),
    "a view": ("DROP VIEW Nicks",),
    "a trigger": ('DROP TRIGGER "Note"', "DROP TRIGGER low"),
    "made anew": ('DROP TABLE "User"', 'CREATE TABLE "User" (x)', "INSERT INTO User VALUES (1)"),
    "renamed": ('ALTER TABLE "User" RENAME TO "People"', "UPDATE People SET nick = 'p'"),
    "a column renamed": ('ALTER TABLE "User" RENAME COLUMN "Nick" TO "Name"', "UPDATE User SET name = 'p'"),
    "a column more, and one less": (
        'ALTER TABLE "User" ADD COLUMN "Age" DEFAULT 1', "DROP INDEX user_nick",
        'ALTER TABLE "User" DROP COLUMN "Nick"',
    ),
    "keys": ("DELETE FROM User WHERE id = 2", "INSERT INTO User (email) VALUES ('c')"),
    "keys after a rename": (
        "DELETE FROM User WHERE id = 2", "ALTER TABLE User RENAME TO Users",
        "INSERT INTO Users (email) VALUES ('c')",
    ),
}  # fmt: skip
REFUSED = frozenset(CHANGES) - {"a column renamed", "keys"}
"""What ``tursodb`` cannot do to names that SQLite stored."""


AT_THE_PUSH = "a table of small letters, its trigger has capitals"
"""What nobody asks about when it is made: here the trigger is stored under its table's name."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database made by SQLite: names are stored as they were written."""
    return make_database(tmp_path / "source.db", SCHEMA)


def changes_of(name: str) -> tuple[str, ...]:
    """Return the statements of a case; before a table is renamed its view goes."""
    return (FREED, *CHANGES[name]) if "RENAME TO" in " ".join(CHANGES[name]) else CHANGES[name]


def run(db, *statements: str) -> None:
    """Execute ``statements``, one after the other."""
    for sql in statements:
        db.execute(sql)


def state(db) -> tuple[object, ...]:
    """Return the schema, the rows, and what SQLite finds to be damaged."""
    return names(db), contents(db), db.execute("PRAGMA integrity_check").fetchall()


@pytest.mark.parametrize("pulled", ["before", "before and after"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_the_server_stored_is_changed(remote_server, tmp_path, name, pulled):
    """Made by a push, pulled, then changed: here and there as in plain SQLite, also if news come between."""
    url, plain = remote_server().url, plain_sqlite(isolation_level=None)
    with (
        tsn.connect(tmp_path / "mine", url, isolation_level=None) as mine,
        tsn.connect(tmp_path / "yours", url, isolation_level=None) as yours,
    ):
        for sql in SCHEMA:
            mine.execute(sql)
            plain.execute(sql)
        mine.push()
        for db in (mine, yours):
            db.pull()
        for sql in changes_of(name):
            yours.execute(sql)
            plain.execute(sql)
        assert state(yours) == state(plain)
        if pulled != "before":
            mine.execute("CREATE TABLE news (n)")
            mine.push()
            plain.execute("CREATE TABLE news (n)")
            yours.pull()
            assert state(yours) == state(plain)
        yours.push()
        assert yours.changes().empty
        mine.pull()
        assert state(mine) == state(plain)
    with tsn.connect(tmp_path / "fresh", url) as fresh:
        assert state(fresh) == state(plain)


@pytest.mark.parametrize("name", [name for name in CHANGES if name != AT_THE_PUSH])
def test_what_sqlite_stored_is_changed_or_refused(server, replica, name):
    """Refused when it is made where the server cannot do it; nothing of it stays, and the rest arrives."""
    db, plain = replica("mine"), plain_sqlite(isolation_level=None)
    for sql in (*SCHEMA, *(() if server.name == "tursodb" and name in REFUSED else changes_of(name))):
        plain.execute(sql)
    if server.name == "tursodb" and name in REFUSED:
        before = state(db)
        db.execute("BEGIN")
        with pytest.raises(tsn.UsageError, match=r"the remote cannot do it so: .*capital letters") as caught:
            run(db, *changes_of(name))
        db.execute("ROLLBACK")
        assert caught.value.hint
        assert state(db) == before
    else:
        run(db, *changes_of(name))
    db.push()
    assert db.changes().empty
    db.pull()
    assert state(db) == state(replica("fresh")) == state(plain)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_where_nobody_knows_the_chain_asks(server, replica: Callable[..., tsn.Connection], way: Way, name):
    """Made while the remote does not answer: refused at the push, and the remote is as it was."""
    db = replica("mine")
    before = state(db)
    for skip in range(20):
        way.next("/v2/pipeline", lost_before, skip=skip)
    for sql in changes_of(name):
        db.execute(sql)
    way.faults.clear()
    if server.name == "tursodb":
        with pytest.raises(tsn.ConflictError, match=r"the remote would (keep|have another definition)"):
            db.push()
        assert state(replica("fresh")) == before
        for number in sorted(set(db.changes()["transaction"]), reverse=True):
            db.skip(int(number))
    db.push()
    db.pull()
    assert state(replica("yours")) == state(db)
    assert (state(db) == before) == (server.name == "tursodb")


def test_an_exported_file_has_the_names_of_its_definitions(remote_server, tmp_path):
    """Plain SQLite drops a table of it, and counts on, which it looks for as they are defined."""
    with tsn.connect(tmp_path / "mine", remote_server().url, isolation_level=None) as mine:
        run(mine, *SCHEMA)
        mine.push()
        mine.pull()
        mine.export(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db", isolation_level=None)) as copy:
        run(copy, *CHANGES["keys"], "DROP TRIGGER note", "DROP TABLE other")
        assert copy.execute("SELECT max(id) FROM User").fetchall() == [(3,)]
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert "other" not in [name for _, name, *_ in names(copy)]

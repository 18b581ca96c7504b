"""Triggers: what was committed here comes out on the remote as if it had been made there, once.

Each row of the table is a schema and statements. They run on plain SQLite and on a replica, which pushes once
at the end, or after each; the remote, the replica after a pull, and a new replica then equal plain SQLite.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import apsw
import pytest
from databases import make_database, plain_sqlite
from trigger_members import FULL_TEXT, MEMBERS

import turso_sync_nb as tsn

T = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b UNIQUE)",
    "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)",
)
LOG = (*T, "CREATE TABLE log (n INTEGER PRIMARY KEY, m)")
AFTER = (
    *LOG,
    "CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES ('i' || new.id); END",
    "CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO log (m) VALUES ('u' || old.id || new.a); END",
    "CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
)
BEFORE = (
    *LOG,
    "CREATE TRIGGER bi BEFORE INSERT ON t BEGIN INSERT INTO log (m) VALUES ('bi' || new.a); END",
    "CREATE TRIGGER bu BEFORE UPDATE ON t BEGIN INSERT INTO log (m) VALUES ('bu' || old.id || new.a); END",
    "CREATE TRIGGER bd BEFORE DELETE ON t BEGIN INSERT INTO log (m) VALUES ('bd' || old.id); END",
)
EVERY_FORM = (
    "INSERT OR REPLACE INTO t VALUES (1, 'r', 2)",
    "REPLACE INTO t VALUES (7, 'q', 3)",
    "INSERT INTO t VALUES (2, 'two', 2000), (3, 'three', 3000)",
    "UPDATE OR REPLACE t SET b = 2000 WHERE id = 7",
    "INSERT INTO t VALUES (2, 'again', 2001)",
    "INSERT INTO t (a, b) VALUES ('n', 10)",
    "INSERT OR IGNORE INTO t VALUES (1, 'ign', 99)",
    "INSERT OR IGNORE INTO t VALUES (70, 'ign', 10), (71, 'in', 71)",
    "UPDATE t SET a = a",
    "UPDATE t SET a = 'w', b = b WHERE id = 2",
    "UPDATE OR IGNORE t SET b = 3 WHERE id = 1",
    "INSERT INTO t VALUES (1, 'up', 1) ON CONFLICT (id) DO UPDATE SET a = excluded.a",
    "INSERT INTO t VALUES (1, 'up', 1) ON CONFLICT (id) DO NOTHING",
    "DELETE FROM t WHERE id = 2",
    "DELETE FROM t WHERE id = 12345",
    "UPDATE t SET id = id + 100 WHERE id = 3",
    "DELETE FROM t",
)
TOTAL = (
    "CREATE TABLE acc (id INTEGER PRIMARY KEY, total)",
    "INSERT INTO acc VALUES (1, 0)",
    "CREATE TABLE p (id INTEGER PRIMARY KEY, acc, amt)",
    "CREATE TRIGGER pi AFTER INSERT ON p BEGIN UPDATE acc SET total = total + new.amt WHERE id = 1; END",
    "CREATE TRIGGER pd AFTER DELETE ON p BEGIN UPDATE acc SET total = total - old.amt WHERE id = 1; END",
)
CASES = {
    "every form, AFTER": (AFTER, EVERY_FORM),
    "every form, BEFORE": (BEFORE, EVERY_FORM),
    "every form, both": ((*AFTER, *BEFORE[3:]), EVERY_FORM),
    "reject and log": (
        (
            *LOG,
            (
                "CREATE TRIGGER g BEFORE INSERT ON t WHEN new.a = 'no' BEGIN INSERT INTO log (m) VALUES (1); "
                "SELECT RAISE(IGNORE); END"
            ),
            (
                "CREATE TRIGGER h BEFORE UPDATE ON t WHEN new.a = 'no' BEGIN INSERT INTO log (m) VALUES (2); "
                "SELECT RAISE(IGNORE); END"
            ),
        ),
        (
            "INSERT INTO t VALUES (20, 'no', 20), (21, 'yes', 21), (22, 'no', 22)",
            "UPDATE t SET a = CASE WHEN id = 1 THEN 'no' ELSE 'fine' END",
        ),
    ),
    "soft delete": (
        (
            *T,
            (
                "CREATE TRIGGER g BEFORE DELETE ON t BEGIN UPDATE t SET a = 'deleted' WHERE id = old.id; "
                "SELECT RAISE(IGNORE); END"
            ),
        ),
        ("DELETE FROM t WHERE id < 3", "DELETE FROM t", "UPDATE t SET a = 'back' WHERE id = 1"),
    ),
    "de-duplication": (
        (
            "CREATE TABLE n (id INTEGER PRIMARY KEY, t)",
            "CREATE TRIGGER s BEFORE INSERT ON n BEGIN DELETE FROM n WHERE t = new.t; END",
        ),
        (
            "INSERT INTO n (t) VALUES ('A')",
            "INSERT INTO n (t) VALUES ('A')",
            "INSERT INTO n (t) VALUES ('B'), ('A')",
        ),
    ),
    "a slug of the title": (
        (
            "CREATE TABLE n (id INTEGER PRIMARY KEY, t, slug)",
            (
                "CREATE TRIGGER s AFTER INSERT ON n WHEN new.slug IS NULL BEGIN "
                "UPDATE n SET slug = lower(new.t) WHERE id = new.id; END"
            ),
        ),
        (
            "INSERT INTO n (t) VALUES ('AA')",
            "UPDATE n SET slug = slug",
            "UPDATE n SET slug = slug || 'x'",
            "DELETE FROM n WHERE id = 1",
            "INSERT INTO n (id, t) VALUES (1, 'CC')",
        ),
    ),
    "totals": (
        TOTAL,
        (
            "INSERT INTO p VALUES (1, 1, 10), (2, 1, 5)",
            "DELETE FROM p WHERE id = 2",
            "UPDATE p SET acc = acc",
        ),
    ),
    "counters by upsert": (
        (
            "CREATE TABLE cnt (k TEXT PRIMARY KEY, n)",
            "CREATE TABLE e (id INTEGER PRIMARY KEY, k)",
            (
                "CREATE TRIGGER s AFTER INSERT ON e BEGIN "
                "INSERT INTO cnt VALUES (new.k, 1) ON CONFLICT (k) DO UPDATE SET n = n + 1; END"
            ),
        ),
        (
            "INSERT INTO e (k) VALUES ('a'), ('b'), ('a')",
            "INSERT INTO e (k) SELECT k FROM e",
            "DELETE FROM cnt WHERE k = 'b'",
        ),
    ),
    "files of a replaced book": (
        (
            "CREATE TABLE books (id INTEGER PRIMARY KEY, title, isbn UNIQUE)",
            "CREATE TABLE files (id INTEGER PRIMARY KEY, book, format)",
            "CREATE TRIGGER g AFTER DELETE ON books BEGIN DELETE FROM files WHERE book = old.id; END",
            "INSERT INTO books VALUES (1, 'Old', 11), (2, 'Other', 12)",
            "INSERT INTO files VALUES (1, 1, 'EPUB'), (2, 1, 'PDF'), (3, 2, 'TXT')",
        ),
        (
            "INSERT OR REPLACE INTO books VALUES (1, 'New', 11)",
            "UPDATE OR REPLACE books SET isbn = 11 WHERE id = 2",
            "DELETE FROM books WHERE id = 2",
        ),
    ),
    "UPDATE OF an equal column": (
        (
            *LOG,
            "CREATE TRIGGER g AFTER UPDATE OF a ON t BEGIN INSERT INTO log (m) VALUES ('a' || new.id); END",
        ),
        (
            "UPDATE t SET a = a, b = b + 100 WHERE id = 1",
            "UPDATE t SET b = b + 100 WHERE id = 1",
            "UPDATE t SET a = 'x' WHERE id = 1",
            "UPDATE t SET a = a",
            "INSERT INTO t VALUES (1, 0, 0) ON CONFLICT (id) DO UPDATE SET a = t.a, b = 900",
            "UPDATE t SET (a, b) = (SELECT a, b + 5000)",
        ),
    ),
    "the order of single updates": (
        (
            *T,
            "CREATE TABLE last (k INTEGER PRIMARY KEY, v)",
            "INSERT INTO last VALUES (1, NULL)",
            "CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE last SET v = new.id; END",
        ),
        tuple(f"UPDATE t SET a = 1 WHERE id = {at}" for at in (3, 1, 2)),
    ),
    "rows without a key": (
        (
            "CREATE TABLE k (a, b)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER g AFTER UPDATE ON k BEGIN INSERT INTO log (m) VALUES (old.a || new.a); END",
            "INSERT INTO k VALUES (1, 1), (1, 1), (2, NULL)",
        ),
        (
            "UPDATE k SET b = 5 WHERE rowid = 2",
            "UPDATE k SET a = a + 1",
            "UPDATE k SET a = a",
            "DELETE FROM k WHERE b IS NULL",
        ),
    ),
    "statements that fail after their triggers did something": (
        (*BEFORE, "INSERT INTO t VALUES (50, 'taken', 50)"),
        (
            "INSERT INTO t VALUES (60, 'fine', 60), (61, 'not', 50)",
            "UPDATE t SET b = 50",
            "INSERT OR FAIL INTO t VALUES (70, 'fine', 70), (71, 'not', 50), (72, 'not tried', 72)",
            "DELETE FROM t WHERE id = 1",
        ),
    ),
    "triggers that call each other": (
        (
            "CREATE TABLE a (id INTEGER PRIMARY KEY, v)",
            "CREATE TABLE b (id INTEGER PRIMARY KEY, v)",
            "CREATE TRIGGER x AFTER INSERT ON a BEGIN INSERT INTO b (v) VALUES (new.v); END",
            "CREATE TRIGGER y AFTER INSERT ON b BEGIN UPDATE a SET v = v || '!' WHERE id = new.id; END",
        ),
        (
            "INSERT INTO a (v) VALUES ('p'), ('q')",
            "INSERT INTO b (v) VALUES ('direct')",
            "UPDATE a SET v = 'plain'",
        ),
    ),
}


def form(sql: str) -> str:
    """Return a definition without what servers write anew: space, quotes and case."""
    plain = sql.lower().replace('"', "").replace("if not exists ", "").replace("insert or replace", "replace")
    return re.sub(r"\s+", "", plain)


def state(ask) -> dict[tuple[str, str], object]:
    """Return all rows, and how views and triggers are defined."""
    objects = ask("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {
        (kind, name): sorted(map(tuple, ask(f'SELECT * FROM "{name}"')), key=repr)
        if kind == "table"
        else form(sql)
        for kind, name, sql in objects
        if not name.startswith(("turso_sync", "sqlite_", "__turso", "fts_"))
    }


@pytest.mark.parametrize("together", [True, False], ids=["one push", "push each"])
@pytest.mark.parametrize("name", CASES)
def test_the_remote_is_as_if_it_had_been_made_there(remote_server, tmp_path, name, together):
    """Rows and schema are those of plain SQLite: on the remote, here, and on a new replica."""
    as_on_plain_sqlite(remote_server, tmp_path, *CASES[name], together=together)


@pytest.mark.parametrize("name", MEMBERS)
def test_programs_with_triggers_come_out_as_on_plain_sqlite(remote_server, tmp_path, name):
    """Rows and schema are those of plain SQLite for what programs have; all is pushed at once."""
    as_on_plain_sqlite(remote_server, tmp_path, *MEMBERS[name], together=True)


@pytest.mark.parametrize(
    "name",
    [
        "a conflict clause of the table, and one of its trigger",
        "statements whose conflict clause is the triggers' too",
        "keys of SQLite's choice among ignored rows",
        "rows in the way that BEFORE triggers see, or move",
        "a BEFORE trigger that changes the row",
    ],
)
def test_conflict_clauses_are_what_they_were_after_a_pull(remote_server, tmp_path, name):
    """What tables and triggers say about rows in the way holds when news arrive before the push."""
    as_on_plain_sqlite(remote_server, tmp_path, *MEMBERS[name], together=True, pulled=True)


def test_a_full_text_index_kept_by_triggers(embedded, tmp_path):
    """The index of external content finds on the remote what it finds here, and is sound there."""
    as_on_plain_sqlite(embedded, tmp_path, *FULL_TEXT, together=True)
    with closing(apsw.Connection(str(tmp_path / "server-1" / "served.db"))) as far:
        found = far.execute("SELECT rowid FROM fts WHERE fts MATCH 'alpha' ORDER BY 1").fetchall()
        assert found == [(2,), (5,), (104,)]
        far.execute("INSERT INTO fts (fts) VALUES ('integrity-check')")


def served_and_plain(start_server, tmp_path, schema) -> tuple[str, sqlite3.Connection]:
    """Return the address of a server whose database has ``schema``, and plain SQLite that has it too."""
    plain = plain_sqlite(isolation_level=None)
    for sql in schema:
        plain.execute(sql)
    return start_server(make_database(tmp_path / "source.db", schema)).url, plain


def as_on_plain_sqlite(start_server, tmp_path, schema, statements, *, together, pulled=False) -> None:
    """Run ``statements`` on plain SQLite and on a replica; compare that with the remote and all replicas.

    ``pulled``: news arrive before the push.
    """
    url, plain = served_and_plain(start_server, tmp_path, schema)
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        for sql in statements:
            fails = [_fails(each, sql) for each in (plain, mine)]
            assert fails[0] == fails[1], sql
            if not together:
                mine.push()
        if pulled:
            plain.execute("CREATE TABLE theirs (x)")
            with closing(tsn.connect(tmp_path / "news", url)) as news:
                news.execute("CREATE TABLE theirs (x)")
                news.push()
            mine.pull()
            assert state(lambda ask: mine.execute(ask).fetchall()) == state(
                lambda ask: plain.execute(ask).fetchall()
            )
        mine.push()
        wanted = state(lambda ask: plain.execute(ask).fetchall())
        assert mine.changes().empty
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert state(lambda ask: fresh.execute(ask).fetchall()) == wanted
        mine.pull()
        assert state(lambda ask: mine.execute(ask).fetchall()) == wanted
        assert mine.conflicts().empty


def _fails(place, sql) -> bool:
    """Run a statement; return whether a constraint refused it."""
    try:
        place.execute(sql)
    except (sqlite3.IntegrityError, tsn.IntegrityError):
        return True
    return False


MOMENT = (
    "CREATE TABLE actor (id INTEGER PRIMARY KEY, name, at)",
    "INSERT INTO actor VALUES (1, 'ANN', '2006'), (2, 'BEN', '2006')",
    (
        "CREATE TRIGGER i AFTER INSERT ON actor BEGIN "
        "UPDATE actor SET at = strftime('%J', 'now') WHERE id = new.id; END"
    ),
    (
        "CREATE TRIGGER u AFTER UPDATE OF name ON actor BEGIN "
        "UPDATE actor SET at = strftime('%J', 'now') WHERE id = new.id; END"
    ),
)
"""A stamp that no run of a trigger makes twice; chance is carried."""

STAMPED = {
    "inserted, then replaced": (
        "INSERT INTO actor (id, name) VALUES (3, 'ED')",
        "REPLACE INTO actor (id, name) VALUES (3, 'EDDIE')",
    ),
    "inserted under a key of SQLite's, renamed, then deleted": (
        "INSERT INTO actor (name) VALUES ('ED')",
        "ALTER TABLE actor RENAME COLUMN at TO moment",
        "DELETE FROM actor WHERE name = 'ED'",
    ),
    "inserted, then deleted": (
        "INSERT INTO actor (id, name) VALUES (3, 'ED')",
        "DELETE FROM actor WHERE id = 3",
    ),
    "changed, then deleted": ("UPDATE actor SET name = 'X' WHERE id = 1", "DELETE FROM actor WHERE id = 1"),
    "changed twice": ("UPDATE actor SET name = 'X' WHERE id = 1", "UPDATE actor SET name = 'Y' WHERE id = 1"),
    "inserted, then changed": (
        "INSERT INTO actor (id, name) VALUES (3, 'ED')",
        "UPDATE actor SET name = 'EDDIE' WHERE id = 3",
    ),
}


@pytest.mark.parametrize("meanwhile", ["", "a pull", "pulls in between", "pushes"])
@pytest.mark.parametrize("name", STAMPED)
def test_what_a_trigger_made_is_no_guard(remote_server, tmp_path, name, meanwhile):
    """A column that a trigger fills with the time is no conflict; both sides are equal."""
    url, plain = served_and_plain(remote_server, tmp_path, MOMENT)
    for sql in STAMPED[name]:
        plain.execute(sql)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for sql in STAMPED[name]:
            mine.execute(sql)
            if meanwhile == "pushes":
                mine.push()
            if meanwhile == "pulls in between":
                yours.execute("INSERT INTO actor (id, name) VALUES (50, 'NEW')")
                yours.execute("DELETE FROM actor WHERE id = 50")
                yours.push()
                mine.pull()
        if meanwhile == "a pull":
            yours.execute("INSERT INTO actor (id, name) VALUES (50, 'NEW')")
            yours.execute("DELETE FROM actor WHERE id = 50")
            yours.push()
            mine.pull()
        mine.push()
        mine.pull()
        yours.pull()
        names = "SELECT id, name FROM actor ORDER BY id"
        assert mine.execute(names).fetchall() == plain.execute(names).fetchall()
        everything = "SELECT * FROM actor ORDER BY id"
        assert mine.execute(everything).fetchall() == yours.execute(everything).fetchall()
        assert mine.changes().empty
        assert mine.conflicts().empty


REJECTING = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
    "CREATE TABLE tried (k INTEGER PRIMARY KEY, n)",
    "INSERT INTO t VALUES (1, 'x')",
    "INSERT INTO tried VALUES (1, 0)",
    "CREATE TRIGGER b BEFORE INSERT ON t BEGIN UPDATE tried SET n = n + 1; END",
    "CREATE TRIGGER u AFTER UPDATE ON t BEGIN UPDATE tried SET n = n + 10; END",
    "CREATE TRIGGER d BEFORE DELETE ON t BEGIN UPDATE tried SET n = n + 100; SELECT RAISE(IGNORE); END",
)


def test_what_rows_without_an_outcome_did_merges(remote_server, tmp_path):
    """Two replicas try rows that change nothing; what triggers count of both adds up, without a conflict."""
    url = remote_server(make_database(tmp_path / "source.db", REJECTING)).url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for db in (mine, yours):
            db.execute("INSERT OR IGNORE INTO t VALUES (7, 'x')")
            db.execute("UPDATE t SET a = a")
            db.execute("DELETE FROM t WHERE id = 1")
        mine.push()
        with closing(tsn.connect(tmp_path / "news", url, isolation_level=None)) as news:
            news.execute("UPDATE t SET id = id")
            news.push()
        yours.pull()  # tried again on the newer state
        yours.push()
        mine.pull()
        yours.pull()
        for db in (mine, yours):
            assert db.execute("SELECT * FROM t").fetchall() == [(1, "x")]
            assert db.execute("SELECT n FROM tried").fetchall() == [(1 + 10 + 100 + 10 + 1 + 10 + 100,)]
            assert db.changes().empty
            assert db.conflicts().empty


def test_an_insert_that_the_remote_passes_over_is_told(remote_server, tmp_path):
    """A row that a trigger of the remote ignores stays in changes(), refused, with the reason."""
    url = remote_server(make_database(tmp_path / "source.db", T[:1])).url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        mine.execute("INSERT INTO t VALUES (5, 'ours', 5)")
        yours.execute("CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END")
        yours.push()
        with pytest.raises(tsn.ConflictError, match="passed over"):
            mine.push()
        (waiting,) = mine.changes().to_dict("records")
        assert (waiting["table"], waiting["state"]) == ("t", "refused")
        assert "a trigger of the remote passed over" in waiting["reason"]


def test_recursive_triggers_are_refused(remote_server, tmp_path):
    """Where main has triggers: the remote's do not call themselves."""
    url = remote_server(make_database(tmp_path / "source.db", AFTER)).url
    with closing(tsn.connect(tmp_path / "mine", url)) as mine:
        with pytest.raises(tsn.UsageError, match="recursive_triggers: refused"):
            mine.execute("PRAGMA recursive_triggers = ON")
        assert mine.execute("PRAGMA recursive_triggers").fetchone() == (0,)

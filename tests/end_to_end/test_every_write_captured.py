"""Every committed change is captured, or its transaction is rolled back with an error that names it."""

from __future__ import annotations

import re
import threading
from contextlib import closing

import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn
from turso_sync_nb.changes import capture as capturing

MARK = "\ufeff"

HIDDEN = [
    f"{MARK}INSERT INTO t VALUES (9, 'nine', 90)",
    f"/* why */{MARK} INSERT INTO t VALUES (9, 'nine', 90)",
    f"{MARK}-- why\nUPDATE t SET a = 'x' WHERE id = 1",
    f"{MARK}DELETE FROM t WHERE id = 1",
    f"{MARK}REPLACE INTO t VALUES (1, 'r', 11)",
    ";;; /* a */ ; UPDATE t SET a = 'y'",
    "WITH q AS (SELECT 1 AS o) UPDATE t SET a = 'w' WHERE id IN (SELECT o FROM q)",
    "INSERT INTO t VALUES (1, 'u', 1) ON CONFLICT (id) DO UPDATE SET a = excluded.a RETURNING id",
    "UPDATE t SET a = v.a FROM (SELECT 2 AS id, 'from' AS a) AS v WHERE v.id = t.id",
    f"{MARK}CREATE TABLE made (x)",
    f"/**/{MARK}ALTER TABLE t ADD COLUMN more",
]


@pytest.fixture
def own(embedded, source, tmp_path):
    """Two replicas of an embedded server, which has views and FTS."""
    url = embedded(source).url
    one, other = (tsn.connect(tmp_path / name, url) for name in ("mine", "yours"))
    with closing(one) as mine, closing(other) as yours:
        yield mine, yours


def state(ask) -> list[object]:
    """Return tables and rows."""
    names = sorted(
        name for (name,) in ask("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not name.startswith(("turso_sync", "sqlite_", "__turso", "news"))
    )  # fmt: skip
    return [(name, sorted(map(tuple, ask(f'SELECT * FROM "{name}"')), key=repr)) for name in names]


@pytest.mark.parametrize("sql", HIDDEN)
def test_no_form_of_text_hides_a_write(both_kinds, sql):
    """Marks, comments and clauses before or after the verb: what SQLite did here arrives there."""
    mine, yours = both_kinds
    plain = plain_sqlite(isolation_level=None)
    for name, rows in state(lambda ask: mine.execute(ask).fetchall()):
        (text,) = mine.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        plain.execute(text)
        plain.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    plain.execute(sql.replace(MARK, " ")).fetchall()
    mine.execute(sql).fetchall()
    mine.commit()
    mine.push()
    yours.pull()
    wanted = state(lambda ask: plain.execute(ask).fetchall())
    assert state(lambda ask: mine.execute(ask).fetchall()) == wanted
    assert state(lambda ask: yours.execute(ask).fetchall()) == wanted


def made_by_a_rollback(db: tsn.Connection) -> None:
    """Let a TEMP table take the text's place, and go with a rollback that an error makes."""
    db.execute("BEGIN")
    db.execute("CREATE TEMP TABLE t (id, a, b)")
    db.execute("INSERT INTO t VALUES (9, 'nine', 90)")
    with pytest.raises(tsn.IntegrityError):
        db.execute("INSERT OR ROLLBACK INTO main.t VALUES (1, 'dup', 1)")


def made_by_a_drop(db: tsn.Connection) -> None:
    """Let a TEMP table take the text's place, and drop it."""
    db.execute("CREATE TEMP TABLE t (id, a, b)")
    db.execute("INSERT INTO t VALUES (9, 'nine', 90)")
    db.execute("DROP TABLE temp.t")


def made_by_a_sibling(db: tsn.Connection) -> None:
    """Have the table renamed away and back by another connection, and a trigger with it."""
    with closing(db.sibling()) as other:
        other.execute("ALTER TABLE t RENAME TO away")
        with pytest.raises(tsn.OperationalError):
            db.execute("INSERT INTO t VALUES (9, 'nine', 90)")
        other.execute("ALTER TABLE away RENAME TO t")


@pytest.mark.parametrize("change", [made_by_a_rollback, made_by_a_drop, made_by_a_sibling])
def test_facts_of_a_text_go_with_the_schema(both_kinds, change):
    """The same text after the schema, TEMP objects or a rollback changed what it means is captured."""
    mine, yours = both_kinds
    mine.isolation_level = None
    change(mine)
    mine.execute("INSERT INTO t VALUES (9, 'nine', 90)")
    mine.push()
    yours.pull()
    assert yours.execute("SELECT a FROM t WHERE id = 9").fetchall() == [("nine",)]


VIEWS = (
    "CREATE VIEW v1 AS SELECT id, a FROM t",
    "CREATE VIEW v2 AS SELECT id, a FROM v1",
    "CREATE VIEW v3 AS SELECT id, a FROM v2",
    "CREATE TRIGGER i1 INSTEAD OF INSERT ON v1 BEGIN INSERT INTO t (id, a) VALUES (new.id, new.a); END",
    "CREATE TRIGGER i2 INSTEAD OF INSERT ON v2 BEGIN INSERT INTO v1 VALUES (new.id, new.a || '2'); END",
    "CREATE TRIGGER i3 INSTEAD OF INSERT ON v3 BEGIN INSERT INTO v2 VALUES (new.id, new.a || '3'); END",
    "CREATE TRIGGER u1 INSTEAD OF UPDATE ON v1 BEGIN UPDATE t SET a = new.a WHERE id = old.id; END",
    "CREATE TRIGGER u2 INSTEAD OF UPDATE ON v2 BEGIN UPDATE v1 SET a = new.a WHERE id = old.id; END",
    "CREATE TRIGGER d2 INSTEAD OF DELETE ON v2 BEGIN DELETE FROM t WHERE id = old.id; END",
)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO v1 VALUES (9, 'n')",
        "INSERT INTO v2 VALUES (9, 'n')",
        "INSERT INTO v3 VALUES (9, 'n')",
        "INSERT INTO v3 SELECT id + 10, a FROM v3",
        "UPDATE v1 SET a = 'm' WHERE id = 1",
        "UPDATE v2 SET a = 'm'",
        "DELETE FROM v2 WHERE id > 1",
    ],
)
def test_views_on_views_to_any_depth(own, sql):
    """What INSTEAD OF triggers write, however many lie on each other, arrives once."""
    mine, yours = own
    for statement in (*VIEWS, sql):
        mine.execute(statement)
    mine.commit()
    here = mine.execute("SELECT * FROM t ORDER BY id").fetchall()
    mine.push()
    yours.pull()
    assert yours.execute("SELECT * FROM t ORDER BY id").fetchall() == here
    assert mine.changes().empty


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE turso_sync_nb_mine (x)",
        "CREATE TABLE Turso_Sync_NB_x AS SELECT 1",
        'CREATE VIEW "TURSO_SYNC_NB_V" AS SELECT 1',
        "CREATE INDEX turso_sync_nb_i ON t (a)",
        "CREATE TRIGGER turso_sync_nb_g AFTER INSERT ON t BEGIN SELECT 1; END",
        "ALTER TABLE kv RENAME TO turso_sync_nb_kv",
    ],
)
def test_names_of_ours_are_refused(own, sql):
    """In any case of letters, when they are made; nothing of them is left."""
    mine, _ = own
    before = mine.execute("SELECT name FROM sqlite_schema ORDER BY 1").fetchall()
    with pytest.raises(tsn.UsageError, match="this package's own"):
        mine.execute(sql)
    mine.rollback()
    ours = [name for name in mine.execute("SELECT name FROM sqlite_schema ORDER BY 1") if name not in before]
    assert all(name.startswith("turso_sync_nb_") and "mine" not in name for (name,) in ours)
    assert mine.changes().empty


@pytest.mark.parametrize("level", ["DEFERRED", "IMMEDIATE", None])
def test_executemany_is_all_or_nothing(own, level):
    """In every isolation level, and in a transaction that was open: what was done before stays."""
    mine, _ = own
    mine.isolation_level = level
    items = [(8, "a", 80), (9, "b", 90), (1, "dup", 1)]
    with pytest.raises(tsn.IntegrityError):
        mine.executemany("INSERT INTO t VALUES (?, ?, ?)", items)
    mine.commit()
    assert mine.execute("SELECT max(id) FROM t").fetchone() == (3,)
    mine.execute("BEGIN")
    mine.execute("UPDATE t SET a = 'kept' WHERE id = 1")
    with pytest.raises(tsn.IntegrityError):
        mine.executemany("INSERT OR FAIL INTO t VALUES (?, ?, ?)", items)
    mine.execute("UPDATE t SET a = 'too' WHERE id = 2")
    mine.commit()
    assert mine.changes()["operation"].tolist() == ["update", "update"]


def test_a_second_writer_waits(own):
    """A transaction that a statement opens waits for another connection's, and then writes."""
    mine, _ = own
    with closing(mine.sibling()) as other:
        other.execute("UPDATE t SET a = 'first' WHERE id = 1")
        released = threading.Event()

        def write() -> None:
            with closing(mine.sibling()) as third:
                third.execute("SELECT count(*) FROM t").fetchall()
                third.execute("UPDATE t SET a = 'second' WHERE id = 2")
                third.commit()
                released.set()

        thread = threading.Thread(target=write)
        thread.start()
        assert not released.wait(0.2)
        other.commit()
        assert released.wait(5)
        thread.join()
    assert mine.execute("SELECT a FROM t WHERE id < 3").fetchall() == [("first",), ("second",)]


# Accounting: what would notice a change that capture missed


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (9, 'n', 9)",
        "UPDATE t SET a = 'x'",
        "DELETE FROM t",
        "REPLACE INTO t VALUES (1, 'r', 1)",
    ],
)
def test_a_table_without_capture_is_noticed(own, sql, monkeypatch):
    """Where no trigger stands: the count of the tape's rows is short, and the transaction is rolled back."""
    monkeypatch.setattr(capturing, "plain_triggers", lambda _shape: iter(()))
    mine, _ = own
    before = mine.execute("SELECT * FROM t").fetchall()
    with pytest.raises(tsn.NotSupportedError, match="not every change of it was captured"):
        mine.execute(sql)
    assert not mine.in_transaction
    assert mine.execute("SELECT * FROM t").fetchall() == before
    with pytest.raises(tsn.NotSupportedError, match="not every change"):
        mine.executemany("INSERT INTO t VALUES (?, 'n', ?)", [(9, 91), (10, 92)])
    assert mine.execute("SELECT * FROM t").fetchall() == before


@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
def test_an_operation_without_capture_is_noticed(own, operation, monkeypatch):
    """Where the trigger of one operation is missing: that one is rolled back, the others are captured."""
    made = capturing.plain_triggers
    missing = f"_{operation} AFTER"
    monkeypatch.setattr(
        capturing, "plain_triggers", lambda shape: (one for one in made(shape) if missing not in one)
    )
    mine, _ = own
    for sql in (
        "INSERT INTO t VALUES (9, 'n', 9)",
        "INSERT INTO t (a) VALUES ('key assigned by SQLite'), ('and another')",
        "INSERT INTO t (id, a) VALUES (NULL, 'one assigned'), (77, 'one not')",
        "UPDATE t SET a = 'x' WHERE id = 1",
        "DELETE FROM t",
    ):
        if sql.lower().startswith(operation):
            with pytest.raises(tsn.NotSupportedError, match="not every change of it was captured"):
                mine.execute(sql)
        else:
            mine.execute(sql)
            mine.commit()


def followed(db: tsn.Connection) -> set[str]:
    """Return the tables that have triggers of ours."""
    rows = db.execute("SELECT tbl_name FROM temp.sqlite_schema WHERE type = 'trigger'").fetchall()
    return {name for (name,) in rows}


FAMILY = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE)",
    "CREATE TABLE grandchild (id INTEGER PRIMARY KEY, c references child on delete cascade)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, what)",
    "CREATE TABLE aloof (id INTEGER PRIMARY KEY)",
)


@pytest.mark.parametrize(
    ("trigger", "sql", "expected"),
    [
        ("", "INSERT INTO aloof VALUES (1)", {"aloof"}),
        ("", "SELECT * FROM aloof", set()),
        ("", "DELETE FROM parent", {"parent", "child", "grandchild"}),
        (
            "CREATE TRIGGER g AFTER INSERT ON aloof BEGIN INSERT INTO log (what) VALUES (new.id); END",
            "INSERT INTO aloof VALUES (1)",
            {"aloof", "log"},
        ),
    ],
)
def test_triggers_are_made_for_what_a_statement_writes(own, trigger, sql, expected):
    """The tables that a statement, its triggers or its foreign keys write are followed, and no others."""
    mine, _ = own
    mine.execute("PRAGMA foreign_keys = ON")
    mine.execute("PRAGMA case_sensitive_like = ON")
    for text in (*FAMILY, trigger or "DROP TABLE IF EXISTS absent"):
        mine.execute(text)
    mine.commit()
    mine.execute("CREATE INDEX i ON log (what)")  # a change of the schema has every trigger made anew
    mine.commit()
    assert not followed(mine)
    mine.execute(sql)
    assert followed(mine) == expected


def test_a_table_that_is_not_followed_is_noticed(own, monkeypatch):
    """Where triggers stand: an event on a table that has no trigger of ours rolls the transaction back."""
    mine, _ = own
    mine.execute("CREATE TRIGGER g AFTER INSERT ON kv BEGIN DELETE FROM t; END")
    mine.commit()
    before = mine.execute("SELECT * FROM t").fetchall()
    monkeypatch.setattr(capturing.Capture, "_follow", lambda *_: None)
    with pytest.raises(tsn.NotSupportedError, match="not every change of it was captured"):
        mine.execute("UPDATE t SET a = 'x'")
    assert mine.execute("SELECT * FROM t").fetchall() == before


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (9, 'n', 9)", "UPDATE t SET a = 'x'", "DELETE FROM t"])
def test_an_event_without_a_trigger_is_noticed(own, sql, monkeypatch):
    """Where triggers stand: an event that no trigger of ours asked about rolls the transaction back."""
    mine, _ = own
    mine.execute("CREATE TRIGGER g AFTER INSERT ON kv BEGIN DELETE FROM t; END")
    mine.commit()
    before = mine.execute("SELECT * FROM t").fetchall()
    monkeypatch.setattr(capturing, "nested_triggers", lambda *_: iter(()))
    mine.execute("CREATE INDEX again ON kv (v)")
    mine.commit()
    with pytest.raises(tsn.NotSupportedError, match="not every change of it was captured"):
        mine.execute(sql)
    assert mine.execute("SELECT * FROM t").fetchall() == before


def test_a_statement_taken_for_reading_is_noticed(own, monkeypatch):
    """Rows that change under a text of which no write is known roll its transaction back."""
    mine, _ = own
    monkeypatch.setattr("turso_sync_nb.connection.facts.WRITES", frozenset())
    before = mine.execute("SELECT * FROM t").fetchall()
    with pytest.raises(tsn.NotSupportedError, match="made changes that were not captured"):
        mine.execute("DELETE FROM t")
    assert mine.execute("SELECT * FROM t").fetchall() == before


@pytest.mark.parametrize(
    "trigger",
    [
        "",
        "CREATE TRIGGER g AFTER INSERT ON kv BEGIN DELETE FROM bare; END",
        "CREATE TRIGGER g AFTER INSERT ON kv BEGIN DELETE FROM t; END",
    ],
)
def test_rows_that_stay_after_a_failure_are_accounted_for(own, trigger, monkeypatch):
    """OR FAIL leaves the rows before the one that failed: without capture these are rolled back too."""
    mine, yours = own
    mine.execute(trigger or "CREATE TABLE beside (x)")
    failing = "INSERT OR FAIL INTO t VALUES (9, 'kept', 9), (1, 'dup', 1), (10, 'never', 10)"
    for _ in range(2):
        with pytest.raises(tsn.IntegrityError):
            mine.execute(failing)
        assert mine.execute("DELETE FROM t WHERE id = 9").rowcount == 1
    with pytest.raises(tsn.IntegrityError):
        mine.execute(failing)
    with pytest.raises(tsn.ProgrammingError):
        mine.execute("INSERT INTO t VALUES (?, ?, ?)", (1,))
    mine.commit()
    mine.push()
    yours.pull()
    assert yours.execute("SELECT a FROM t WHERE id > 8").fetchall() == [("kept",)]
    for made in ("plain_triggers", "nested_triggers"):
        monkeypatch.setattr(capturing, made, lambda *_: iter(()))
    mine.execute("CREATE INDEX again ON t (b)")
    mine.commit()
    with pytest.raises(tsn.NotSupportedError, match=r"INSERT OR FAIL .* not every change"):
        mine.execute("INSERT OR FAIL INTO t VALUES (11, 'lost', 11), (1, 'dup', 1)")
    assert not mine.in_transaction
    assert mine.execute("SELECT count(*) FROM t WHERE id = 11").fetchone() == (0,)


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE made (x)", "DROP TABLE kv", "CREATE INDEX i ON t (a)", "PRAGMA user_version = 9"]
)
@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN IMMEDIATE"])
def test_a_commit_of_what_nobody_knows_is_refused(own, sql, begin, monkeypatch):
    """A statement that SQLite calls a write, of which nothing is on the tape and no row counts."""
    mine, _ = own
    schema = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'turso%' ORDER BY 1"
    before = mine.execute(schema).fetchall(), mine.execute("PRAGMA user_version").fetchone()
    monkeypatch.setattr("turso_sync_nb.connection.facts.WRITES", frozenset())
    monkeypatch.setattr("turso_sync_nb.connection.facts.PRAGMAS", ())

    def run() -> None:
        for text in filter(None, (begin, sql)):
            mine.execute(text)
        mine.commit()

    with pytest.raises(tsn.NotSupportedError, match=f"run {re.escape(sql)}: .* rolled back"):
        run()
    assert not mine.in_transaction
    assert (mine.execute(schema).fetchall(), mine.execute("PRAGMA user_version").fetchone()) == before
    monkeypatch.undo()
    mine.execute("CREATE TABLE captured (x)")
    assert mine.changes()["table"].tolist() == ["captured"]


def test_recursive_triggers_are_as_they_were_set_last(own):
    """Also when one text sets it again; OFF is refused nowhere, ON where main has triggers, each time."""
    mine, _ = own
    mine.execute("UPDATE t SET a = 'x'")
    mine.commit()
    for value in ("ON", "OFF", "ON", "OFF", "ON"):
        mine.execute(f"PRAGMA recursive_triggers = {value}")
    for text in FAMILY[:2]:
        mine.execute(text)
    for value in ("ON", "OFF", "ON", "OFF"):
        mine.execute(f"PRAGMA recursive_triggers = {value}")
        mine.execute("DELETE FROM parent")
        mine.commit()
        assert mine.execute("PRAGMA recursive_triggers").fetchone() == (int(value == "ON"),)
    mine.execute("PRAGMA recursive_triggers = ON")
    mine.execute("CREATE TRIGGER g AFTER INSERT ON kv BEGIN DELETE FROM bare; END")
    mine.execute("DELETE FROM t")
    mine.commit()
    assert mine.execute("PRAGMA recursive_triggers").fetchone() == (0,)
    for value in ("ON", "OFF", "ON", "OFF"):
        if value == "ON":
            with pytest.raises(tsn.UsageError, match="recursive_triggers: refused"):
                mine.execute("PRAGMA recursive_triggers = ON")
        else:
            mine.execute("PRAGMA recursive_triggers = OFF")
        assert mine.execute("PRAGMA recursive_triggers").fetchone() == (0,)


def test_what_ordinary_programs_do_passes_the_accounts(own):
    """FTS kept by triggers, R*Tree, CTAS, ANALYZE, PRAGMA, TEMP and attached tables raise nothing."""
    mine, yours = own
    for sql in (
        "CREATE VIRTUAL TABLE words USING fts5 (a, content = 't', content_rowid = 'id')",
        "CREATE TRIGGER wi AFTER INSERT ON t BEGIN INSERT INTO words (rowid, a) VALUES (new.id, new.a); END",
        "INSERT INTO t VALUES (7, 'seven', 70), (8, 'eight', 80)",
        "CREATE TABLE copied AS SELECT * FROM t",
        "ANALYZE",
        "PRAGMA optimize(-1)",
        "REINDEX",
        "PRAGMA user_version = 5",
        "CREATE TEMP TABLE own (x)",
        "INSERT INTO own VALUES (1)",
        "ATTACH ':memory:' AS side",
        "CREATE TABLE side.s (x)",
        "INSERT INTO side.s VALUES (1)",
        "UPDATE t SET a = a || '!'",
    ):
        mine.execute(sql)
        mine.commit()
    mine.push()
    yours.pull()
    assert yours.execute("SELECT rowid FROM words ('seven')").fetchall() == [(7,)]
    assert yours.execute("SELECT count(*) FROM copied").fetchone() == (5,)


def test_a_schema_of_the_remote_calls_no_function_of_the_users(own):
    """A view that names one is refused, unless the function was registered as innocuous."""
    mine, yours = own
    mine.create_function("leak", 1, lambda value: value, innocuous=True)
    mine.execute("CREATE VIEW spying AS SELECT leak(a) AS a FROM t")
    mine.push()
    yours.pull()
    called = []
    yours.create_function("leak", 1, lambda value: called.append(value) or value)
    with pytest.raises(tsn.OperationalError, match="unsafe use of leak"):
        yours.execute("SELECT * FROM spying").fetchall()
    assert called == []
    assert yours.execute("SELECT leak(a) FROM t").fetchall()
    yours.create_function("leak", 1, str.upper, innocuous=True)
    assert ("ONE",) in yours.execute("SELECT * FROM spying").fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "DROP INDEX IF EXISTS nowhere",
        "DROP VIEW IF EXISTS nowhere",
        "DROP TABLE IF EXISTS nowhere",
        "DROP TRIGGER IF EXISTS nowhere",
        "CREATE TABLE IF NOT EXISTS kv (x)",
    ],
)
def test_a_schema_change_that_has_nothing_to_do_is_committed(sql, replica):
    """Alone in a transaction that took the write lock it is no write that was missed."""
    db = replica("mine")
    db.execute("BEGIN IMMEDIATE")
    db.execute(sql)
    db.execute("COMMIT")
    assert db.pending_changes == 0

"""Schema changes of two replicas: they merge, are the same, or conflict; no unseen row is dropped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from random_peer import Server, contents

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

REBUILD = (
    "BEGIN",
    "CREATE TABLE new_kv (k TEXT PRIMARY KEY, v, w DEFAULT 5)",
    "INSERT INTO new_kv (k, v) SELECT k, v FROM kv",
    "DROP TABLE kv",
    "ALTER TABLE new_kv RENAME TO kv",
    "COMMIT",
)


def run(db: tsn.Connection, *statements: str) -> None:
    """Execute ``statements``, one after the other."""
    for statement in statements:
        db.execute(statement)


def schema_conflicts(db: tsn.Connection) -> list[str]:
    """Return the names in the conflicts of the kind ``schema``."""
    frame = db.conflicts()
    return [] if frame.empty else list(frame[frame["kind"] == "schema"]["table"])


def all_alike(server, *replicas: tsn.Connection) -> None:
    """Pull by each, then compare schema names and rows with the remote's."""
    far = Server(server.url)
    try:
        wanted = contents(far.run)
    finally:
        far.close()
    for one in replicas:
        one.pull()
        assert contents(lambda sql, one=one: one.execute(sql).fetchall()) == wanted


AGAIN = {
    "add after rename": ("ALTER TABLE kv RENAME COLUMN v TO old", "ALTER TABLE kv ADD COLUMN v"),
    "add after drop": ("ALTER TABLE kv DROP COLUMN v", "ALTER TABLE kv ADD COLUMN v"),
    "add after drop and create": ("DROP TABLE kv", "CREATE TABLE kv (k)", "ALTER TABLE kv ADD COLUMN v"),
    "rename after drop": ("DROP TABLE bare", "ALTER TABLE kv RENAME TO bare"),
    "rebuild": REBUILD,
    "an index again": ("CREATE INDEX i ON kv (v)", "DROP INDEX i", "CREATE UNIQUE INDEX i ON kv (v)"),
    "a comment before": ("/* why */ ALTER TABLE kv ADD COLUMN z",),
    "a reference": ("ALTER TABLE kv ADD COLUMN r REFERENCES t (id)",),
}


@pytest.mark.parametrize("work", AGAIN)
def test_names_that_come_back_arrive(server, two: tuple[tsn.Connection, tsn.Connection], work):
    """What is removed and made again in one push is on the remote as it is here."""
    mine, yours = two
    run(mine, *AGAIN[work])
    mine.push()
    assert mine.changes().empty
    all_alike(server, mine, yours)


TWO = {
    "index": ("CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (b)", "i"),
    "view": ("CREATE VIEW n AS SELECT a FROM t", "CREATE VIEW n AS SELECT b FROM t", "n"),
    "table": ("CREATE TABLE n (x)", "CREATE TABLE n (x UNIQUE)", "n"),
    "table and view": ("CREATE TABLE n (x)", "CREATE VIEW n AS SELECT 1 AS x", "n"),
    "default": ("ALTER TABLE t ADD COLUMN n DEFAULT 1", "ALTER TABLE t ADD COLUMN n DEFAULT 2", "t"),
    "type": ("ALTER TABLE t ADD COLUMN n TEXT", "ALTER TABLE t ADD COLUMN n INTEGER", "t"),
    "trigger": (
        "CREATE TRIGGER n AFTER INSERT ON t BEGIN UPDATE t SET a = 'x' WHERE id = new.id; END",
        "CREATE TRIGGER n AFTER INSERT ON t BEGIN UPDATE t SET a = 'y' WHERE id = new.id; END",
        "n",
    ),
    "rename": ("ALTER TABLE t RENAME COLUMN a TO n", "ALTER TABLE t RENAME COLUMN a TO m", "t"),
}


@pytest.fixture
def clashing(two: tuple[tsn.Connection, tsn.Connection], case: str) -> tuple[tsn.Connection, tsn.Connection]:
    """Two replicas that defined one name each in its way; that of the first was pushed."""
    mine, yours = two
    first, second, _ = TWO[case]
    run(mine, first)
    run(yours, second)
    mine.push()
    return two


@pytest.mark.parametrize("case", TWO)
def test_two_definitions_of_one_name_conflict(server, clashing, case):
    """The later one is set aside with its reason, listed as SQL, and can be given up."""
    mine, yours = clashing
    *_, name = TWO[case]
    yours.push()
    assert schema_conflicts(yours) == [name]
    conflict = yours.conflicts().iloc[-1]
    assert isinstance(conflict["local"], str)
    assert list(yours.changes()["state"]) == ["aside"]
    all_alike(server, mine, yours)
    yours.skip(int(yours.changes()["transaction"].iloc[0]))
    all_alike(server, mine, yours)


def without_quotes(sql):
    """Return SQL without what servers write in their own way."""
    return re.sub(r"[\s\"`]+", "", sql).casefold().replace("ifnotexists", "")


WITHOUT_ROWS = ("index", "view", "trigger")


@pytest.mark.parametrize("case", TWO)
def test_a_side_is_chosen_where_both_defined_a_name(server, clashing, case):
    """Ours takes the place of theirs where that holds no rows; elsewhere it waits, or goes."""
    mine, yours = clashing
    _, second, name = TWO[case]
    (clash,) = yours.review().schema_clashes
    assert (clash.name, clash.can_stay) == (name, case in WITHOUT_ROWS)
    yours.pull()
    number = len(yours.settled)
    if case not in WITHOUT_ROWS:
        with pytest.raises(tsn.ConflictError):
            yours.settle(number, "mine")
        assert list(yours.changes()["state"]) == ["aside"]
        yours.settle(number, "theirs")
    else:
        assert "is yours now" in yours.settle(number, "mine")
        yours.push()
        mine.pull()
        sql = "SELECT sql FROM sqlite_schema WHERE name = ?"
        (there,) = mine.execute(sql, (name,)).fetchone()
        assert without_quotes(there) == without_quotes(second)
    all_alike(server, mine, yours)


SAME = {
    "table": ("CREATE TABLE n (x, y)",),
    "index": ("CREATE UNIQUE INDEX i ON t (a)",),
    "view": ("CREATE VIEW n AS SELECT a FROM t WHERE b <> 3",),
    "column": ("ALTER TABLE t ADD COLUMN n TEXT DEFAULT 'x'",),
    "two renames": ("ALTER TABLE kv RENAME COLUMN k TO kk", "ALTER TABLE kv RENAME COLUMN v TO vv"),
    "rename of a table": ("ALTER TABLE bare RENAME TO naked",),
    "two drops": ("DROP TABLE bare", "ALTER TABLE kv DROP COLUMN v"),
}


@pytest.mark.parametrize("work", SAME)
def test_the_same_on_both_sides_is_no_change(server, two: tuple[tsn.Connection, tsn.Connection], work):
    """The same schema change on both sides converges without a conflict."""
    mine, yours = two
    run(mine, *SAME[work])
    run(yours, *SAME[work])
    mine.push()
    yours.push()
    assert schema_conflicts(yours) == []
    assert yours.changes().empty
    all_alike(server, mine, yours)


DROPS = {
    "table": (("DROP TABLE kv",), "1 row"),
    "column": (("ALTER TABLE kv DROP COLUMN v",), "1 row"),
    "rebuild": (REBUILD, "1 row"),
}


@pytest.mark.parametrize("policy", ["last-push-wins", "remote-wins", "reject"])
@pytest.mark.parametrize("case", DROPS)
def test_rows_that_were_not_seen_are_not_dropped(
    server, replica: Callable[..., tsn.Connection], case, policy
):
    """A drop over rows of others is set aside with their number, under every policy; a retry does it."""
    work, number = DROPS[case]
    mine, yours = replica("mine"), replica("yours", conflict_policy=policy)
    run(mine, "INSERT INTO kv VALUES ('theirs', 'theirs')")
    run(yours, *work)
    mine.push()
    yours.push()
    assert yours.execute("SELECT v FROM kv WHERE k = 'theirs'").fetchall() == [("theirs",)]
    waiting = yours.changes()
    assert set(waiting["state"]) == {"aside"}
    assert number in waiting["reason"].iloc[0]
    all_alike(server, mine, yours)
    yours.retry(int(waiting["transaction"].iloc[0]))
    yours.push()
    assert yours.changes().empty
    all_alike(server, mine, yours)


SCRATCH = {
    "table": (("CREATE TABLE n (x)", "INSERT INTO n VALUES (1)", "DROP TABLE n"), "CREATE TABLE n (other)"),
    "same table": (("CREATE TABLE n (x)", "INSERT INTO n VALUES (1)", "DROP TABLE n"), "CREATE TABLE n (x)"),
    "view": (("CREATE VIEW n AS SELECT 1", "DROP VIEW n"), "CREATE VIEW n AS SELECT 2"),
    "index": (("CREATE INDEX n ON t (a)", "DROP INDEX n"), "CREATE UNIQUE INDEX n ON t (a)"),
    "column": (("ALTER TABLE t ADD COLUMN n", "ALTER TABLE t DROP COLUMN n"),
               "ALTER TABLE t ADD COLUMN n DEFAULT 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", SCRATCH)
def test_what_was_made_and_removed_here_leaves_theirs(
    server, two: tuple[tsn.Connection, tsn.Connection], case
):
    """What was made and removed here takes nothing away from others who made that name."""
    mine, yours = two
    work, theirs = SCRATCH[case]
    run(mine, theirs)
    run(yours, *work)
    mine.push()
    yours.push()
    assert yours.changes().empty
    all_alike(server, mine, yours)


IGNORED = {
    "renamed": ("ALTER TABLE drafts RENAME TO sketches", "INSERT INTO sketches VALUES (2)"),
    "rebuilt": (
        "BEGIN",
        "CREATE TABLE new_drafts (x, y)",
        "INSERT INTO new_drafts (x) SELECT x FROM drafts",
        "DROP TABLE drafts",
        "ALTER TABLE new_drafts RENAME TO drafts",
        "COMMIT",
        "INSERT INTO drafts VALUES (2, 2)",
    ),
}


@pytest.mark.parametrize("work", IGNORED)
def test_a_table_that_is_never_pushed_stays_so(server, replica, work):
    """``tables_ignore`` follows a table through a rename and a rebuild; other changes arrive."""
    mine, yours = replica("mine", tables_ignore=["drafts"]), replica("yours")
    run(mine, "CREATE TABLE drafts (x)", "INSERT INTO drafts VALUES (1)", *IGNORED[work])
    mine.execute("INSERT INTO kv VALUES ('pushed', 1)")
    mine.push()
    all_alike(server, yours)
    assert yours.execute("SELECT count(*) FROM kv WHERE k = 'pushed'").fetchall() == [(1,)]
    assert (
        yours.execute(
            "SELECT name FROM sqlite_schema WHERE name LIKE '%draf%' OR name = 'sketches'"
        ).fetchall()
        == []
    )
    name = "sketches" if work == "renamed" else "drafts"
    assert mine.execute(f"SELECT x FROM {name}").fetchall() == [(1,), (2,)]


def test_a_trigger_into_a_table_that_is_never_pushed_stays_here(server, replica, caplog):
    """It says so; what it did to tables that are pushed arrives once, and it survives pulls and renames."""
    mine, yours = replica("mine", tables_ignore=["drafts"]), replica("yours")
    run(
        mine,
        "CREATE TABLE drafts (x)",
        (
            "CREATE TRIGGER g AFTER INSERT ON kv BEGIN "
            "INSERT INTO drafts VALUES (new.k); INSERT INTO bare VALUES ('by g', new.k); END"
        ),
        "INSERT INTO kv VALUES ('a', 1)",
    )
    assert "trigger g writes to a table that is never pushed" in caplog.text
    assert list(mine.changes()["table"]) == ["kv", "bare"]
    run(yours, "INSERT INTO kv VALUES ('theirs', 1)")
    yours.push()
    mine.pull()
    run(mine, "ALTER TABLE kv RENAME TO pairs", "INSERT INTO pairs VALUES ('b', 2)")
    assert "trigger g" in mine.push().note
    run(yours, "INSERT INTO bare VALUES ('news', 1)")
    yours.push()
    mine.pull()
    run(mine, "INSERT INTO pairs VALUES ('c', 3)")
    mine.push()
    yours.pull()
    assert mine.execute("SELECT x FROM drafts").fetchall() == [("a",), ("b",), ("c",)]
    by_trigger = "SELECT y FROM bare WHERE x = 'by g' ORDER BY 1"
    for db in (mine, yours):
        assert db.execute(by_trigger).fetchall() == [("a",), ("b",), ("c",)]
    assert yours.execute("SELECT name FROM sqlite_schema WHERE name IN ('g', 'drafts')").fetchall() == []
    run(mine, "DROP TRIGGER g", "INSERT INTO pairs VALUES ('d', 4)")
    mine.push()
    run(yours, "INSERT INTO bare VALUES ('news', 2)")
    yours.push()
    mine.pull()
    assert mine.execute("SELECT count(*) FROM drafts").fetchall() == [(3,)]
    assert mine.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'g'").fetchall() == [(0,)]
    assert mine.changes().empty


def test_a_view_on_what_is_not_there_is_a_conflict_like_others(
    server, two: tuple[tsn.Connection, tsn.Connection]
):
    """SQLite cannot list its columns; a DROP of another view of that name is set aside all the same."""
    mine, yours = two
    run(mine, "CREATE VIEW n AS SELECT a FROM t")
    mine.push()
    yours.pull()
    run(yours, "DROP VIEW n")
    run(mine, "DROP VIEW n", "CREATE VIEW n AS SELECT gone FROM t")
    mine.push()
    yours.push()
    assert schema_conflicts(yours) == ["n"]
    assert list(yours.changes()["state"]) == ["aside"]
    yours.skip(int(yours.changes()["transaction"].iloc[0]))
    all_alike(server, mine, yours)

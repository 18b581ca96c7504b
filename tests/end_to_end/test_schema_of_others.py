"""Schema changes beside what others made meanwhile: nothing is broken unseen, nothing is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from random_peer import Server, contents

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from peers import PeerServer

BROKEN = {
    "a view on a dropped column": (
        "ALTER TABLE {t} DROP COLUMN a", "CREATE VIEW {t}_v AS SELECT a FROM {t}",
    ),
    "a view whose name would be a text": (
        "ALTER TABLE {t} RENAME COLUMN a TO aa", 'CREATE VIEW {t}_v AS SELECT "a" FROM {t}',
    ),
    "an index on a name that would be a text": (
        "ALTER TABLE {t} RENAME COLUMN a TO aa", 'CREATE INDEX {t}_i ON {t} ("a")',
    ),
    "a check of one": (
        "ALTER TABLE {t} RENAME COLUMN a TO aa", 'ALTER TABLE {t} ADD COLUMN z CHECK (z <> "a")',
    ),
    "a trigger that sets a dropped column": (
        "ALTER TABLE {t} DROP COLUMN a",
        "CREATE TRIGGER {t}_g AFTER INSERT ON {t} BEGIN UPDATE {t} SET a = 1 WHERE id = new.id; END",
    ),
    "a trigger into a renamed table": (
        "ALTER TABLE {t}_2 RENAME TO {t}_3",
        "CREATE TRIGGER {t}_g AFTER DELETE ON {t} BEGIN INSERT INTO {t}_2 (a) VALUES (old.a); END",
    ),
    "a dropped table under a view": ("CREATE VIEW {t}_v AS SELECT a FROM {t}", "DROP TABLE {t}"),
    "a dropped table under a view on a view": (
        "CREATE VIEW {t}_w AS SELECT 1 FROM {t}_1", "DROP VIEW {t}_1",
    ),
    "a dropped table under a trigger of another": (
        "CREATE TRIGGER {t}_g AFTER UPDATE OF a ON {t} BEGIN DELETE FROM {t}_2; END", "DROP TABLE {t}_2",
    ),
    "a dropped column under a trigger": (
        "CREATE TRIGGER {t}_g AFTER INSERT ON {t} BEGIN UPDATE {t} SET a = 1 WHERE id = new.id; END",
        "ALTER TABLE {t} DROP COLUMN a",
    ),
    "a new column under a trigger that counts them": (
        "CREATE TRIGGER {t}_g AFTER INSERT ON {t}_2 BEGIN INSERT INTO {t} VALUES (new.id, 1, 1); END",
        "ALTER TABLE {t} ADD COLUMN z",
    ),
}  # fmt: skip
"""What others did, and what was done here meanwhile: after both, something would name what is not there."""

BOTH = {
    "two columns exchanged": (
        "ALTER TABLE {t} RENAME COLUMN a TO c",
        "ALTER TABLE {t} RENAME COLUMN b TO a",
        "ALTER TABLE {t} RENAME COLUMN c TO b",
    ),
    "two columns exchanged at once": (
        "BEGIN",
        "ALTER TABLE {t} RENAME COLUMN a TO c",
        "ALTER TABLE {t} RENAME COLUMN b TO a",
        "ALTER TABLE {t} RENAME COLUMN c TO b",
        "COMMIT",
    ),
    "names of columns moved on": (
        "ALTER TABLE {t} RENAME COLUMN b TO c", "ALTER TABLE {t} RENAME COLUMN a TO b",
    ),
    "two tables exchanged": (
        "ALTER TABLE {t} RENAME TO {t}_x",
        "ALTER TABLE {t}_2 RENAME TO {t}",
        "ALTER TABLE {t}_x RENAME TO {t}_2",
    ),
    "a column anew": ("ALTER TABLE {t} DROP COLUMN a", "ALTER TABLE {t} ADD COLUMN a DEFAULT 7"),
    "a table anew": ("DROP TABLE {t}", "CREATE TABLE {t} (id INTEGER PRIMARY KEY, other)"),
    "a view anew": ("DROP VIEW {t}_1", "CREATE VIEW {t}_1 AS SELECT b FROM {t}"),
    "an index anew": ("DROP INDEX {t}_i", "CREATE UNIQUE INDEX {t}_i ON {t} (b)"),
    "a trigger anew": (
        "DROP TRIGGER {t}_g",
        "CREATE TRIGGER {t}_g AFTER DELETE ON {t} BEGIN DELETE FROM {t}_2 WHERE id = 5; END",
    ),
}  # fmt: skip
"""Done by two replicas, each of them: in the end it was done once."""

SETUP = (
    "CREATE TABLE {t} (id INTEGER PRIMARY KEY, a, b)",
    "INSERT INTO {t} VALUES (1, 'a', 'b')",
    "CREATE TABLE {t}_2 (id INTEGER PRIMARY KEY, a)",
    "CREATE VIEW {t}_1 AS SELECT count(*) AS n FROM bare",
    "CREATE INDEX {t}_i ON {t} (b)",
    "CREATE TRIGGER {t}_g AFTER DELETE ON {t} BEGIN DELETE FROM {t}_2 WHERE id = 4; END",
)


def run(db: tsn.Connection, number: int, *statements: str) -> None:
    """Execute ``statements``, with ``{t}`` in them replaced by the name of a table of its own."""
    for statement in statements:
        db.execute(statement.format(t=f"t{number}"))


def alike(server: PeerServer, *replicas: tsn.Connection) -> dict[str, list[str]]:
    """Pull by each; see that all are as the remote, whose state is returned."""
    far = Server(server.url)
    wanted = contents(far.run)
    far.close()
    for one in replicas:
        one.pull()
        assert contents(lambda sql, one=one: one.execute(sql).fetchall()) == wanted
    return wanted


def started(two: tuple[tsn.Connection, tsn.Connection], members: int) -> None:
    """Have the tables of each member on the remote and on both replicas."""
    mine, yours = two
    mine.execute("BEGIN")
    for number in range(members):
        run(
            mine,
            number,
            *(one for one in SETUP if members == len(BOTH) or not ("_i" in one or "_g" in one)),
        )
    mine.execute("COMMIT")
    mine.push()
    mine.pull()
    yours.pull()


def test_nothing_is_left_without_what_it_names(server, two: tuple[tsn.Connection, tsn.Connection]):
    """What would break something of others, or be broken by what they did, is set aside and told."""
    mine, yours = two
    started(two, len(BROKEN))
    for number, (theirs, _) in enumerate(BROKEN.values()):
        run(mine, number, theirs)
    mine.push()
    for number, (_, here) in enumerate(BROKEN.values()):
        run(yours, number, here)
    yours.push()
    waiting = yours.changes()
    assert list(waiting["state"]) == ["aside"] * len(BROKEN), waiting[["new", "reason"]].to_numpy().tolist()
    assert all("would lack what it names: " in reason for reason in waiting["reason"])
    assert set(yours.conflicts()["kind"]) == {"schema"}
    alike(server, mine, yours)
    dropped = list(BROKEN).index("a dropped table under a view")
    number = int(waiting["transaction"].iloc[dropped])
    yours.retry(number)  # who was told has seen it
    yours.push()
    assert number not in set(yours.changes()["transaction"])
    for other in set(yours.changes()["transaction"]):
        yours.skip(int(other))
    far = Server(server.url)
    assert far.run(f"SELECT type FROM sqlite_schema WHERE name LIKE 't{dropped}%' ORDER BY 1") == [
        ("table",), ("view",), ("view",),
    ]  # fmt: skip
    far.close()


def test_what_was_broken_here_is_done(server, two: tuple[tsn.Connection, tsn.Connection]):
    """Who drops a table under a view that is here, or makes a view on nothing, wanted it so."""
    mine, yours = two
    run(mine, 0, "CREATE TABLE {t} (a)", "CREATE VIEW {t}_v AS SELECT a FROM {t}")
    mine.push()
    yours.pull()
    run(yours, 0, "DROP TABLE {t}", "CREATE VIEW {t}_w AS SELECT gone FROM {t}")
    mine.execute("INSERT INTO kv VALUES ('news', 1)")
    mine.push()
    yours.pull()
    yours.push()
    assert yours.changes().empty
    mine.pull()
    assert mine.execute("SELECT name FROM sqlite_schema WHERE name LIKE 't0%' ORDER BY 1").fetchall() == [
        ("t0_v",), ("t0_w",),
    ]  # fmt: skip


def test_what_both_sides_did_is_done_once(server, two: tuple[tsn.Connection, tsn.Connection]):
    """Successive changes that come to the same on both sides are no conflict, and are not done again."""
    mine, yours = two
    started(two, len(BOTH))
    for db in two:
        for number, work in enumerate(BOTH.values()):
            run(db, number, *work)
    mine.push()
    before = alike(server, mine)
    yours.push()
    assert yours.changes().empty, yours.changes()[["new", "reason"]].to_numpy().tolist()
    assert yours.conflicts().empty
    assert alike(server, mine, yours) == before
    assert yours.execute("SELECT a, b FROM t0").fetchall() == [("b", "a")]


def test_a_view_of_theirs_follows_or_the_rename_is_refused(
    server, two: tuple[tsn.Connection, tsn.Connection]
):
    """A server whose views stay on a former name says nothing; the push looks at theirs too."""
    mine, yours = two
    mine.execute("CREATE VIEW n AS SELECT v FROM kv")
    mine.push()
    yours.execute("ALTER TABLE kv RENAME TO pairs")
    if server.name == "tursodb":
        with pytest.raises(tsn.ConflictError, match="another definition of view n"):
            yours.push()
        yours.skip(int(yours.changes()["transaction"].iloc[0]))
    else:
        yours.push()
    alike(server, mine, yours)
    assert mine.execute("SELECT * FROM n").fetchall() == [(1,)]


KEPT = {
    "dropped": ("DROP TABLE kv",),
    "dropped and made again": ("DROP TABLE kv", "CREATE TABLE kv (k, v)", "INSERT INTO kv VALUES (1, 2)"),
    "replaced by a view": ("ALTER TABLE kv RENAME TO w", "DROP TABLE w", "CREATE VIEW kv AS SELECT 1 AS k"),
}


@pytest.mark.parametrize("work", KEPT)
def test_a_table_under_a_trigger_that_stays_here_goes(server, replica, work):
    """The remote never had that trigger: a push that waited for it to come did not end."""
    mine, yours = replica("mine", tables_ignore=["drafts"]), replica("yours")
    mine.execute("CREATE TABLE drafts (x)")
    mine.execute("CREATE TRIGGER g AFTER UPDATE ON kv BEGIN INSERT INTO drafts VALUES (new.k); END")
    for statement in KEPT[work]:
        mine.execute(statement)
    mine.push()
    assert mine.changes().empty
    mine.execute("DROP TABLE drafts")
    alike(server, yours, mine)


SINCE = {
    "a column renamed": ("ALTER TABLE kv RENAME COLUMN v TO w",),
    "dropped": ("DROP TABLE kv",),
    "renamed, and another one made": ("ALTER TABLE kv RENAME TO w", "CREATE TABLE kv AS SELECT * FROM w"),
    "made again": (
        "DROP TABLE kv",
        "CREATE TABLE kv (k TEXT PRIMARY KEY, v)",
        "INSERT INTO kv VALUES ('y', 2)",
    ),
}


@pytest.mark.parametrize("work", SINCE)
def test_rows_of_a_table_that_changed_since_are_not_undone(replica, work):
    """Nothing is done, and it is said; a column more is no hindrance."""
    mine = replica("mine")
    mine.execute("INSERT INTO kv VALUES ('y', 2)")
    mine.execute("ALTER TABLE kv ADD COLUMN more")
    number = int(mine.changes()["transaction"].iloc[0])
    mine.push()
    mine.undo(number)
    mine.execute("INSERT INTO kv (k, v) VALUES ('y', 2)")
    mine.execute("ALTER TABLE kv DROP COLUMN more")
    for statement in SINCE[work]:
        mine.execute(statement)
    mine.push()
    with pytest.raises(tsn.UsageError, match="was altered or replaced since"):
        mine.undo(number)
    assert mine.changes().empty

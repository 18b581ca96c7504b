"""A pragma that is kept in the database and set on several sides: the same value merges, another is told."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from random_peer import Server, contents

if TYPE_CHECKING:
    import turso_sync_nb as tsn

PRAGMAS = ("user_version", "application_id")


def run(db: tsn.Connection, *statements: str) -> None:
    """Execute ``statements``, one after the other."""
    for statement in statements:
        db.execute(statement)


def whole(ask) -> tuple:
    """Return schema, rows and pragmas of a database."""
    return contents(ask), [int(ask(f"PRAGMA {name}")[0][0]) for name in PRAGMAS]


def here(db: tsn.Connection) -> tuple:
    """Return the whole state of a replica."""
    return whole(lambda sql: db.execute(sql).fetchall())


def there(server) -> tuple:
    """Return the whole state of the remote."""
    with closing(Server(server.url)) as far:
        return whole(far.run)


def told(db: tsn.Connection) -> list[tuple]:
    """Return what ``conflicts()`` lists, without the transaction and the time."""
    frame = db.conflicts()
    names = ["table", "kind", "base", "local", "remote"]
    if frame.empty:
        return []
    return [
        tuple(str(each).rstrip(";") for each in row)
        for row in frame[names].itertuples(index=False, name=None)
    ]


@pytest.mark.parametrize("pragma", PRAGMAS)
@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_two_values_of_a_pragma_conflict(server, two, pragma, side):
    """The later one is set aside with what came with it and told; either side can be chosen."""
    mine, yours = two
    run(mine, f"PRAGMA {pragma} = 2")
    run(yours, "BEGIN", "CREATE TABLE made (x)", "INSERT INTO t (a) VALUES ('five')", f"PRAGMA {pragma} = -5")
    run(yours, "COMMIT")
    mine.push()
    report = yours.push()
    assert report.changes == 0
    assert told(yours) == [
        (pragma, "schema", f"PRAGMA {pragma} = 0", f"PRAGMA {pragma} = -5", f"PRAGMA {pragma} = 2")
    ]
    assert set(yours.changes()["state"]) == {"aside"}
    mine.pull()
    assert here(mine) == here(yours) == there(server)
    assert there(server)[1][PRAGMAS.index(pragma)] == 2
    yours.settle(1, side)
    yours.push()
    mine.pull()
    assert here(mine) == here(yours) == there(server)
    assert there(server)[1][PRAGMAS.index(pragma)] == (-5 if side == "mine" else 2)
    assert ("made" in there(server)[0]) == (side == "mine")
    assert set(yours.changes()["state"]) == (set() if side == "mine" else {"skipped"})


MIGRATIONS = {
    "the same step": (("PRAGMA user_version = 2",), ("PRAGMA user_version = 2",)),
    "the same steps": (
        ("PRAGMA user_version = 1", "ALTER TABLE t ADD COLUMN x", "PRAGMA user_version = 2"),
        ("PRAGMA user_version = 1", "ALTER TABLE t ADD COLUMN x", "PRAGMA user_version = 2"),
    ),
    "a step more there": (
        (
            "PRAGMA user_version = 1",
            "CREATE TABLE n (x)",
            "PRAGMA user_version = 2",
            "PRAGMA user_version = 3",
        ),
        ("PRAGMA user_version = 1", "CREATE TABLE n (x)", "PRAGMA user_version = 3"),
    ),
    "a step more here": (
        ("PRAGMA user_version = 1", "CREATE TABLE n (x)"),
        ("PRAGMA user_version = 1", "CREATE TABLE n (x)", "PRAGMA user_version = 2"),
    ),
    "of another kind": (("PRAGMA user_version = 1",), ("PRAGMA application_id = 1",)),
}


@pytest.mark.parametrize("case", MIGRATIONS)
def test_the_same_values_are_no_conflict(server, two, case):
    """Migrations that both sides made are done once; the values are those of the further one."""
    mine, yours = two
    first, second = MIGRATIONS[case]
    run(mine, *first)
    run(yours, *second)
    mine.push()
    yours.push()
    for one in two:
        one.pull()
    assert here(mine) == here(yours) == there(server)
    assert told(yours) == []
    assert yours.changes().empty
    values = [int(sql.rpartition("=")[2]) for sql in (*first, *second) if "user_version" in sql]
    assert there(server)[1][0] == max(values)


def test_a_value_goes_on_from_one_that_waits(server, two):
    """What was set after a value that did not fit does not fit either; nothing of it is sent."""
    mine, yours = two
    run(mine, "PRAGMA user_version = 7")
    run(yours, "PRAGMA user_version = 1", "INSERT INTO t (a) VALUES ('one')", "PRAGMA user_version = 2")
    mine.push()
    yours.push()
    mine.pull()
    assert [row[3] for row in told(yours)] == ["PRAGMA user_version = 1", "PRAGMA user_version = 2"]
    assert here(mine) == here(yours) == there(server)
    assert there(server)[1][0] == 7
    for number in list(yours.changes()["transaction"]):
        yours.retry(int(number))
    yours.push()
    mine.pull()
    assert here(mine) == here(yours) == there(server)


def test_a_value_is_set_again_without_a_pull(server, two):
    """Each push guards the value that was there before it."""
    mine, yours = two
    for value in (3, 1, 4):
        run(mine, f"PRAGMA user_version = {value}")
        mine.push()
    with closing(Server(server.url)) as far:
        far.run("PRAGMA user_version = 15")
    run(mine, "PRAGMA user_version = 9")
    mine.push()
    assert [row[2:] for row in told(mine)] == [
        ("PRAGMA user_version = 4", "PRAGMA user_version = 9", "PRAGMA user_version = 15")
    ]
    yours.pull()
    assert here(mine) == here(yours) == there(server)

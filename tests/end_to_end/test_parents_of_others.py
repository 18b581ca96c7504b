"""A foreign key to what the other side dropped, renamed or rebuilt is told, or comes out as in one."""

from __future__ import annotations

from contextlib import closing

import pytest
from random_peer import Server, contents

SETUP = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, a)",
    "INSERT INTO p VALUES (1, 'one')",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, pid REFERENCES p (id))",
    "INSERT INTO c VALUES (1, 1)",
)
CHILD = ("CREATE TABLE d (x REFERENCES p (id))", "INSERT INTO d VALUES (1)")
DROP = ("DROP TABLE p",)
REBUILD = (
    "CREATE TABLE p2 (id INTEGER PRIMARY KEY, a, b)",
    "INSERT INTO p2 (id, a) SELECT id, a FROM p",
    "DROP TABLE p",
    "ALTER TABLE p2 RENAME TO p",
)

LACKS = "column {} would lack what it names: no such {}"
CASES = {
    "a table and a drop": (CHILD, DROP, LACKS.format("x of table d", "table: p")),
    "a drop and a table": (DROP, CHILD, LACKS.format("x of table d", "table: p")),
    "a column and a drop": (
        ("ALTER TABLE c ADD COLUMN q REFERENCES p (id)",),
        DROP,
        LACKS.format("q of table c", "table: p"),
    ),
    "a table and a rename": (
        CHILD,
        ("ALTER TABLE p RENAME TO pp",),
        LACKS.format("x of table d", "table: p"),
    ),
    "a table and a column's rename": (
        CHILD,
        ("ALTER TABLE p RENAME COLUMN id TO no",),
        LACKS.format("x of table d", "column: p.id"),
    ),
    "a rename and a table": (("ALTER TABLE p RENAME TO pp",), CHILD, ""),
    "a table and a rebuild": (CHILD, REBUILD, ""),
    "a table before its parent": (
        ("CREATE TABLE e (x REFERENCES f)", "CREATE TABLE f (id INTEGER PRIMARY KEY)"),
        DROP,
        "",
    ),
    "a column beside": (("ALTER TABLE c ADD COLUMN z",), DROP, ""),
    "a rename of the child": (("ALTER TABLE c RENAME TO cc",), DROP, ""),
    "a row": (("INSERT INTO c VALUES (2, 1)",), DROP, ""),
}


def whole(server, *replicas) -> list:
    """Pull by each and return the whole states: of the remote, then of each replica."""
    for db in replicas:
        db.pull()
    with closing(Server(server.url)) as far:
        return [
            contents(far.run),
            *(contents(lambda sql, db=db: db.execute(sql).fetchall()) for db in replicas),
        ]


@pytest.mark.parametrize("pulls", [False, True], ids=["pushed", "pulled"])
@pytest.mark.parametrize("case", CASES)
def test_a_foreign_key_to_what_others_removed_is_told(server, two, case, pulls):
    """The later change is set aside with its reason, and is done when it is taken up all the same."""
    mine, yours = two
    late, early, reason = CASES[case]
    for sql in SETUP:
        yours.execute(sql)
    yours.push()
    mine.pull()
    for sql in late:
        mine.execute(sql)
    for sql in early:
        yours.execute(sql)
    yours.push()
    if pulls:
        mine.pull()
    mine.push()
    states = whole(server, mine, yours)
    assert states[0] == states[1] == states[2]
    if not reason:
        assert mine.conflicts().empty
        assert mine.changes().empty
        return
    assert mine.conflicts()["settled_by"].iloc[0] == f"set aside: {reason}"
    assert set(mine.changes()["state"]) == {"aside"}
    for number in mine.changes()["transaction"]:
        mine.retry(int(number))
    mine.push()
    assert mine.changes().empty
    states = whole(server, mine, yours)
    assert states[0] == states[1] == states[2]

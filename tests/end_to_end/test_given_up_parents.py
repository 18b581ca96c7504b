"""What points at given-up work is not sent while no pull could undo that: it would point at nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name UNIQUE, code TEXT COLLATE NOCASE UNIQUE)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent {type} REFERENCES parent ({key}))",
)
CHILDREN: dict[str, tuple[str, str, str]] = {
    "by an assigned key": ("id", "(name) VALUES ('mine')", "INSERT INTO child VALUES (7, 1)"),
    "by a chosen key": ("id", "(id, name) VALUES (5, 'mine')", "INSERT INTO child VALUES (7, 5)"),
    "by another column": ("name", "(id, name) VALUES (5, 'mine')", "INSERT INTO child VALUES (7, 'mine')"),
    "by a text in other letters": (
        "code",
        "(id, code) VALUES (5, 'Mine')",
        "INSERT INTO child VALUES (7, 'mINE')",
    ),
    "by a number for a text": ("code", "(id, code) VALUES (5, '12')", "INSERT INTO child VALUES (7, 12)"),
    "a child that moves": ("id", "(id, name) VALUES (5, 'mine')", "UPDATE child SET parent = 5 WHERE id = 1"),
}
"""The key pointed at, what makes the parent, and what points at it; the child 1 is on the remote."""


@pytest.fixture
def family(replica: Callable[..., tsn.Connection]) -> Callable[[str], tsn.Connection]:
    """Give ``family(kind)``: a replica whose given-up parent has a child, so that it cannot be undone."""

    def make(kind: str) -> tsn.Connection:
        key, parent, child = CHILDREN[kind]
        db = replica("mine", conflict_policy="reject")
        for sql in SCHEMA:
            db.execute(sql.format(key=key, type="INTEGER" if key == "id" else ""))
        db.execute("INSERT INTO child VALUES (1, NULL)")
        db.sync()
        for sql in (f"INSERT INTO parent {parent}", child, "INSERT INTO kv VALUES ('alone', 1)"):
            db.execute(sql)
        with pytest.raises(tsn.ConflictError, match="which is skipped"):
            db.skip(numbers(db)[0])
        return db

    return make


def numbers(db: tsn.Connection) -> list[int]:
    """Return the numbers of what is listed, in order."""
    return list(dict.fromkeys(map(int, db.changes()["transaction"])))


def states(db: tsn.Connection) -> list[tuple[str, str]]:
    """Return table and state of what is listed."""
    listed = db.changes()
    return list(zip(listed["table"], listed["state"], strict=True))


def whole(db: tsn.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table of the family, and of ``kv``."""
    tables = ("parent", "child", "kv")
    return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables}


@pytest.mark.parametrize("kind", CHILDREN)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_push_does_not_send_it(family, replica, kind, reopened):
    """It is told, and nothing is sent; with what was refused passed over, all but that."""
    db = family(kind)
    if reopened:
        db.close()
        db = replica("mine", conflict_policy="reject")
    before = whole(db)
    with pytest.raises(tsn.ConflictError, match="which is skipped"):
        db.push()
    report = db.push(skip_refused=True)
    assert "go on from skipped ones" in report.note
    assert whole(db) == before
    assert states(db) == [("parent", "skipped"), ("child", "refused")]
    there = whole(replica("yours"))
    assert there == {"parent": [], "child": [(1, None)], "kv": [("alone", 1), ("x", 1)]}
    db.skip(numbers(db)[1])
    db.sync()
    assert whole(db) == whole(replica("theirs")) == there


@pytest.mark.parametrize("kind", CHILDREN)
def test_its_maker_is_taken_up_again(family, replica, kind):
    """Then both are sent, by the next push."""
    db = family(kind)
    before = whole(db)
    db.push(skip_refused=True)
    db.retry(numbers(db)[0])
    db.push()
    assert states(db) == []
    assert whole(replica("yours")) == before


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_policy_that_lets_it_wait(family, replica, kind):
    """Under it the push undoes what was given up, sets the child aside, and sends the rest."""
    family(kind).close()
    db = replica("mine", conflict_policy="remote-wins")
    db.push()
    assert states(db) == [("parent", "skipped"), ("child", "aside")]
    assert whole(db) == whole(replica("yours"))


@pytest.mark.parametrize("kind", CHILDREN)
def test_after_it_was_undone_the_key_is_free(family, replica, kind):
    """Once a pull left it out, a row of the same key is another one, and a child of that is sent."""
    db = family(kind)
    _, parent, child = CHILDREN[kind]
    db.skip(numbers(db)[1])
    db.execute(f"INSERT INTO parent {parent}")
    db.execute(child)
    db.push()
    assert [state for _, state in states(db)] == ["skipped", "skipped"]
    assert whole(replica("yours")) == whole(db)
    assert len(whole(db)["parent"]) == 1

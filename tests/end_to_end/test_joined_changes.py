"""Many changes of one kind go in one statement; what comes of it is as if they had gone one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.engine import push as push_module

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMS = {
    "numbered": "(id INTEGER PRIMARY KEY, v, w)",
    "named": "(id TEXT PRIMARY KEY COLLATE NOCASE, v TEXT, w REAL)",
    "paired": '("a ""b" INTEGER, id TEXT, v, w, PRIMARY KEY (id, "a ""b"))',
    "other name": "(rowid TEXT PRIMARY KEY, id, v, w)",
}
VALUES = (None, 0, 1, 1.0, -0.0, float("inf"), float("-inf"), 2**63 - 1, "", "a", "A", b"", b"\0", "x" * 9000)


def rows(db: tsn.Connection, table: str) -> list[str]:
    """Return a table's rows, their types too."""
    return sorted(map(repr, db.execute(f"SELECT * FROM {table}").fetchall()))


@pytest.fixture
def statements(monkeypatch) -> list[int]:
    """Give how many changes each statement of the pushes did."""
    sent: list[int] = []
    real = push_module.send

    def send(remote: Any, client_id: Any, statements: Any, **others: Any) -> Any:
        def told() -> Iterator[Any]:
            for statement in statements:  # read off the tape as they are sent
                sent.append(len(statement.changes))
                yield statement

        return real(remote, client_id, told(), **others)

    monkeypatch.setattr(push_module, "send", send)
    return sent


@pytest.mark.parametrize("form", FORMS)
def test_every_value_in_one_statement(two, form, statements):
    """Rows inserted, updated and deleted by one statement each arrive as they are here."""
    mine, yours = two
    table = f'"{form}"'
    mine.execute(f"CREATE TABLE {table} {FORMS[form]}")
    with mine:
        for number, value in enumerate(VALUES * 2):
            row = [f"Key {number}", value, number] if form == "named" else [number, value, number]
            extra = [f"k{number}"] if form in ("paired", "other name") else []
            row = [*row[:1], *extra, *row[1:]]
            mine.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    mine.push()
    yours.pull()
    assert rows(yours, table) == rows(mine, table)
    statements.clear()
    with mine:
        mine.execute(f"UPDATE {table} SET w = v, v = w")
        mine.execute(f"DELETE FROM {table} WHERE id LIKE '%1%'")
    mine.push()
    yours.pull()
    assert rows(yours, table) == rows(mine, table)
    assert statements[0] > 20
    assert len(statements) <= 6
    assert yours.conflicts().empty
    assert mine.conflicts().empty


@pytest.mark.parametrize(
    ("theirs", "seen"),
    [
        ("UPDATE t SET a = 'theirs' WHERE id = 2", "row changed"),
        ("DELETE FROM t WHERE id = 2", "row gone"),
    ],
)
def test_one_of_many_was_changed_there(two, theirs, seen):
    """The one row that somebody changed is a conflict, the others are not."""
    mine, yours = two
    yours.execute(theirs)
    yours.push()
    mine.execute("UPDATE t SET a = 'mine ' || id")
    mine.push()
    found = mine.conflicts()
    assert list(found["kind"]) == [seen]
    assert found["key"].iloc[0] == {"id": 2}
    yours.pull()
    assert rows(yours, "t") == rows(mine, "t")
    assert len(rows(mine, "t")) == 3


def test_one_of_many_deletes_was_changed_there(two):
    """A row deleted here and changed there is a conflict, the others go."""
    mine, yours = two
    yours.execute("UPDATE t SET a = 'theirs' WHERE id = 2")
    yours.push()
    mine.execute("DELETE FROM t")
    mine.push()
    assert list(mine.conflicts()["kind"]) == ["row changed"]
    yours.pull()
    assert rows(yours, "t") == rows(mine, "t") == []


def test_one_of_many_is_refused(two):
    """The one change that the remote's constraint refuses is named; nothing of its transaction is applied."""
    mine, yours = two
    mine.push()
    yours.execute("INSERT INTO t VALUES (9, 'nine', 99)")
    yours.push()
    mine.execute("UPDATE t SET b = CASE id WHEN 2 THEN 99 ELSE b + 1 END")
    with pytest.raises(tsn.ConflictError, match=r"update of t, id=2.*(UNIQUE|unique)"):
        mine.push()
    yours.pull()
    assert rows(yours, "t") == ["(1, 'one', 10)", "(2, 'two', 20)", "(3, 'three', 30)", "(9, 'nine', 99)"]


def test_an_order_that_matters(two):
    """Unique values handed on from row to row go in the order in which that is possible."""
    mine, yours = two
    with mine:
        mine.execute("UPDATE t SET b = 31 WHERE id = 3")
        mine.execute("UPDATE t SET b = 30 WHERE id = 2")
        mine.execute("UPDATE t SET b = 20 WHERE id = 1")
    mine.push()
    with mine:
        mine.execute("UPDATE t SET b = 10 WHERE id = 1")
        mine.execute("UPDATE t SET b = 20 WHERE id = 2")
        mine.execute("UPDATE t SET b = 30 WHERE id = 3")
    mine.push()
    yours.pull()
    assert [row[2] for row in yours.execute("SELECT * FROM t ORDER BY id")] == [10, 20, 30]
    assert mine.conflicts().empty


def test_one_row_several_times(two, statements):
    """A row that is changed twice is not changed twice by one statement."""
    mine, yours = two
    with mine:
        for value in (1, 2, 3):
            mine.execute("UPDATE t SET a = ?", (value,))
    mine.push()
    yours.pull()
    assert statements == [3, 3, 3]
    assert [row[1] for row in yours.execute("SELECT * FROM t")] == ["3", "3", "3"]

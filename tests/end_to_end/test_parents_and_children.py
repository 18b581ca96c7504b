"""Foreign-key actions with triggers on both tables.

Rows, and what triggers log, are as on plain SQLite. The order of the log is not: the remote may not enforce
foreign keys, so the parent's triggers fire there before its children are changed.
"""

from __future__ import annotations

from contextlib import closing

import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn

FAMILY = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p {action}, a)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    *(
        (
            f"CREATE TRIGGER {table}{time[0]}{event[0]} {time} {event} ON {table} BEGIN "
            f"INSERT INTO log (m) VALUES ('{table} {time} {event} ' || old.id || ifnull(old.a, '')); END"
        )
        for table in ("p", "c")
        for time in ("BEFORE", "AFTER")
        for event in ("UPDATE", "DELETE")
    ),
    "INSERT INTO p VALUES (1, 'x'), (2, 'y'), (3, 'z')",
    "INSERT INTO c VALUES (1, 1, 'c1'), (2, 1, 'c2'), (3, 2, 'c3'), (4, NULL, 'c4')",
)


@pytest.mark.parametrize("pulled", [False, True], ids=["", "news"])
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_triggers_of_parents_and_children_fire_once(remote_server, tmp_path, action, pulled):
    """With triggers on both tables all is as on plain SQLite, but for the order of the log."""
    schema = [sql.format(action=f"ON DELETE {action} ON UPDATE {action}") for sql in FAMILY]
    url, plain = served_and_plain(remote_server, tmp_path, schema)
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        for sql in (
            "PRAGMA foreign_keys = ON",
            "UPDATE p SET id = 10 WHERE id = 1",
            "UPDATE p SET a = a",
            "DELETE FROM p WHERE id = 2",
            "DELETE FROM p",
        ):
            plain.execute(sql)
            mine.execute(sql)
        assert in_any_order(mine) == in_any_order(plain)
        if pulled:
            with closing(tsn.connect(tmp_path / "news", url, isolation_level=None)) as news:
                news.execute("INSERT INTO p VALUES (50, 'theirs')")
                news.push()
            plain.execute("INSERT INTO p VALUES (50, 'theirs')")
            mine.pull()
            assert in_any_order(mine) == in_any_order(plain)
        mine.push()
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert in_any_order(fresh) == in_any_order(plain)
        mine.pull()
        assert in_any_order(mine) == in_any_order(plain)
        assert mine.changes().empty
        assert mine.conflicts().empty


def in_any_order(place) -> dict[tuple[str, str], object]:
    """Return all that a database shows, the log without its numbers."""
    found = state(lambda ask: place.execute(ask).fetchall())
    found["table", "log"] = sorted(text for _, text in found["table", "log"])
    return found

"""A DROP of rows that triggers stamped, and what goes on from a DROP that does not fit the remote."""

from __future__ import annotations

from contextlib import closing
from itertools import product

import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn
from turso_sync_nb.changes import rows_seen

STAMPS = {"chance": "random()", "moment": "strftime('%J', 'now')", "counted": "(SELECT n FROM counter)"}
COUNT = "UPDATE counter SET n = n + 1;"
SCHEMA = (
    "CREATE TABLE counter (id INTEGER PRIMARY KEY, n)",
    "INSERT INTO counter VALUES (1, 0)",
    *(f"CREATE TABLE {kind} (id INTEGER PRIMARY KEY, name, at)" for kind in STAMPS),
    *(f"INSERT INTO {kind} VALUES (1, 'ANN', '2006'), (2, 'BEN', '2006')" for kind in STAMPS),
    *(
        f"CREATE TRIGGER {kind}_i AFTER INSERT ON {kind} BEGIN {COUNT if kind == 'counted' else ''} "
        f"UPDATE {kind} SET at = {value} WHERE id = new.id; END"
        for kind, value in STAMPS.items()
    ),
)
DROPS = {
    "the table made anew": (
        "INSERT INTO {} (id, name) VALUES (3, 'ED')",
        "DROP TABLE {}",
        "CREATE TABLE {} (id, name, at, PRIMARY KEY (id, name))",
        "INSERT INTO {} (id, name) VALUES (3, 'ED')",
    ),
    "the column dropped": (
        "INSERT INTO {} (id, name) VALUES (3, 'ED')",
        "DROP TRIGGER {}_i",
        "ALTER TABLE {} DROP COLUMN at",
    ),
}
THEIRS = ("INSERT INTO counted (id, name) VALUES (50, 'NEW')", "DELETE FROM counted WHERE id = 50")


def held(db) -> dict[tuple[str, str], object]:
    """Return rows and schema of a replica, or of plain SQLite."""
    return state(lambda ask: db.execute(ask).fetchall())


def pulled(*replicas: tsn.Connection) -> list[dict[tuple[str, str], object]]:
    """Return what each holds after a pull."""
    for one in replicas:
        one.pull()
    return [held(one) for one in replicas]


@pytest.mark.parametrize("meanwhile", ["", "a pull", "pulls in between", "pushes", "a digest"])
@pytest.mark.parametrize("name", DROPS)
def test_what_triggers_stamped_is_dropped(remote_server, tmp_path, monkeypatch, name, meanwhile):
    """By chance, with a moment or a count: the remote's stamp is another one, the row was seen."""
    if meanwhile == "a digest":
        monkeypatch.setattr(rows_seen, "ROWS_MAX", 1)
    url, plain = served_and_plain(remote_server, tmp_path, SCHEMA)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):

        def news() -> None:
            for sql in THEIRS:
                yours.execute(sql)
                plain.execute(sql)
            yours.push()
            mine.pull()

        for sql in DROPS[name]:
            for kind in STAMPS:
                mine.execute(sql.format(kind))
            if meanwhile in ("pushes", "a digest"):
                mine.push()
            if meanwhile == "pulls in between":
                news()
        if meanwhile == "a pull":
            news()
        for sql, kind in product(DROPS[name], STAMPS):
            plain.execute(sql.format(kind))
        mine.push()
        assert pulled(mine, yours) == [held(plain)] * 2
        assert [(len(db.changes()), len(db.conflicts())) for db in (mine, yours)] == [(0, 0)] * 2


T = "CREATE TABLE t (id INTEGER PRIMARY KEY, name)"
FOLLOWING = {
    "another key": ("CREATE TABLE t (id, name, PRIMARY KEY (id, name))", "INSERT INTO t VALUES (1, 'ED')"),
    "the same definition": (T, "INSERT INTO t VALUES (1, 'ED'), (3, 'FAY')"),
    "an index and a trigger": (
        T,
        "CREATE INDEX i ON t (name)",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET name = name || '!' WHERE id = new.id; END",
        "INSERT INTO t VALUES (3, 'FAY')",
    ),
    "columns": (
        T,
        "ALTER TABLE t ADD COLUMN more",
        "INSERT INTO t VALUES (3, 'FAY', 1)",
        "UPDATE t SET more = 2",
    ),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_goes_on_from_a_drop_waits_with_it(remote_server, tmp_path, name):
    """The table is still there: what was made of the new one is not done to it, here or on the remote."""
    url, plain = served_and_plain(remote_server, tmp_path, (T, "INSERT INTO t VALUES (1, 'ANN')"))
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for sql in ("DROP TABLE t", *FOLLOWING[name]):
            mine.execute(sql)
        for db in (yours, plain):
            db.execute("INSERT INTO t VALUES (9, 'NEW')")
        yours.push()
        mine.push()
        assert pulled(mine, yours) == [held(plain)] * 2
        waiting = mine.changes()
        assert set(waiting["state"]) == {"aside"}
        mine.execute("INSERT INTO t VALUES (10, 'later')")  # of the table that is there
        plain.execute("INSERT INTO t VALUES (10, 'later')")
        with closing(tsn.connect(tmp_path / "news", url, isolation_level=None)) as news:
            for db in (news, plain):
                db.execute("INSERT INTO t VALUES (11, 'newer')")
            news.push()
        mine.push()
        assert pulled(mine, yours) == [held(plain)] * 2


@pytest.mark.parametrize("removed", ["DROP TABLE t", "ALTER TABLE t RENAME TO other"])
@pytest.mark.parametrize("name", FOLLOWING)
def test_what_goes_on_from_a_drop_that_is_given_up_waits(remote_server, tmp_path, name, removed):
    """The former table is there again; rows of the new one go into it on demand alone."""
    url, plain = served_and_plain(remote_server, tmp_path, (T, "INSERT INTO t VALUES (1, 'ANN')"))
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for sql in (removed, *FOLLOWING[name]):
            mine.execute(sql)
        first, *following = dict.fromkeys(mine.changes()["transaction"])
        mine.skip(int(first))
        assert held(mine) == held(plain)
        waiting = mine.changes()
        assert list(waiting["state"]) == ["skipped", *["aside"] * (len(waiting) - 1)]
        assert "goes on from what transaction" in waiting["reason"].iloc[1]
        for db in (mine, plain):
            db.execute("INSERT INTO t VALUES (10, 'later')")
        mine.push()
        assert pulled(mine, yours) == [held(plain)] * 2
        assert list(mine.changes()["state"]) == list(waiting["state"])
        if name == "the same definition":
            for number in following:
                mine.retry(int(number))
            plain.execute("REPLACE INTO t VALUES (1, 'ED'), (3, 'FAY')")
            mine.push()
            assert pulled(mine, yours) == [held(plain)] * 2

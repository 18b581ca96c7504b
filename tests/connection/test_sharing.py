"""One replica, many connections: threads share pages and fetches; reopening is not seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from inside import raw_of, replica_of
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable


def test_sixteen_handles(remote_server: Callable, people, connect) -> None:
    """Sixteen connections count one partial replica in parallel; each page arrives once (scenario 1, F14)."""
    url = remote_server(people).url
    handles = [connect(url, **lazily()) for _ in range(16)]
    fetched_before = handles[0].stats().pages_resident

    def count(db):
        return db.execute("SELECT count(*), total(length(photo)) FROM person").fetchone()

    with ThreadPoolExecutor(16) as pool:
        results = set(pool.map(count, handles))
    assert len(results) == 1
    stats = handles[0].stats()
    assert stats.network_received_bytes < (stats.pages_resident - fetched_before + 40) * 4200


def test_eight_threads_reopen(embedded: Callable, people, tmp_path) -> None:
    """Eight threads open and close one replica, three times each (scenario 5)."""
    url = embedded(people).url

    def thrice(_number):
        for _ in range(3):
            db = tsn.connect(tmp_path / "r", url, **lazily())
            assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
            db.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(thrice, range(8)))


def test_opens_offline(remote_server: Callable, people, connect) -> None:
    """A replica that was made opens with no server, reads what is here, and says why not the rest (6, 7)."""
    server = remote_server(people)
    db = connect(server.url, **lazily())
    first = db.execute("SELECT name FROM person WHERE id = 1").fetchone()
    db.close()
    server.stop()
    again = connect()
    assert again.remote_url.startswith("http://127.0.0.1:")
    assert again.execute("SELECT name FROM person WHERE id = 1").fetchone() == first
    with pytest.raises(tsn.RemoteUnreachableError):
        again.execute("SELECT count(*) FROM visit").fetchall()
    assert again.execute("SELECT name FROM person WHERE id = 1").fetchone() == first


def test_repeated_query_costs_nothing(remote_server: Callable, people, connect) -> None:
    """What one query fetched, no later one fetches again, after reopening either."""
    url = remote_server(people).url
    db = connect(url, **lazily())
    db.run("SELECT * FROM visit")
    assert db.last_report.requests > 0
    assert db.last_report.pages_fetched > 0
    db.run("SELECT * FROM visit")
    assert (db.last_report.requests, db.last_report.pages_fetched) == (0, 0)
    db.close()
    again = connect(url)
    again.run("SELECT * FROM visit")
    assert again.last_report.requests == 0


def fill_session(db) -> None:
    """Set everything that a user can set on a connection."""
    db.isolation_level = None
    db.execute("CREATE TEMP TABLE mine(id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
    db.execute("INSERT INTO mine(v) VALUES('a'), ('b')")
    db.execute("CREATE TEMP VIEW seen AS SELECT count(*) AS n FROM main.person")
    db.execute(
        "CREATE TEMP TRIGGER again AFTER INSERT ON mine WHEN new.v = 'x'"
        " BEGIN INSERT INTO mine(v) VALUES('y'); END"
    )
    db.execute("ATTACH ':memory:' AS extra")
    db.execute("CREATE TABLE extra.e(a)")
    db.execute("INSERT INTO extra.e VALUES(42)")
    for pragma in (
        "foreign_keys = 1",
        "cache_size = -777",
        "recursive_triggers = 1",
        "case_sensitive_like = 1",
    ):
        db.execute(f"PRAGMA {pragma}")
    db.create_function("twice", 1, lambda x: 2 * x, deterministic=True)
    db.create_collation("backwards", lambda a, b: (b > a) - (b < a))

    class Longest:
        def __init__(self):
            self.best = ""

        def step(self, text):
            self.best = max(self.best, text, key=len)

        def finalize(self):
            return self.best

    db.create_aggregate("longest", 1, Longest)
    db.execute("INSERT INTO mine(v) VALUES('c')")


def seen_session(db) -> list[object]:
    """Return everything that can be seen of what was set."""
    questions = (
        "SELECT * FROM mine", "SELECT * FROM extra.e", "SELECT twice(21)", "SELECT longest(v) FROM mine",
        "SELECT v FROM mine ORDER BY v COLLATE backwards", "PRAGMA foreign_keys", "PRAGMA cache_size",
        "PRAGMA recursive_triggers", "SELECT 'a' LIKE 'A'", "SELECT last_insert_rowid()",
        "SELECT name FROM temp.sqlite_schema ORDER BY 1", "PRAGMA busy_timeout",
    )  # fmt: skip
    return [db.execute(question).fetchall() for question in questions] + [db.total_changes]


def test_reopening_is_not_seen(embedded: Callable, people, connect) -> None:
    """When the last page arrives a connection moves to the native VFS, and nothing a user set is lost."""
    db = connect(embedded(people).url, **lazily())
    fill_session(db)
    before = seen_session(db)
    lazy = raw_of(db)
    db.execute("SELECT count(*) FROM person, visit WHERE person.id = visit.person").fetchall()
    replica_of(db).databases.loader.fill_up()
    assert replica_of(db).is_whole
    assert seen_session(db) == before
    assert raw_of(db) is not lazy
    assert db.execute("SELECT n FROM seen").fetchone() == (3001,)
    db.execute("INSERT INTO mine(v) VALUES('x')")
    assert db.execute("SELECT v FROM mine ORDER BY id DESC LIMIT 2").fetchall() == [("y",), ("x",)]


def test_open_cursor_keeps_its_connection(embedded: Callable, people, connect) -> None:
    """A connection with an open cursor or transaction stays as it is until that ends."""
    db = connect(embedded(people).url, **lazily())
    cursor = db.execute("SELECT id FROM person ORDER BY id")
    assert cursor.fetchone() == (1,)
    lazy = raw_of(db)
    replica_of(db).databases.loader.fill_up()
    assert db.execute("SELECT 1").fetchone() == (1,)
    assert raw_of(db) is lazy
    assert len(cursor.fetchall()) == 3000
    db.execute("BEGIN")
    assert raw_of(db) is not lazy
    db.rollback()


def test_export(remote_server: Callable, people, connect, tmp_path, oracle) -> None:
    """export() writes a plain database for other tools; it never writes over a file."""
    import sqlite3
    from contextlib import closing

    db = connect(remote_server(people).url, **lazily())
    db.export(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert (
            plain.execute("SELECT * FROM person").fetchall()
            == oracle.execute("SELECT * FROM person").fetchall()
        )
    assert not list(tmp_path.glob("*unfinished*"))
    with pytest.raises(tsn.UsageError, match="exists"):
        db.export(tmp_path / "copy.db")
    with pytest.raises(tsn.UsageError, match="inside a replica"):
        db.export(db.path / "copy.db")
    with pytest.raises(tsn.ReplicaError, match="nowhere"):
        db.export(tmp_path / "nowhere" / "copy.db")


def test_memory(embedded: Callable, people) -> None:
    """A private replica works as any other and leaves nothing behind."""
    url = embedded(people).url
    db, other = tsn.connect(":memory:", url, **lazily()), tsn.connect(":memory:", url)
    assert db.path != other.path
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
    folders = [db.path, other.path]
    db.close()
    other.close()
    assert not any(folder.parent.exists() for folder in folders)


def test_sqlite3_on_the_folder_is_harmless(embedded: Callable, people, connect) -> None:
    """The reflex of opening a replica with Python's sqlite3 fails at once and changes nothing."""
    import sqlite3

    db = connect(embedded(people).url)
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(db.path)
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_foreign_change_at_rest_is_noticed(embedded: Callable, people, connect) -> None:
    """A replica whose inner file another program changed is fetched again."""
    import sqlite3
    from contextlib import closing

    url = embedded(people).url
    db = connect(url)
    inner = db.path / "main.db"
    db.close()
    with closing(sqlite3.connect(inner)) as other:
        other.execute("DELETE FROM person")
        other.commit()
    again = connect(url)
    assert again.bootstrap_report.pages == again.stats().pages_total
    assert again.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_sibling_shares_the_replica_and_outlives_its_maker(remote_server: Callable, people, connect) -> None:
    """A sibling is a connection of its own, made in any thread, with the same options."""
    db = connect(remote_server(people).url, tables_ignore=["visit"], isolation_level=None, **lazily())
    with ThreadPoolExecutor(1) as pool:
        sibling = pool.submit(db.sibling).result()
    db.execute("BEGIN")
    db.execute("UPDATE person SET name = 'x' WHERE id = 1")
    assert sibling.execute("SELECT count(*) FROM person WHERE name = 'x'").fetchone() == (0,)
    db.close()
    assert sibling.isolation_level is None
    sibling.execute("DELETE FROM visit")
    assert sibling.pending_changes == 0
    with pytest.raises(tsn.ProgrammingError, match="closed"):
        db.sibling()
    sibling.close()
    connect().close()


def test_observers_are_told_of_pages_commits_and_verbs(remote_server: Callable, people, connect) -> None:
    """Pages that arrive are named; commits, pushes and pulls are told of; a SELECT is not."""
    db = connect(remote_server(people).url, **lazily())
    told = []
    observers = replica_of(db).observers
    observers.add(told.append)
    before = set(replica_of(db).store.page_map.resident)
    db.query("SELECT count(*) FROM person")
    assert set().union(*told) == set(replica_of(db).store.page_map.resident) - before
    for happens in (db.push, db.pull):
        told.clear()
        db.query("SELECT count(*) FROM person")
        assert told == []
        db.execute("UPDATE person SET name = 'x' WHERE id = 1")
        db.commit()
        assert None in told
        told.clear()
        happens()
        assert None in told
    observers.discard(told.append)
    told.clear()
    db.pull()
    assert told == []


def test_no_explain_is_kept(embedded: Callable, people, connect) -> None:
    """No statement cache keeps an EXPLAIN: it would read freed memory after another connection's DDL."""
    db = connect(embedded(people).url, **lazily())
    query = "SELECT name FROM person WHERE id = ?"
    for sql in (query, f"/* c */ EXPLAIN {query}"):
        db.execute(sql, (2900,)).fetchall()  # is not here: the first one is explained by speculation too
    speculation = replica_of(db).databases.lazy_file(raw_of(db)).speculation
    for raw in (raw_of(db), speculation._db.raw):
        kept = [entry["query"] for entry in raw.cache_stats(True)["entries"]]
        assert kept
        assert [sql for sql in kept if "EXPLAIN" in sql] == []

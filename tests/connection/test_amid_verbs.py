"""A connection is used while another thread's pull has its files: it waits, and says what it did before."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from inside import session_of

from turso_sync_nb.connection.session import Session

if TYPE_CHECKING:
    import turso_sync_nb as tsn

LONG_S = 20.0
SHORT_S = 0.3


@pytest.fixture
def db(remote_server, people, connect, tmp_path) -> tsn.Connection:
    """A replica with a table to write to, in autocommit mode; there is something to pull."""
    url = remote_server(people).url
    db = connect(url, isolation_level=None)
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, n)")
    with connect(url, tmp_path / "other.db") as other:
        other.execute("CREATE TABLE another (id INTEGER PRIMARY KEY)")
        other.commit()
        other.push()
    return db


USES = {
    "a query": lambda db: db.execute("SELECT count(*) FROM log").fetchall(),
    "a write": lambda db: db.execute("INSERT INTO log (n) VALUES (1)"),
    "many writes": lambda db: db.executemany("INSERT INTO log (n) VALUES (?)", [(1,), (2,)]),
    "whether a transaction is open": lambda db: db.in_transaction,
    "a commit": lambda db: db.commit(),
    "a count of rows": lambda db: db.row_count("log"),
}


@pytest.mark.parametrize("name", USES)
def test_it_waits_while_a_verb_works_in_sqlite(name, db, monkeypatch):
    """It is idle, so a pull has it: that is not another thread that uses the same connection."""
    mine = db.sibling()
    held, done = threading.Event(), threading.Event()
    errors: list[BaseException] = []
    mine.execute("SELECT 1").fetchall()
    really = Session.suspend

    def suspend(self: Session) -> None:
        if self is session_of(mine):
            self.raw.create_scalar_function("hold", lambda: held.set() or done.wait(SHORT_S))
            self.raw.execute("SELECT hold()").fetchall()
        really(self)

    def use() -> None:
        assert held.wait(LONG_S)
        try:
            USES[name](mine)
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        done.set()

    monkeypatch.setattr(Session, "suspend", suspend)
    thread = threading.Thread(target=use)
    thread.start()
    assert db.pull()
    thread.join()
    assert errors == []
    mine.close()


AFTER = {
    "an insert": (lambda db: db.execute("INSERT INTO log (id, n) VALUES (7, 1)"), 1, 7),
    "many inserts": (lambda db: db.executemany("INSERT INTO log (n) VALUES (?)", [(1,), (2,)]), 2, None),
    "many, of a TEMP table": (lambda db: db.executemany("INSERT INTO mine VALUES (?)", [(1,)] * 3), 3, None),
}


@pytest.mark.parametrize("moment", ["statement", "_give_turn"])
@pytest.mark.parametrize("name", AFTER)
def test_a_verb_comes_right_behind_a_statement(name, moment, db, monkeypatch):
    """The statement is done, and says so: its rows and its row's id are those that it wrote."""
    does, count, rowid = AFTER[name]
    db.execute("CREATE TEMP TABLE mine (a)")
    before = db.total_changes
    really = getattr(Session, moment)

    def followed(self: Session, *given: object, **options: object) -> object:
        if moment == "_give_turn":
            self.suspend()
        result = really(self, *given, **options)
        if moment == "statement":
            self.suspend()
        return result

    monkeypatch.setattr(Session, moment, followed)
    cursor = does(db)
    monkeypatch.undo()
    assert cursor.rowcount == count
    assert cursor.lastrowid == rowid or rowid is None
    assert db.total_changes == before + count
    assert db.execute("SELECT count(*) FROM log").fetchone() == (0 if "TEMP" in name else count,)


VERBS = {"pull": lambda db: db.aio.pull(), "sync": lambda db: db.aio.sync()}


@pytest.mark.parametrize("name", VERBS)
def test_it_is_stopped_while_its_own_verb_has_its_files(name, db, monkeypatch):
    """Cancelled, an awaited verb that has let go of the files is done first; no error of SQLite's is told."""
    held, cancelled = threading.Event(), threading.Event()
    really = Session.suspend

    def suspend(self: Session) -> None:
        really(self)
        held.set()
        cancelled.wait(SHORT_S)

    monkeypatch.setattr(Session, "suspend", suspend)

    async def work() -> None:
        task = asyncio.ensure_future(VERBS[name](db))
        assert await asyncio.to_thread(held.wait, LONG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    monkeypatch.undo()
    cancelled.set()
    while session_of(db).awaited:
        time.sleep(0.01)
    db.interrupt()
    db.pull()
    db.execute("INSERT INTO log (n) VALUES (1)")
    assert db.execute("SELECT count(*) FROM log").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM another").fetchone() == (0,)

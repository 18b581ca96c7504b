"""Databases for the server's tests: made, changed at random, and read as plain bytes."""

from __future__ import annotations

import random
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import apsw

from turso_sync_nb.server.history import History
from turso_sync_nb.server.limits import Limits
from turso_sync_nb.server.served_file import ServedFile

PAGE = 4096
LIMITS = replace(Limits(), wal_bytes=100_000)
SERIES = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s WHERE v < {}) "


def make(path, rows=0, **pragmas):
    """Make a plain rollback-journal database with table t(a, b) and ``rows`` rows of some 100 bytes."""
    with closing(apsw.Connection(str(path))) as connection:
        for name, value in pragmas.items():
            connection.pragma(name, value)
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        if rows:
            connection.execute(f"INSERT INTO t(b) {SERIES.format(rows)} SELECT printf('%0100d', v) FROM s")
    return path


def write(path, sql, bindings=()):
    """Run SQL on the file as another program would, without ever moving its WAL."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(5000)
        connection.wal_autocheckpoint(0)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection.execute(sql, bindings).fetchall()


def pages(path):
    """Return the database's pages as SQLite sees them now, WAL included."""
    with closing(apsw.Connection(str(path))) as connection:
        data = connection.serialize("main")
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


@contextmanager
def opened(path, limits=LIMITS):
    """Open the history of a file, without a server."""
    with ServedFile(path, busy_ms=5000) as file, History(file, limits) as history:
        yield history


def read_all(history, revision):
    """Return all pages at a revision."""
    return history.read(revision, list(range(history.db_pages_at(revision))))


CHANGES = ("insert", "insert", "insert", "delete", "update", "shrink", "table", "checkpoint")


def change(path, kind, seed):
    """Change the file at random in one way, as another program would."""
    rnd = random.Random(seed)
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(5000)
        connection.wal_autocheckpoint(rnd.choice((0, 10, 1000)))
        if kind == "insert":
            size, rows = rnd.choice((10, 900, 6000)), rnd.randint(1, 40)
            connection.execute(f"INSERT INTO t(b) {SERIES.format(rows)} SELECT randomblob(?) FROM s", (size,))
        elif kind == "delete":
            connection.execute("DELETE FROM t WHERE a % ? = 0", (rnd.randint(1, 4),))
        elif kind == "update":
            connection.execute("UPDATE t SET b = randomblob(50) WHERE a % ? = 0", (rnd.randint(1, 9),))
        elif kind == "shrink":
            connection.execute("DELETE FROM t WHERE a % 5")
            connection.execute("VACUUM")
        elif kind == "table":
            connection.execute(f"CREATE TABLE IF NOT EXISTS t{rnd.randint(0, 99)} (x UNIQUE, y)")
        elif kind == "checkpoint":
            with suppress(apsw.BusyError):  # the server stands on the WAL
                connection.wal_checkpoint(mode=rnd.choice((0, 1, 2, 3)))

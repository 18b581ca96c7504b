"""The chain of a connection's classes: each has one base, works alone, and its module knows no later one."""

from __future__ import annotations

import ast
import inspect
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from inside import replica_of, session_of

from turso_sync_nb.connection.connection import Connection
from turso_sync_nb.connection.drop_in import DropInConnection
from turso_sync_nb.connection.fetching import FetchingConnection
from turso_sync_nb.connection.frame_verbs import FrameConnection
from turso_sync_nb.connection.functions import FunctionsConnection
from turso_sync_nb.connection.sql import SqlConnection
from turso_sync_nb.connection.syncing import SyncConnection

if TYPE_CHECKING:
    from collections.abc import Callable

CHAIN = (
    SqlConnection, FunctionsConnection, FetchingConnection, DropInConnection, FrameConnection,
    SyncConnection, Connection,
)  # fmt: skip


def sql(db: SqlConnection) -> Any:
    """Write in a transaction, and read it."""
    with db.atomic():
        db.execute("INSERT INTO t VALUES (1, 'one')")
    return db.run("SELECT * FROM t").rows


def function(db: FunctionsConnection) -> Any:
    """Call a Python function from SQL."""
    db.create_function("twice", 1, lambda value: 2 * value)
    return db.execute("SELECT twice(4)").fetchall()


def sizes(db: FetchingConnection) -> Any:
    """List the tables with their sizes."""
    return [size.name for size in db.table_sizes()]


def batch(db: DropInConnection) -> Any:
    """Run statements in one call."""
    results = db.batch([("INSERT INTO t VALUES (?, ?)", (1, "one")), "SELECT b FROM t"], mode="immediate")
    return [result.rows for result in results]


def edited(db: FrameConnection) -> Any:
    """Write a frame, then edit it."""
    db.write_frame(db.query("SELECT 1 AS a, 'one' AS b"), "t")
    frame = db.edit_frame("t")
    frame.loc[0, "b"] = "two"
    return db.apply(frame).updated, db.execute("SELECT b FROM t").fetchall()


def pushed(db: SyncConnection) -> Any:
    """Push what was written, and pull."""
    with db:
        db.execute("INSERT INTO t VALUES (1, 'one')")
    waiting = db.stats().cdc_operations
    return waiting, db.push().changes, db.pending_changes, bool(db.pull())


def beside(db: Connection) -> Any:
    """Read on a sibling."""
    with closing(db.sibling()) as other:
        return other.execute("SELECT count(*) FROM t").fetchall()


ALONE: tuple[tuple[type[SqlConnection], Callable[[Any], Any], Any], ...] = (
    (SqlConnection, sql, [(1, "one")]),
    (FunctionsConnection, function, [(8,)]),
    (FetchingConnection, sizes, ["t"]),
    (DropInConnection, batch, [[], [("one",)]]),
    (FrameConnection, edited, (1, [("two",)])),
    (SyncConnection, pushed, (1, 1, 0, True)),
    (Connection, beside, [(0,)]),
)


@pytest.mark.parametrize(("kind", "work", "expected"), ALONE, ids=lambda one: getattr(one, "__name__", ""))
def test_each_class_works_alone(remote_server, connect, kind, work, expected) -> None:
    """Made without the later ones, on a replica of its own; closed, it has let go of it."""
    server = remote_server()
    made = connect(server.url)
    made.executescript("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    made.push()
    replica = replica_of(made)
    replica.retain()
    with closing(kind(replica)) as db:
        assert type(db) is kind
        assert work(db) == expected
    assert db.closed
    assert replica.gate.members == {session_of(made)}


def test_it_is_a_chain() -> None:
    """Each class has the one before it as its base, and the last is what users' class is made from."""
    for before, one in pairwise(CHAIN):
        assert one.__bases__ == (before,)


@pytest.mark.parametrize("at", range(len(CHAIN)), ids=lambda at: CHAIN[at].__name__)
def test_a_module_imports_no_later_one(at: int) -> None:
    """Nor for types: what a class uses is in the ones before it."""
    later = {one.__module__ for one in CHAIN[at + 1 :]}
    tree = ast.parse(inspect.getsource(inspect.getmodule(CHAIN[at])))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & later

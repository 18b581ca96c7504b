"""Random schemas with triggers: what two replicas push is what one database would hold."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from peers import EmbeddedThread, PeerMissingError, tursodb_server
from random_peer import Server
from random_triggers import TABLES, contents, triggers, work
from skips import miss

import turso_sync_nb as tsn

LONG = bool(os.environ.get("TSN_SOAK"))
KINDS = {"tursodb": tursodb_server, "embedded": EmbeddedThread}


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=400 if LONG else 4,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rnd=st.randoms(use_true_random=False))
def test_two_replicas_and_triggers_are_as_one_database(kind, rnd):
    """Every table of the remote, and of both replicas after a pull, is plain SQLite's; nothing conflicts."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tsn-triggers-")))
        schema = [*TABLES, *triggers(rnd)]
        note("\n".join(schema[len(TABLES) :]))
        model = apsw.Connection(":memory:")
        running.callback(model.close)
        with apsw.Connection(str(folder / "source.db")) as source:
            for sql in schema:
                model.execute(sql)
                source.execute(sql)
        source.close()
        (folder / "server").mkdir()
        try:
            server = KINDS[kind](folder / "server", folder / "source.db")
        except PeerMissingError as missing:
            miss(str(missing))
        server.start()
        running.callback(server.kill)
        dbs = [tsn.connect(folder / f"replica-{who}", server.url, isolation_level=None) for who in range(2)]
        for db in dbs:
            running.callback(db.close)
        work(rnd, dbs, model, note)
        wanted = contents(lambda sql: model.execute(sql).fetchall())
        far = Server(server.url)
        running.callback(far.close)
        assert contents(far.run) == wanted
        for db in dbs:
            db.pull()
            assert contents(lambda sql, db=db: db.execute(sql).fetchall()) == wanted
            assert db.changes().empty
            assert db.conflicts().empty

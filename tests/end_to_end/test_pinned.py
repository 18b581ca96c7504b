"""Reads at one revision: what the remote was then, lazily, whatever happens there meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

import turso_sync_nb as tsn

ASK = "SELECT count(*), sum(length(v)), min(v) FROM ballast"


@pytest.fixture
def moved(ballast, replica):
    """A replica of three revisions, with what a query says at each, and the connection that made them."""
    db = replica("mine")
    said = {}
    for change in (
        None,
        "UPDATE ballast SET v = 'second' WHERE id = 7",
        "DELETE FROM ballast WHERE id > 100; INSERT INTO kv VALUES ('third', 3); CREATE TABLE made (a)",
    ):
        if change:
            db.executescript(change)
            db.push()
            db.pull()
        said[db.stats().revision] = db.execute(ASK).fetchall()
    assert len(said) == 3
    return db, said


def test_a_revision_is_read_while_the_remote_moves_on(moved, replica, server, tmp_path):
    """By URL, by folder, and from an open connection; with few requests, and none again."""
    db, said = moved
    revisions = list(said)
    writer = replica("writer")
    for connect in (
        lambda revision: tsn.connect_at(server.url, revision),
        lambda revision: tsn.connect_at(tmp_path / "mine", revision),
        db.at,
    ):
        for revision in revisions:
            with closing(connect(revision)) as then:
                begun = then.stats()
                assert begun.revision == revision
                assert begun.pages_resident < begun.pages_total
                lookup = then.execute("SELECT length(v) FROM ballast WHERE id = 50").fetchall()
                assert lookup == [(3000,)]
                assert then.stats().network_requests - begun.network_requests <= 3
                writer.execute("INSERT INTO ballast VALUES (NULL, 'later')")
                writer.push()
                assert then.execute(ASK).fetchall() == said[revision]
                asked = then.stats().network_requests
                assert asked - begun.network_requests < 40
                assert then.execute(ASK).fetchall() == said[revision]
                assert then.stats().network_requests == asked
    assert Path(db.path).exists()
    db.pull()
    assert db.execute("SELECT count(*) FROM ballast WHERE v = 'later'").fetchone() == (9,)


def test_it_does_not_write(moved, tmp_path):
    """Each verb and statement that would is refused by name; TEMP tables and export work."""
    db, said = moved
    revision = next(iter(said))
    with closing(db.at(revision)) as then:
        for sql in (
            "INSERT INTO kv VALUES ('no', 1)",
            "UPDATE t SET a = 1",
            "DELETE FROM t",
            "CREATE TABLE no (a)",
            "DROP TABLE t",
            "WITH w AS (SELECT 1) INSERT INTO bare SELECT 1, 1 FROM w",
        ):
            for _ in range(2):
                with pytest.raises(tsn.UsageError, match=r"reads revision .* and nothing else"):
                    then.execute(sql)
        for verb in (then.pull, then.push, then.sync, then.wait_changes, then.checkpoint):
            with pytest.raises(tsn.UsageError, match="and nothing else"):
                verb()
        then.execute("CREATE TEMP TABLE mine AS SELECT id FROM ballast WHERE id < 4")
        assert then.execute("SELECT count(*) FROM mine").fetchone() == (3,)
        then.export(tmp_path / "then.db")
    with apsw.Connection(str(tmp_path / "then.db")) as plain:
        assert plain.execute(ASK).fetchall() == said[revision]
    plain.close()
    assert db.changes().empty


def test_history_names_the_revisions(moved, replica):
    """Each that it was at, in order, with its time; kept over reopening."""
    db, said = moved
    listed = db.history()
    assert listed["revision"].tolist() == list(said)
    assert listed["current"].tolist() == [False, False, True]
    assert listed["time"].is_monotonic_increasing
    db.close()
    again = replica("mine")
    assert again.history()["revision"].tolist() == list(said)


def test_two_revisions_are_compared(moved, replica):
    """By table and key, in either order, seen here or not; without a second one, to the newest."""
    db, said = moved
    first, second, third = said
    (one,) = db.diff(first, second).to_dict("records")
    assert (one["table"], one["key"], one["operation"], one["new"]) == (
        "ballast", {"id": 7}, "update", {"v": "second"},
    )  # fmt: skip
    (back,) = db.diff(second, first).to_dict("records")
    assert (back["operation"], back["old"]) == ("update", {"v": "second"})
    found = db.diff(first, third)
    assert found.groupby(["table", "operation"]).size().to_dict() == {
        ("ballast", "delete"): 200,
        ("ballast", "update"): 1,
        ("kv", "insert"): 1,
        ("made", "create"): 1,
    }
    yours = replica("yours", partial_sync=tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096)))
    assert len(yours.diff(first)) == len(yours.diff(first, second)) + 202 == len(found)
    assert len(yours.diff(second, first)) == 1
    assert yours.diff(third).empty


@pytest.mark.parametrize("place", ["folder", "URL", "open"])
def test_a_revision_that_is_not_there_is_refused(moved, server, tmp_path, place):
    """In one line with a hint; nothing is left of it."""
    db, _ = moved
    ways = {
        "folder": lambda: tsn.connect_at(tmp_path / "mine", "no such revision"),
        "URL": lambda: tsn.connect_at(server.url, "no such revision"),
        "open": lambda: db.at("no such revision"),
    }
    with pytest.raises((tsn.RevisionGoneError, tsn.RemoteError), match="revision") as raised:
        ways[place]()
    assert raised.value.hint
    with pytest.raises(tsn.UsageError, match="there is no replica"):
        tsn.connect_at(tmp_path / "nothing", "r")
    with pytest.raises(tsn.UsageError, match="none was given"):
        db.at("")

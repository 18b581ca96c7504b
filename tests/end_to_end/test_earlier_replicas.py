"""Replicas made by earlier releases, with changes waiting, are opened and pushed: a folder a tape format.

``earlier/1`` was written before the tape had effects of triggers: inserts with and without a key of SQLite's
choice, an update, a delete, a REPLACE, rows without a key, a composite key under a trigger, schema changes, a
transaction given up, and a checkpoint in the middle. ``earlier/2`` has effects of triggers, REPLACE under a
DELETE trigger, and rows that a trigger changed too. ``earlier/3`` has these, and rows without an outcome: an
ignored insert, an update without a difference, a soft delete, a REPLACE of triggers, and values of chance.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from inside import raw_of
from test_triggers_there import state

import turso_sync_nb as tsn

EARLIER = Path(__file__).parent / "earlier"
WITH_EFFECTS = """
insert t, update t, delete books, insert books, update t, delete t, delete books, create made, insert made
"""
WAITING = {
    "1": """
insert t, update t, delete t, delete t, insert t, delete bare, insert pair, update pair, create made,
insert made, add column made, insert t, update t
""",
    "2": WITH_EFFECTS,
    "3": f"""{WITH_EFFECTS.strip()},
insert t, insert t, update t, delete soft, insert tagged, insert tagged, delete t, update t
""",
}
"""What waits in each folder: operations and tables."""

LOGGED = {"1": 2, "2": 6, "3": 11}
"""Rows that triggers logged: none of them twice, and none missing."""


@pytest.fixture(params=WAITING)
def earlier(request, tmp_path):
    """The folder as it was left, its files with the times that its metadata names; and its format."""
    folder = tmp_path / "replica"
    shutil.copytree(EARLIER / request.param, folder, ignore=shutil.ignore_patterns("remote.db*"))
    stamp = json.loads((folder / "replica.json").read_text())["stamp"]
    os.utime(folder / "main.db", ns=(stamp["mtime_ns"], stamp["mtime_ns"]))
    return folder, request.param


def seen_by(db):
    """Return all that a replica shows."""
    return state(lambda sql: db.execute(sql).fetchall())


def test_what_waits_is_read(earlier):
    """Without a server: every change, and the one that was given up."""
    folder, version = earlier
    with closing(tsn.connect(folder, "http://127.0.0.1:1")) as db:
        changes = db.changes()
    assert (changes["operation"] + " " + changes["table"]).tolist() == " ".join(
        WAITING[version].split()
    ).split(", ")
    assert changes["state"].tolist().count("skipped") == (version == "1")


@pytest.mark.parametrize("news", [False, True], ids=["", "news"])
def test_it_is_pushed(earlier, remote_server, tmp_path, news):
    """All of it arrives as it is here, once, before or after a pull; what was given up does not."""
    folder, version = earlier
    url = remote_server(shutil.copy(EARLIER / version / "remote.db", tmp_path / "remote.db")).url
    with closing(tsn.connect(folder, url, isolation_level=None)) as db:
        wanted = seen_by(db)
        assert len(wanted["table", "log"]) == LOGGED[version]
        if news:
            with closing(tsn.connect(tmp_path / "news", url, isolation_level=None)) as other:
                other.execute("CREATE TABLE theirs (x)")
                other.push()
            db.pull(same_database=True)  # the server that it knew is gone
            wanted["table", "theirs"] = []
            assert seen_by(db) == wanted
        db.push()
        assert set(db.changes()["state"]) == ({"skipped"} if version == "1" else set())
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert seen_by(fresh) == wanted
        db.pull()
        assert seen_by(db) == wanted
        assert db.conflicts().empty


def test_a_later_format_is_refused(earlier):
    """A tape that a later release wrote is left alone, with a hint to upgrade."""
    folder, _ = earlier
    with closing(tsn.connect(folder, "http://127.0.0.1:1", isolation_level=None)) as db:
        db.execute("CREATE TABLE another (x)")
        raw_of(db).execute("UPDATE turso_sync_nb_changes SET v1 = 99 WHERE op = 0")
        with pytest.raises(tsn.ReplicaBrokenError, match="their format is 99") as refused:
            db.changes()
        assert "upgrade" in refused.value.hint

"""Replicas made by earlier releases, with changes waiting, are opened and pushed: a folder a tape format.

``earlier/1`` was written before the tape had effects of triggers: inserts with and without a key of SQLite's
choice, an update, a delete, a REPLACE, rows without a key, a composite key under a trigger, schema changes, a
transaction given up, and a checkpoint in the middle.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

import turso_sync_nb as tsn

EARLIER = Path(__file__).parent / "earlier"


@pytest.fixture
def earlier(tmp_path):
    """The folder as it was left, its files with the times that its metadata names."""
    folder = tmp_path / "replica"
    shutil.copytree(EARLIER / "1", folder, ignore=shutil.ignore_patterns("remote.db*"))
    stamp = json.loads((folder / "replica.json").read_text())["stamp"]
    os.utime(folder / "main.db", ns=(stamp["mtime_ns"], stamp["mtime_ns"]))
    return folder


def test_what_waits_is_read(earlier):
    """Without a server: every change, and the one that was given up."""
    with closing(tsn.connect(earlier, "http://127.0.0.1:1")) as db:
        changes = db.changes()
    assert changes["operation"].tolist() == [
        "insert", "update", "delete", "delete", "insert", "delete", "insert", "update", "create", "insert",
        "add column", "insert", "update",
    ]  # fmt: skip
    assert changes["state"].tolist().count("skipped") == 1


def test_it_is_pushed(earlier, remote_server, tmp_path):
    """All of it arrives, once; the trigger of the remote fires once; what was given up does not."""
    url = remote_server(shutil.copy(EARLIER / "1" / "remote.db", tmp_path / "remote.db")).url
    with closing(tsn.connect(earlier, url)) as db:
        db.push()
        assert db.changes()["state"].tolist() == ["skipped"]
    with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
        rows = {name: fresh.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in (
            "t", "bare", "pair", "log", "made"
        )}  # fmt: skip
    assert rows == {
        "t": [(1, "changed", 10), (4, "auto", 41), (9, "replaced", 30)],
        "bare": [(1, 1), (2, 2)],
        "pair": [("a", 1, "z"), ("b", 2, "y")],
        "log": [(1, "a"), (2, "b")],
        "made": [(1, b"\x00\xff", None)],
    }


def test_a_later_format_is_refused(earlier):
    """A tape that a later release wrote is left alone, with a hint to upgrade."""
    with closing(tsn.connect(earlier, "http://127.0.0.1:1", isolation_level=None)) as db:
        db.execute("INSERT INTO bare VALUES (7, 7)")
        db._session.raw.execute("UPDATE turso_sync_nb_changes SET v1 = 99 WHERE op = 0")
        with pytest.raises(tsn.ReplicaBrokenError, match="their format is 99") as refused:
            db.changes()
        assert "upgrade" in refused.value.hint

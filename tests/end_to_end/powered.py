"""A child that works on a replica until the power goes; run as a program.

Arguments: folder, URL, kind (whole, partial, limited), seed, event at which it ends, file for its notes. It
says what it did on stdout, line by line, each line after it was done.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from ended import said
from power import Recorder

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pipeline import Execute, Stmt
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.storage.pages.eviction import PAGES_MIN
from turso_sync_nb.units import PAGE_SIZE

STEPS = 14
KINDS = ("write", "write", "write", "read", "other", "pull", "push", "checkpoint", "reopen")


def main() -> None:
    """Do random work on the replica."""
    folder, url, kind, seed, stop, notes = sys.argv[1:7]
    recorder = Recorder(Path(folder), Path(notes), int(stop))
    recorder.install()
    rnd, remote = Random(seed), HttpRemote(url)
    lazily = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )

    def connect() -> tsn.Connection:
        partial_sync = None if kind == "whole" else lazily
        max_resident = PAGES_MIN * PAGE_SIZE if kind == "limited" else None
        db = tsn.connect(
            folder, url, isolation_level=None, partial_sync=partial_sync, max_resident=max_resident
        )
        said("connected")
        return db

    db = connect()
    for number in range(STEPS):
        key = f"{seed}-{number}"
        step = rnd.choice(KINDS)
        if step == "write":
            db.execute("INSERT INTO kv VALUES (?, ?)", (key, "v" * rnd.choice((1, 3000, 20_000))))
            said("committed", key)
            db.execute("UPDATE ballast SET v = ? WHERE id = ?", (key, rnd.randint(1, 300)))
        elif step == "read":
            db.execute("SELECT sum(length(v)) FROM ballast WHERE id > ?", (rnd.randint(1, 300),)).fetchall()
        elif step == "other":
            change = "UPDATE ballast SET v = v || ? WHERE id BETWEEN ? AND ? + 20"
            at = rnd.randint(1, 300)
            remote.pipeline([Execute(Stmt(change, (key, at, at)))])
        elif step == "reopen":
            db.close()
            db = connect()
        else:
            getattr(db, step)()
            said(step)
    db.close()
    said("closed")
    recorder.end()


if __name__ == "__main__":
    main()

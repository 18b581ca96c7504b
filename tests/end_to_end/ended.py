"""A child that works on a replica and is ended at a named place; run as a program.

Arguments: folder, URL, kind (whole, partial, limited, legacy), place, which time. It says what it did on
stdout, line by line, each line after it was done.
"""

from __future__ import annotations

import os
import sys

import turso_sync_nb as tsn
from turso_sync_nb.storage.files import failpoints


def main() -> None:
    """Work until the place is passed for that time."""
    folder, url, kind, place, times = *sys.argv[1:5], int(sys.argv[5])
    passed = 0

    def end_here(name: str) -> None:
        nonlocal passed
        passed += name == place
        if passed == times:
            os._exit(9)

    partial = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )
    db = tsn.connect(
        folder,
        url,
        isolation_level=None,
        partial_sync=None if kind in ("whole", "legacy") else partial,
        max_resident="1MiB" if kind == "limited" else None,
        protocol="legacy" if kind == "legacy" else "v1",
    )
    db.execute("PRAGMA cache_size = 10")  # what is read again is read from the file
    failpoints.handler = end_here
    for round_number in range(3):
        for number in range(4):
            key = f"{round_number}-{number}"
            db.execute("INSERT INTO kv VALUES (?, ?)", (key, "v" * 3000))
            said("committed", key)
            failpoints.failpoint("commit: returned")
        for _ in range(2 if kind == "limited" else 0):
            db.execute("SELECT sum(length(v)) FROM ballast").fetchall()
        if round_number == 1:
            db.checkpoint()
            said("checkpoint")
        db.pull()
        said("pulled")
        db.push()
        said("pushed")
    db.execute("INSERT INTO kv VALUES ('last', 1)")
    said("committed", "last")
    db.close()
    said("closed")
    os._exit(0)


def said(*words: str) -> None:
    """Tell the parent."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Ledger scenarios through an embedded replica of Python libsql, which speaks the legacy protocol."""

from __future__ import annotations

from pathlib import Path

import libsql
from telling import begun, restarted, tell

given = begun()
ADD = "INSERT INTO entry (who, amount) VALUES (?, ?)"
LARGE = 20_000_000
"""Bytes of a value that takes more frames than a generation has."""


def connected():
    """Return a connection to the server itself."""
    return libsql.connect(given["url"], auth_token=given["token"])


def total(db):
    """Return the sum of the ledger."""
    return db.execute("SELECT sum(amount) FROM entry").fetchone()[0]


there = connected()
there.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, who TEXT NOT NULL, amount INTEGER)")
there.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value)")
there.commit()
here = libsql.connect(
    str(Path(given["folder"], "replica.db")), sync_url=given["url"], auth_token=given["token"]
)
there.executemany(ADD, [("batch", 1), ("batch", 2)])
there.commit()
tell("not pulled yet", total(here))
here.sync()
tell("batch", total(here))
here.execute(ADD, ("rolled back", 1000))
here.rollback()
here.execute(ADD, ("committed", 100))
here.commit()
here.sync()
tell("written through it", total(here))
there.execute("INSERT INTO kept VALUES ('large', zeroblob(?))", (LARGE,))
there.commit()
here.sync()
tell("more than a generation", here.execute("SELECT length(value) FROM kept").fetchone()[0] == LARGE)
there.execute("DELETE FROM kept")
there.execute(ADD, ("committed", 500))
there.commit()
here.sync()
tell("committed", total(here))
tell("deleted", here.execute("SELECT count(*) FROM kept").fetchone()[0])
restarted()
there = connected()
there.execute(ADD, ("after", 20))
there.commit()
here.sync()
tell("goes on", total(here))
tell("integrity", here.execute("PRAGMA integrity_check").fetchone()[0])

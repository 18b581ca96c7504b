"""Ledger scenarios through the Python package libsql; tells the test what came of each."""

from __future__ import annotations

import libsql
from telling import begun, restarted, tell

given = begun()


def connected():
    """Return a connection to the server."""
    return libsql.connect(given["url"], auth_token=given["token"])


def total(db):
    """Return the sum of the ledger."""
    return db.execute("SELECT sum(amount) FROM entry").fetchone()[0]


ADD = "INSERT INTO entry (who, amount) VALUES (?, ?)"
db, other = connected(), connected()
db.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, who TEXT NOT NULL, amount INTEGER)")
db.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value)")
db.commit()
db.executemany(ADD, [("batch", 1), ("batch", 2)])
db.commit()
tell("batch", total(other))
other.rollback()
db.execute(ADD, ("rolled back", 1000))
tell("not seen elsewhere", total(other))
other.rollback()
db.rollback()
try:
    db.execute(ADD, ("batch", 10))
    db.execute(ADD, (None, 10))
except ValueError as error:
    tell("batch undone", "refused" if "NOT NULL" in str(error) else str(error))
db.rollback()
tell("nothing of it", total(db))
db.execute(ADD, ("committed", 100))
tell("one row amid a transaction", total(db))
db.execute(ADD, ("committed", 500))
db.commit()
other.rollback()
tell("committed", total(other))
other.rollback()
db.execute(ADD, ("rolled back", 1000))
db.rollback()
tell("rolled back", total(db))
db.rollback()
values = {"half": 0.5, "text": "Zürich 東京", "none": None, "bytes": b"\0\xff\x7f"}
for item in values.items():
    db.execute("INSERT INTO kept VALUES (?, ?)", item)
db.commit()
found = db.execute("SELECT * FROM kept").fetchall()
tell("values", [[name, list(value) if isinstance(value, bytes) else value] for name, value in found])
MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
tell("rows", len(db.execute(MANY).fetchall()))
db.executescript("CREATE TABLE many (x); INSERT INTO many VALUES (1), (2); DROP TABLE many;")
db.execute(ADD, ("lost", 10000))
restarted()
try:
    db.execute(ADD, ("lost", 10000))
    db.commit()
    tell("a transaction over a restart", "committed")
except ValueError:
    tell("a transaction over a restart", "refused")
after = connected()
tell("after the restart", total(after))
after.execute(ADD, ("after", 20))
after.commit()
tell("goes on", total(after))

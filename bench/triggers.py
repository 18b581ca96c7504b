"""What triggers cost: statements and pushes on tables beside them, and on tables that have some.

Beside them: ours in a database with a trigger on other tables, and ours in one without any.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import turso.sync
from capture import PAIRS, SINGLE, insert_singly, update_singly, warm
from figures import Figure, compared, in_turns, timed
from peers import tursodb_server
from stock import ROWS, fill, made

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

BESIDE_LIMIT: Final = 1.2
"""Of what the same costs without triggers; their noise is taken within pairs."""

TRIGGERS: Final = (
    "CREATE TABLE watched (id INTEGER PRIMARY KEY, name)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "CREATE TRIGGER wi AFTER INSERT ON watched BEGIN INSERT INTO log (m) VALUES ('i' || new.id); END",
    "CREATE TRIGGER wu AFTER UPDATE ON watched BEGIN INSERT INTO log (m) VALUES ('u' || new.id); END",
)


def figures() -> list[Figure]:
    """Return the lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tursodb_server(Path(folder), made(Path(folder) / "source.db", "stock")) as server,
    ):
        return [
            beside(server.url, f"{SINGLE:,} inserts, one by one, beside triggers", insert_singly),
            beside(server.url, f"{SINGLE:,} updates by key, one by one, beside triggers", update_singly),
            beside_pushed(server.url),
            watched(server.url),
        ]


def beside(url: str, what: str, work: Callable[[Any], None]) -> Figure:
    """Run statements on a table that no trigger concerns, with triggers on others and without any."""
    mine, other = in_turns(
        lambda: warm(lambda path: with_triggers(tsn.connect(path, url)), work),
        lambda: warm(lambda path: tsn.connect(path, url), work),
        pairs=PAIRS,
    )
    return compared(what, mine, other, peer="without triggers", limit=BESIDE_LIMIT)


def beside_pushed(url: str) -> Figure:
    """Push inserts into such a table, with triggers on others and without any."""

    def pushed(connect: Callable[[str], Any]) -> float:
        with tempfile.TemporaryDirectory() as folder, closing(connect(f"{folder}/replica")) as db:
            db.push()
            last = db.execute("SELECT ifnull(max(id), 0) FROM stock").fetchone()[0]
            fill(db, "stock", last + 1)
            return timed(db.push)

    mine, other = in_turns(
        lambda: pushed(lambda path: with_triggers(tsn.connect(path, url))),
        lambda: pushed(lambda path: tsn.connect(path, url)),
        pairs=PAIRS,
    )
    what = f"push of {ROWS:,} inserts beside triggers"
    return compared(what, mine, other, peer="without triggers", limit=BESIDE_LIMIT)


def watched(url: str) -> Figure:
    """Run statements on a table with triggers, ours and pyturso's."""

    def insert(db: Any) -> None:
        for key in range(1, SINGLE + 1):
            db.execute("INSERT INTO watched (id, name) VALUES (?, ?)", (key, "article"))

    def seconds(connect: Callable[[str], Any]) -> float:
        with tempfile.TemporaryDirectory() as folder, closing(connect(f"{folder}/replica")) as db:
            with_triggers(db)
            insert(db)
            db.rollback()
            return timed(lambda: insert(db))

    mine, other = in_turns(
        lambda: seconds(lambda path: tsn.connect(path, url)),
        lambda: seconds(lambda path: turso.sync.connect(path, remote_url=url)),
        pairs=PAIRS,
    )
    what = f"{SINGLE:,} inserts, one by one, into a table with a trigger"
    return compared(what, mine, other, peer="pyturso", limit=None)


def with_triggers(db: Any) -> Any:
    """Make the triggers and their tables, if they are not there."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'watched'").fetchone():
        for sql in TRIGGERS:
            db.execute(sql)
        db.commit()
    return db

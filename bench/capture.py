"""Writing to a replica: ours beside pyturso's, and beside plain SQLite; and the memory that it takes.

Everything is committed durably: plain SQLite runs in WAL mode with ``synchronous = FULL``, as a replica does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import turso.sync
from figures import Figure, compared, in_turns, timed
from inside import raw_of
from peers import tursodb_server
from stock import COLUMNS, PLACES, ROWS, made, rows

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAIRS: Final = 9
PYTURSO_LIMIT: Final = 0.5
SINGLE_LIMIT: Final = 0.4
PLAIN_LIMIT: Final = 3.0
ASSIGNED_LIMIT: Final = 2.5
SAME_TRIGGERS: Final = "native with our triggers"
"""The machine's own limit of capturing by triggers."""

COPIED: Final = 200_000
MEMORY_LIMIT_BYTES: Final = 300 * 10**6
MANY: Final = 1_000_000
SINGLE: Final = 2_000

INSERT: Final = f"INSERT INTO stock {PLACES}"
COPY: Final = "INSERT INTO stock SELECT * FROM source"
COPY_ASSIGNED: Final = "INSERT INTO stock (name, price, note) SELECT name, price, note FROM source"
NUMBERS: Final = (
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
    "INSERT INTO {table} (name, price, note) SELECT 'article ' || i, i * 0.25, 'in the second store' FROM n"
)

WRITER: Final = """
import json, sys
from pathlib import Path
import turso_sync_nb as tsn
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
db = tsn.connect(*sys.argv[1:3])
before = peak()
for sql in sys.argv[3:]:
    changed = db.execute(sql).rowcount
    db.commit()
print(json.dumps([changed, before, peak()]))
"""
"""Not ``ru_maxrss``: that begins with what the process held that started this one."""


def figures() -> list[Figure]:
    """Return the lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tursodb_server(Path(folder), made(Path(folder) / "source.db", "stock")) as server,
    ):
        return [
            inserted(server.url),
            *singly(server.url),
            *against_plain(server.url),
            *copied(server.url, f"{COPIED:,} rows by INSERT .. SELECT", COPY, PLAIN_LIMIT),
            *copied(server.url, "the same, keys assigned by SQLite", COPY_ASSIGNED, ASSIGNED_LIMIT),
            memory(server.url, nested=False),
            memory(server.url, nested=True),
        ]


def inserted(url: str) -> Figure:
    """Insert rows in one transaction, ours and pyturso's."""
    stock = rows(1)
    mine, other = in_turns(
        lambda: one(lambda path: tsn.connect(path, url), lambda db: _insert(db, stock)),
        lambda: one(lambda path: turso.sync.connect(path, remote_url=url), lambda db: _insert(db, stock)),
        pairs=PAIRS,
    )
    return compared(f"{ROWS:,} captured inserts", mine, other, peer="pyturso", limit=PYTURSO_LIMIT)


def singly(url: str) -> list[Figure]:
    """Run one statement after the other in a transaction, ours and pyturso's: what each costs by itself."""

    def figure(what: str, work: Callable[[Any], None]) -> Figure:
        mine, other = in_turns(
            lambda: warm(lambda path: tsn.connect(path, url), work),
            lambda: warm(lambda path: turso.sync.connect(path, remote_url=url), work),
            pairs=PAIRS,
        )
        return compared(what, mine, other, peer="pyturso", limit=SINGLE_LIMIT)

    return [
        figure(f"{SINGLE:,} inserts, one by one", insert_singly),
        figure(f"{SINGLE:,} updates by key, one by one", update_singly),
        figure(f"{SINGLE:,} rows by key, one by one", look_up_singly),
    ]


def insert_singly(db: Any) -> None:
    """Insert rows, one statement each."""
    for key in range(1, SINGLE + 1):
        db.execute("INSERT INTO stock (id, name) VALUES (?, ?)", (key, "article"))


def update_singly(db: Any) -> None:
    """Update rows by key, one statement each."""
    for key in range(1, SINGLE + 1):
        db.execute("UPDATE stock SET name = ? WHERE id = ?", ("other", key))


def look_up_singly(db: Any) -> None:
    """Look rows up by key, one statement each."""
    for key in range(1, SINGLE + 1):
        db.execute("SELECT name FROM stock WHERE id = ?", (key,)).fetchone()


def warm(connect: Callable[[str], Any], work: Callable[[Any], None]) -> float:
    """Return the seconds of ``work`` on its second run; its rows are there, or were rolled back."""
    with tempfile.TemporaryDirectory() as folder, closing(connect(f"{folder}/replica")) as db:
        insert_singly(db)
        if work is insert_singly:
            db.rollback()
        else:
            work(db)
        return timed(lambda: work(db))


def against_plain(url: str) -> list[Figure]:
    """Insert the same rows, ours and plain SQLite's, then one with our triggers."""
    stock = rows(1)

    def plainly(db: apsw.Connection) -> None:
        with db:
            db.executemany(INSERT, stock)

    def ours() -> float:
        return one(lambda path: tsn.connect(path, url), lambda db: _insert(db, stock))

    what, made = f"{ROWS:,} inserts by executemany", our_triggers(url)
    mine, other = in_turns(ours, lambda: one(plain, plainly), pairs=PAIRS)
    found = compared(what, mine, other, peer="native", limit=PLAIN_LIMIT)
    mine, other = in_turns(ours, lambda: one(lambda path: plain(path, made), plainly), pairs=PAIRS)
    return [found, compared(what, mine, other, peer=SAME_TRIGGERS, limit=None)]


def copied(url: str, what: str, sql: str, limit: float) -> list[Figure]:
    """Fill a table from a TEMP one in one statement: ours and plain SQLite's, then one with our triggers."""

    def prepared(db: Any) -> Any:
        db.execute(f"CREATE TEMP TABLE source {COLUMNS}")
        db.execute(NUMBERS.format(count=COPIED, table="source"))
        return db

    def copy(db: Any) -> None:
        db.execute(sql)
        if isinstance(db, tsn.Connection):
            db.commit()

    def ours() -> float:
        return one(lambda path: prepared(tsn.connect(path, url)), copy)

    made = our_triggers(url)
    found = []
    for peer, others, most in (("native", (), limit), (SAME_TRIGGERS, made, None)):

        def theirs(others: Sequence[str] = others) -> float:
            return one(lambda path: prepared(plain(path, others)), copy)

        mine, other = in_turns(ours, theirs, pairs=PAIRS)
        found.append(compared(what, mine, other, peer=peer, limit=most))
    return found


def our_triggers(url: str) -> list[str]:
    """Return the statements that make our tape, and our triggers on the table."""
    with tempfile.TemporaryDirectory() as folder, closing(tsn.connect(f"{folder}/replica", url)) as db:
        db.execute("INSERT INTO stock (name) VALUES ('the first')")
        raw = raw_of(db)
        tape = "SELECT sql FROM main.sqlite_schema WHERE name GLOB 'turso_sync_*' AND sql IS NOT NULL"
        triggers = "SELECT sql FROM temp.sqlite_schema WHERE type = 'trigger'"
        found = [str(text) for query in (tape, triggers) for (text,) in raw.execute(query).fetchall()]
        db.rollback()
    return [text.replace("CREATE TRIGGER", "CREATE TEMP TRIGGER", 1) for text in found]


def plain(path: str, further: Sequence[str] = ()) -> apsw.Connection:
    """Return a plain database with the table, after the ``further`` statements."""
    db = apsw.Connection(path)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", 2)
    db.execute(f"CREATE TABLE stock {COLUMNS}")
    for sql in further:
        db.execute(sql)
    return db


def one(connect: Callable[[str], Any], work: Callable[[Any], object]) -> float:
    """Return the seconds of ``work`` on a new database; connecting and a first small change not counted."""
    with tempfile.TemporaryDirectory() as folder, closing(connect(f"{folder}/replica")) as db:
        db.execute("INSERT INTO stock (name) VALUES ('first')")
        db.execute("DELETE FROM stock")
        if not isinstance(db, apsw.Connection):
            db.commit()
        return timed(lambda: work(db))


def memory(url: str, *, nested: bool) -> Figure:
    """Measure a statement that changes a million rows; ``nested``: with a trigger in the schema."""
    statements = [NUMBERS.format(count=MANY, table="stock"), "UPDATE stock SET price = price + 1"]
    if nested:
        statements.insert(0, "CREATE TABLE log(x)")
        statements.insert(
            1, "CREATE TRIGGER t AFTER UPDATE ON stock WHEN new.id < 0 BEGIN INSERT INTO log VALUES (1); END"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", WRITER, f"{folder}/replica", url, *statements]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    changed, before, peak = json.loads(ran.stdout)
    assert changed == MANY
    mode = "nested" if nested else "plain"
    return Figure(
        f"update of {MANY:,} rows, {mode} capture: peak memory",
        f"{peak / 1e6:.0f} MB",
        f"{before / 1e6:.0f} MB before",
        "",
        f"<= {MEMORY_LIMIT_BYTES / 1e6:.0f} MB",
        peak <= MEMORY_LIMIT_BYTES,
    )


def _insert(db: Any, stock: list[tuple[Any, ...]]) -> None:
    db.executemany(INSERT, stock)
    db.commit()

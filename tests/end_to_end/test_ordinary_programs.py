"""Ordinary programs run on a replica as on plain SQLite, and what they did arrives; refusals are listed here.

A check that becomes stricter may take nothing away: a refusal that is not in ``REFUSED`` fails the test,
so does one that is listed and does not come any more.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import ordinary
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAMS: dict[str, Callable[[ordinary.Pair], None]] = {
    **{
        name: partial(ordinary.run_script, name=name)
        for name in ("sakila", "chinook", "calibre", "places", "sqlite_utils", "django", "alembic")
    },
    "sqlalchemy": lambda pair: pair.each(ordinary.sqlalchemy_orm),
    "pandas": lambda pair: pair.each(ordinary.pandas_through_sqlalchemy),
    "pandas over DB-API": lambda pair: pair.each(ordinary.pandas_over_the_connection),
    **{f"random {seed}": partial(ordinary.run_random_sql, seed=seed) for seed in range(3)},
}

JOURNAL = {"refused: PRAGMA journal_mode = WAL": "a replica always lives on its write-ahead log"}
TEMP_TRIGGER = {
    "refused: INSERT INTO moz_historyvisits": "a TEMP trigger writes to main, and the remote has none"
}
FTS5 = "the module is not on the server"
WRITTEN = "what is written to a virtual table itself is not captured"

REFUSED: dict[tuple[str, str], dict[str, str]] = {
    ("places", "tursodb"): {
        **JOURNAL,
        **TEMP_TRIGGER,
        "refused: CREATE TABLE moz_meta": "the server holds no table WITHOUT ROWID unless a flag says so",
    },
    ("places", "embedded"): {**JOURNAL, **TEMP_TRIGGER},
    ("sqlite_utils", "tursodb"): {"refused: CREATE VIRTUAL TABLE [articles_fts] USING FTS5": FTS5},
    ("sqlite_utils", "embedded"): {"refused: INSERT INTO [articles_fts]": WRITTEN},
    ("random 2", "tursodb"): {
        'refused: ALTER TABLE "n3" ADD COLUMN "c3"': "the server's ALTER TABLE loses a column's COLLATE"
    },
}
"""What is refused or differs, by program and server: the beginning of the finding, and the reason."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[[str], ordinary.Pair]]:
    """Give ``pair(url)``: a replica and plain SQLite, both closed at the end."""
    with ExitStack() as opened:

        def make(url: str) -> ordinary.Pair:
            plain = closing(sqlite3.connect(tmp_path / "plain.db", isolation_level=None))
            replica = closing(tsn.connect(tmp_path / "replica", url, isolation_level=None))
            return ordinary.Pair(opened.enter_context(replica), opened.enter_context(plain))

        yield make


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, remote_server: Callable, pair, tmp_path: Path) -> None:
    """Same rows, same schema, no conflict, nothing left behind, and no refusal but those that are listed."""
    server = remote_server()
    both = pair(server.url)
    PROGRAMS[program](both)
    found = both.findings + ["differs: " + one for one in _differences(both)]
    found += _arrived(both, server.url, tmp_path / "second")
    allowed = REFUSED.get((program, server.name), {})
    print(f"{program} on {server.name}: {len(found)} refusals", *found, sep="\n  ")  # noqa: T201 - to be read
    assert [one for one in found if not one.startswith(tuple(allowed))] == []
    assert [one for one in allowed if not any(seen.startswith(one) for seen in found)] == []


def _differences(both: ordinary.Pair) -> Iterator[str]:
    """Yield where the replica's state is not plain SQLite's."""
    if ordinary.schema(both.replica) != ordinary.schema(both.plain):
        yield f"schema: {ordinary.schema(both.replica)}, plain SQLite: {ordinary.schema(both.plain)}"
    yield from _unequal("rows here of", ordinary.contents(both.replica), ordinary.contents(both.plain))


def _arrived(both: ordinary.Pair, url: str, folder: Path) -> Iterator[str]:
    """Push, and yield what did not arrive as it is here."""
    here, state = ordinary.contents(both.replica), ordinary.names(both.replica)
    try:
        both.replica.push()
    except tsn.SyncError as error:
        yield f"push: {error}"
        return
    for frame, what in ((both.replica.changes(), "waits"), (both.replica.conflicts(), "conflict")):
        yield from (f"{what}: {row}" for row in frame.to_dict("records"))
    with closing(tsn.connect(folder, url, isolation_level=None)) as second:
        if (there := ordinary.names(second)) != state:
            yield f"remote: schema: {sorted(set(there) ^ set(state))}"
        yield from _unequal("remote: rows of", ordinary.contents(second), here)


def _unequal(what: str, one: dict, other: dict) -> Iterator[str]:
    for table in one.keys() | other.keys():
        if repr(one.get(table)) != repr(other.get(table)):
            yield f"{what} {table}: {one.get(table)}, expected {other.get(table)}"

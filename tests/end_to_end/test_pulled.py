"""The rows that a pull changed: equal to a comparison of all rows before and after it."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine import pulled

TABLES = ("t", "kv", "bare", "ballast", "keyed", "made")


def rows(db: tsn.Connection, table: str) -> dict[Any, tuple[Any, ...]]:
    """Return the rows of a table by rowid, by key where there is none."""
    named = "k" if table == "keyed" else "rowid"
    try:
        return {key: row for key, *row in db.execute(f"SELECT {named}, * FROM {table}").fetchall()}
    except tsn.OperationalError:
        return {}


def model_of(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Counter[Any]]:
    """Return the changes between two states, by comparing every row."""
    found: dict[str, Counter[Any]] = {}
    for table in TABLES:
        old, new = before[table], after[table]
        changes = [("insert", None, new[key]) for key in new.keys() - old.keys()]
        changes += [("delete", old[key], None) for key in old.keys() - new.keys()]
        for key in old.keys() & new.keys():
            pairs = zip(old[key], new[key], strict=True)
            if differing := [pair for pair in pairs if repr(pair[0]) != repr(pair[1])]:
                changes.append(("update", *zip(*differing, strict=True)))
        if changes:
            found[table] = Counter(map(repr, changes))
    return found


def told(db: tsn.Connection) -> dict[str, Counter[Any]]:
    """Return what the replica says."""
    found: dict[str, Counter[Any]] = {}
    for _, one in db.pulled_rows().iterrows():
        if one["operation"] not in ("insert", "update", "delete"):
            continue
        old, new = (list(one[side].values()) if one[side] else None for side in ("old", "new"))
        if one["operation"] == "update":
            old, new = tuple(old), tuple(new)
        found.setdefault(one["table"], Counter())[repr((one["operation"], old, new))] += 1
    return found


def work(db: tsn.Connection, chance: random.Random) -> None:
    """Change a few rows of some table, of every kind."""
    key = chance.randrange(1, 40)
    value = chance.choice([None, 1, 2.5, "text", b"\0\xff", "x" * 5000, chance.randrange(9)])
    statement, parameters = chance.choice([
        ("INSERT OR REPLACE INTO t VALUES (?, ?, NULL)", (key, value)),
        ("UPDATE t SET a = ? WHERE id % 3 = 1", (value,)),
        ("DELETE FROM t WHERE id = ?", (key,)),
        ("INSERT OR REPLACE INTO kv VALUES (?, ?)", (f"k{key % 7}", value)),
        ("DELETE FROM kv WHERE k = ?", (f"k{key % 7}",)),
        ("INSERT INTO bare VALUES (?, ?)", (key % 5, value)),
        ("DELETE FROM bare WHERE x = ?", (key % 5,)),
        ("UPDATE ballast SET v = ? WHERE id BETWEEN ? AND ? + 2", (value, key, key)),
        ("DELETE FROM ballast WHERE id = ?", (key,)),
        ("INSERT INTO ballast(v) SELECT hex(randomblob(900)) FROM generate_series(1, 20)", ()),
        ("INSERT OR REPLACE INTO keyed VALUES (?, ?)", (f"key {key}", value)),
        ("DELETE FROM keyed WHERE k > ?", (f"key {key + 20}",)),
        ("CREATE TABLE IF NOT EXISTS made (a)", ()),
        ("INSERT INTO bare SELECT id, v FROM ballast WHERE id < 9", ()),
    ])  # fmt: skip
    if "keyed" not in statement or rows(db, "keyed"):
        db.execute(statement, parameters)


@pytest.fixture
def large(ballast: Path, request: pytest.FixtureRequest) -> Path:
    """The database with a table of many pages, and one without rowids where the server knows these."""
    if request.node.callspec.params["remote_server"] == "tursodb":
        return ballast
    with apsw.Connection(str(ballast)) as raw:
        raw.execute("CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
        raw.executemany("INSERT INTO keyed VALUES (?, ?)", [(f"key {n}", n) for n in range(30)])
    raw.close()
    return ballast


@pytest.mark.parametrize("kind", ["whole", "partial"])
@pytest.mark.parametrize("seed", range(2))
def test_the_rows_are_those_that_differ(large, replica, kind, seed):
    """Under random work of both sides, pushed and not, with checkpoints; a whole replica asks nothing."""
    chance = random.Random(seed)
    lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096)) if kind == "partial" else None
    mine, yours = (replica(name, partial_sync=lazily) for name in ("mine", "yours"))
    compared = 0
    for _ in range(8):
        for db in (mine, yours):
            for _ in range(chance.randrange(4)):
                work(db, chance)
        yours.sync()
        for verb in chance.sample([mine.push, mine.checkpoint, lambda: work(mine, chance)], 2):
            verb()
        before = {table: rows(mine, table) for table in TABLES}
        if not mine.pull():
            continue
        after = {table: rows(mine, table) for table in TABLES}
        work(mine, chance)  # what is done later is no part of it
        requests = mine.stats().network_requests
        assert told(mine) == model_of(before, after)
        counted = {row["table"]: row for _, row in mine.pulled().iterrows()}
        assert set(counted) == set(model_of(before, after))
        for table, row in counted.items():
            assert row["came"] - row["went"] == len(after[table]) - len(before[table])
        if kind == "whole":
            assert mine.stats().network_requests == requests
        compared += bool(counted)
    assert compared > 2


def test_rows_that_took_back_a_pushed_value(two):
    """A value pushed from here that is another one now is told, also of a row that went or came back."""
    mine, yours = two
    mine.execute("UPDATE t SET a = 'mine' WHERE id IN (1, 2)")
    mine.execute("INSERT INTO kv VALUES ('pushed', 1), ('kept', 1)")
    mine.execute("DELETE FROM t WHERE id = 3")
    mine.push()
    yours.pull()
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.execute("UPDATE t SET b = 99 WHERE id = 2")
    yours.execute("DELETE FROM kv WHERE k IN ('pushed', 'x')")
    yours.execute("INSERT INTO t VALUES (3, 'again', 3), (4, 'new', 4)")
    yours.push()
    mine.execute("UPDATE kv SET v = 2 WHERE k = 'kept'")
    mine.pull()
    found = {(one["table"], str(one["key"])): one["overwrote"] for _, one in mine.pulled_rows().iterrows()}
    assert found == {
        ("t", "{'id': 1}"): True,
        ("t", "{'id': 2}"): False,
        ("t", "{'id': 3}"): True,
        ("t", "{'id': 4}"): False,
        ("kv", "{'k': 'pushed'}"): True,
        ("kv", "{'k': 'x'}"): False,
    }
    assert mine.pulled().to_dict("records") == [
        {"table": "kv", "came": 0, "changed": 0, "went": 2, "overwrote": 1},
        {"table": "t", "came": 2, "changed": 2, "went": 0, "overwrote": 2},
    ]
    assert len(mine.pulled_rows("T")) == 4


def test_what_came_back_is_no_change(two):
    """Rows pushed from here are pulled as what they are already; a schema change is told."""
    mine, yours = two
    with pytest.raises(tsn.UsageError, match="pulled nothing"):
        mine.pulled()
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    mine.push()
    assert mine.pull()
    assert mine.pulled().empty
    yours.execute("CREATE TABLE made (a)")
    yours.push()
    mine.pull()
    (one,) = mine.pulled_rows().to_dict("records")
    assert (one["table"], one["operation"], one["new"]) == ("made", "create", "CREATE TABLE made (a)")
    mine.pull()
    assert len(mine.pulled_rows()) == 1


def test_it_costs_what_changed(large, replica):
    """Of 300 pages, those that a change touched are kept and compared."""
    mine, yours = replica("mine"), replica("yours")
    yours.execute("UPDATE ballast SET v = 'x' WHERE id = 150")
    yours.push()
    mine.pull()
    kept = replica_of(mine).last_pull
    assert len(kept._before.file.pages) < 12
    assert mine.pulled().to_dict("records") == [
        {"table": "ballast", "came": 0, "changed": 1, "went": 0, "overwrote": 0}
    ]


def open_in(folder: Path) -> int:
    """Return how many descriptors of this process are of files in ``folder``, removed ones too."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing
            found += str(entry.readlink()).startswith(f"{folder}/")
    return found


@pytest.mark.parametrize("files", [0, 2])
def test_what_was_kept_goes_with_the_next_pull(large, replica, tmp_path_factory, monkeypatch, files) -> None:
    """A small pull makes no file; of a large one no folder and no open file is left."""
    private = tmp_path_factory.mktemp("private")
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    monkeypatch.setattr(pulled, "IN_MEMORY_PAGES_MAX", 0 if files else 2048)
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO t VALUES (99, 'waits', NULL)")
    for turn in range(3):
        yours.execute("UPDATE ballast SET v = ? WHERE id = 150", (f"turn {turn}",))
        yours.push()
        mine.pull()
        assert mine.pulled()["changed"].sum() == 1
        assert open_in(private) == files
        assert [len(list(folder.iterdir())) for folder in private.iterdir()] == [files] * bool(files)
    mine.close()
    replica_of(mine).last_pull = None
    assert open_in(private) == 0
    assert not list(private.iterdir())

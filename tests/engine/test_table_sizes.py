"""Sizes of tables: counted where resident, else estimated from upper pages in two requests at most."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

import turso_sync_nb as tsn

NUMBERS = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < {})"
FILL = f"{NUMBERS} INSERT INTO {{}} SELECT {{}} FROM n"
TABLES = {
    "dense": (120_000, "id INTEGER PRIMARY KEY, c, note", "v, v % 7, 'row ' || v"),
    "sparse": (60_000, "id INTEGER PRIMARY KEY, note", "v * 1000, 'row ' || v"),
    "keyless": (60_000, "a, b", "v, 'value ' || v"),
}


@pytest.fixture(scope="module")
def large_url(tmp_path_factory):
    """A server of a database with large tables, a small one, an empty one, and one without rowids."""
    file = tmp_path_factory.mktemp("sizes") / "sizes.db"
    with closing(apsw.Connection(str(file))) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        for name, (rows, columns, values) in TABLES.items():
            raw.execute(f"CREATE TABLE {name} ({columns})")
            raw.execute(FILL.format(rows, name, values))
        raw.execute("CREATE TABLE small (x); INSERT INTO small VALUES (1), (2); CREATE TABLE empty (x)")
        raw.execute("CREATE TABLE keyed (a TEXT PRIMARY KEY, b) WITHOUT ROWID")
        raw.execute(FILL.format(30_000, "keyed", "'key ' || v, v"))
    with tsn.server.LocalServer(file) as server:
        yield server.url


def sizes_of(db):
    """Return the sizes by name."""
    return {each.name: each for each in db.table_sizes()}


def test_a_lazy_replica_estimates_without_a_row(large_url, tmp_path):
    """Rows within a fifth, bytes within a third; a page or two of each table come, in two requests."""
    lazy = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096))
    with closing(tsn.connect(tmp_path / "lazy", large_url, partial_sync=lazy)) as db:
        db.query("SELECT 1 FROM sqlite_schema")
        before = db.stats()
        found = sizes_of(db)
        after = db.stats()
        assert after.network_requests - before.network_requests <= 2
        assert after.pages_resident - before.pages_resident <= 2 * len(found)
        assert not found["dense"].is_counted
        assert found["dense"].rows == pytest.approx(120_000, rel=0.2)
        with closing(tsn.connect(tmp_path / "whole", large_url)) as whole:
            exact = sizes_of(whole)
        assert found["dense"].total_bytes == pytest.approx(exact["dense"].total_bytes, rel=0.33)
        assert found["keyless"].rows == pytest.approx(60_000, rel=0.2)
        assert db.table_sizes() == list(found.values())
        assert db.stats().network_requests == after.network_requests


def test_a_whole_replica_counts(large_url, tmp_path):
    """Every table's rows are exact, and all of its bytes are here."""
    with closing(tsn.connect(tmp_path / "whole", large_url)) as db:
        found = sizes_of(db)
        counts = {name: rows for name, (rows, *_) in TABLES.items()}
        counts |= {"small": 2, "empty": 0, "keyed": 30_000}
        assert {name: each.rows for name, each in found.items()} == counts
        assert all(each.is_counted and each.resident_bytes == each.total_bytes for each in found.values())
        db.execute("INSERT INTO small VALUES (3)")
        db.commit()
        assert sizes_of(db)["small"].rows == 3
        assert not any(each.name.startswith("turso_sync_nb") for each in db.table_sizes())


def test_leaves_that_are_here_make_it_better(large_url, tmp_path):
    """Rows of a table with gaps between its keys are estimated from leaves once some are here."""
    lazy = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096))
    with closing(tsn.connect(tmp_path / "lazy", large_url, partial_sync=lazy)) as db:
        db.query("SELECT count(*) FROM sparse WHERE id < 20000000")
        assert sizes_of(db)["sparse"].rows == pytest.approx(60_000, rel=0.2)


def test_offline_the_resident_pages_tell(large_url, tmp_path):
    """Without a remote nothing is raised; what nothing tells is None."""
    lazy = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096))
    tsn.connect(tmp_path / "lazy", large_url, partial_sync=lazy).close()
    with closing(tsn.connect(tmp_path / "lazy", "http://127.0.0.1:1")) as db:
        found = sizes_of(db)
        assert set(found) == {*TABLES, "small", "empty", "keyed"}
        assert found["keyed"].rows is None

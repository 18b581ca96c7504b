"""Whose pages are whose: what is here tells the same as SQLite's dbstat, and nothing is fetched for it."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_people
from inside import raw_of, replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine.page_owners import fetch_owned, page_owners
from turso_sync_nb.server import LocalServer

LAZILY = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
)


@pytest.fixture
def source(tmp_path):
    """A database with deep trees, overflow pages, indexes, and a freelist."""
    path = make_people(tmp_path / "source.db")
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE long(a, b); CREATE INDEX long_b ON long(b); CREATE TABLE gone(a)")
        db.execute("INSERT INTO gone SELECT zeroblob(3000) FROM person LIMIT 700")
        db.execute("INSERT INTO long SELECT id, printf('%0*d', 5000 + id, id) FROM person LIMIT 50")
        db.execute("DROP TABLE gone")
    return path


@pytest.fixture
def db(source, tmp_path):
    """A lazy replica of it, of which nothing but the first page and the schema is here."""
    with (
        LocalServer(source) as server,
        closing(tsn.connect(tmp_path / "r", server.url, partial_sync=LAZILY)) as db,
    ):
        db.query("SELECT count(*) FROM sqlite_schema")
        yield db


def owners_of(db):
    """Return the owners by name."""
    return {owner.name: set(owner.pages) for owner in page_owners(replica_of(db), raw_of(db))}


def by_dbstat(path):
    """Return what SQLite says, by name, and the freelist."""
    with closing(apsw.Connection(str(path))) as raw:
        owned: dict[str, set[int]] = {}
        for name, page in raw.execute("SELECT name, pageno - 1 FROM dbstat"):
            owned.setdefault("sqlite_schema" if name == "sqlite_schema" else name, set()).add(page)
        every = set(range(raw.pragma("page_count")))
        return owned | {"free pages": every - set().union(*owned.values())}


def test_all_pages_here_are_dbstats(db, source):
    """With every page here, each page is whose dbstat says it is."""
    replica_of(db).databases.loader.fill_up()
    assert owners_of(db) == by_dbstat(source)


def test_nothing_is_fetched_and_nothing_wrong_is_said(db, source):
    """With few pages here absent ones are known from interior pages; that is right; no request is made."""
    db.query("SELECT * FROM person WHERE id = 17")
    before = db.stats().network_requests
    owned = owners_of(db)
    assert db.stats().network_requests == before
    true = by_dbstat(source)
    assert owned.keys() == true.keys()
    assert all(pages <= true[name] for name, pages in owned.items())
    absent = owned["person"] & set(replica_of(db).store.page_map.absent())
    assert len(absent) > 50


@pytest.mark.parametrize("name", ["person", "person_city", "visit", "long", "long_b", 'odd "table"'])
def test_one_owner_is_fetched_whole_and_no_other(db, source, name):
    """Every page of a table or an index arrives, its overflow pages too, and none of another."""
    before = set(replica_of(db).store.page_map.resident)
    fetch_owned(replica_of(db), raw_of(db), name)
    arrived = set(replica_of(db).store.page_map.resident) - before
    assert arrived | before >= by_dbstat(source)[name]
    assert arrived <= by_dbstat(source)[name]


def test_local_tables_are_seen_in_the_log_and_after_a_checkpoint(db):
    """A table made here has pages, committed ones alone, in the log as in the file."""
    db.execute("CREATE TABLE here(a)")
    db.executemany("INSERT INTO here VALUES(zeroblob(3000))", [()] * 50)
    assert len(owners_of(db)["here"]) == 1
    db.commit()
    assert len(owners_of(db)["here"]) > 50
    before = owners_of(db)
    db.checkpoint()
    assert owners_of(db) == before

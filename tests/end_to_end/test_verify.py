"""Verify finds what differs from the remote, names it, and fetches it again; it says what it left out."""

from __future__ import annotations

from contextlib import suppress

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.engine import remote_update

VALUES = [None, 0, -1, 2**63 - 1, 1.5, -0.25, 1e300, "", "a", "é😀", "x" * 9000, b"", b"\0\xff", float("inf")]


def fill(db):
    """Make tables of every kind of key, with values of every type, below and above zero."""
    db.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, v, w)")
    db.executemany(
        "INSERT INTO many VALUES (?, ?, ?)", ((at, f"row {at}", at * 1.5) for at in range(-9000, 9000, 4))
    )
    db.execute("CREATE TABLE every (k TEXT PRIMARY KEY, v)")
    db.executemany("INSERT INTO every VALUES (?, ?)", ((f"k{at}", value) for at, value in enumerate(VALUES)))
    db.push()
    db.pull()


def losing_pull(db, monkeypatch, lost):
    """Pull an answer that ends well without its last ``lost`` pages, as a server can give it."""
    whole = remote_update.only_requested

    def short(pages, expected):
        every = list(whole(pages, expected))
        yield from every[: len(every) - lost]

    with monkeypatch.context() as patched:
        patched.setattr(remote_update, "only_requested", short)
        assert db.pull()


@pytest.fixture
def filled(two):
    """Two replicas that have rows in tables of every kind of key."""
    mine, yours = two
    fill(mine)
    yours.pull()
    return two


@pytest.mark.parametrize("sample", [1, 256, None])
def test_nothing_differs(filled, sample):
    """Of equal states nothing is reported, with a change waiting too; rows are counted on a whole replica."""
    _, yours = filled
    yours.execute("DELETE FROM many WHERE id > 0")
    yours.checkpoint()
    report = yours.verify(sample=sample)
    assert any("as changes made here left it" in text for text in report.not_compared)
    assert report
    assert report.differences == ()
    assert report.rows >= 4500 + len(VALUES)
    assert report.tables == 5
    assert report.repaired == 0
    assert any("beyond the sample" in text for text in report.not_compared) == (sample == 1)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_pull_that_lost_pages_is_found_and_repaired(filled, monkeypatch, lost):
    """The rows are named by table and key, even by a sample of one page; repaired, all is equal."""
    mine, yours = filled
    mine.execute("UPDATE many SET v = 'changed' WHERE id IN (-9000, 0, 8996)")
    mine.push()
    yours.execute("INSERT INTO kv VALUES ('waits', 1)")
    losing_pull(yours, monkeypatch, lost)
    report = yours.verify(sample=1)
    assert not report
    rows = [one for one in report.differences if one.kind == "row" and one.table == "many"]
    assert {one.key["id"] for one in rows} <= {-9000, 0, 8996}
    assert rows
    assert yours.verify(repair=True).repaired >= 1
    again = yours.verify(sample=None)
    assert again
    assert again.differences == ()
    query = "SELECT * FROM many ORDER BY id"
    assert yours.execute(query).fetchall() == mine.execute(query).fetchall()
    assert yours.execute("SELECT v FROM kv WHERE k = 'waits'").fetchall() == [(1,)]
    assert yours.push().transactions == 1


def test_repaired_while_the_remote_has_news_and_what_was_pushed(filled, monkeypatch):
    """A repair brings what is new too, so that nothing that was pushed is missing here."""
    mine, yours = filled
    mine.execute("UPDATE many SET v = 'changed' WHERE id = 0")
    mine.push()
    losing_pull(yours, monkeypatch, 1)
    yours.execute("INSERT INTO kv VALUES ('pushed', 1)")
    with suppress(tsn.ReplicaError):  # now and then the page that differs is drawn as the witness
        yours.push()
    mine.execute("INSERT INTO kv VALUES ('news', 1)")
    mine.push()
    report = yours.verify(sample=None, repair=True)
    assert report.repaired >= 1
    assert any("news" in text for text in report.not_compared)
    yours.push()
    mine.pull()
    for table in ("many", "kv", "every"):
        query = f"SELECT * FROM {table} ORDER BY 1"
        assert yours.execute(query).fetchall() == mine.execute(query).fetchall()


def test_a_partial_replica_says_what_it_did_not_compare(server, replica):
    """Pages that are not here are neither brought nor passed over in silence."""
    mine = replica("mine")
    fill(mine)
    partial = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096))
    db = replica("part", partial_sync=partial)
    here = db.stats().pages_resident
    report = db.verify()
    assert report
    assert report.pages <= here < report.pages_total
    assert any("is not here" in text for text in report.not_compared)
    assert any("rows by table" in text for text in report.not_compared)
    assert db.stats().pages_resident == here


def test_another_database_is_not_taken_for_a_repair(two, monkeypatch):
    """Where most pages differ nothing is fetched again, and the replica stays as it was."""
    mine, _ = two
    fill(mine)
    before = mine.execute("SELECT count(*) FROM many").fetchall()
    monkeypatch.setattr("turso_sync_nb.engine.verify.comparable", lambda _page, _data: object())
    with pytest.raises(tsn.ReplicaError, match="another database"):
        mine.verify(repair=True)
    monkeypatch.undo()
    assert mine.execute("SELECT count(*) FROM many").fetchall() == before
    assert mine.verify()


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_nothing_is_refused(two, sample):
    """A sample has a page at least."""
    with pytest.raises(tsn.UsageError, match="sample"):
        two[0].verify(sample=sample)

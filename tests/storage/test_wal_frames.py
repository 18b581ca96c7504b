"""The client's reader of SQLite's log: frames, salts and the pages of the last commit, as SQLite has them."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from partial import pages_of

from turso_sync_nb.storage.format.wal_frames import HEADER_BYTES, frames, log_salts, open_log, wal_pages
from turso_sync_nb.storage.pages.committed import CommittedPages, Frames
from turso_sync_nb.units import FRAME_BYTES, FRAME_HEADER_BYTES, PAGE_SIZE

CREATE = "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)"


@pytest.fixture
def written(partial, tmp_path):
    """Give a replica and a connection to it, with an empty log."""
    with closing(apsw.Connection(str(tmp_path / "plain.db"))) as plain:
        plain.execute(CREATE)
    replica = partial(pages_of(tmp_path / "plain.db"), here=[0, 1])
    with closing(apsw.Connection(str(replica.folder.main))) as db:
        db.pragma("journal_mode", "wal")
        db.wal_autocheckpoint(0)
        yield replica, db


def rows(count: int) -> str:
    """Return a statement that inserts so many rows."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        "INSERT INTO t (b) SELECT randomblob(600) FROM n"
    )


def test_no_log_has_nothing(folder) -> None:
    """Neither pages nor salts, and nothing is made."""
    assert open_log(folder.wal) is None
    assert log_salts(folder.wal) == ""
    assert not wal_pages(folder)
    assert not folder.wal.exists()


def test_frames_are_those_that_sqlite_wrote(written) -> None:
    """As many as SQLite counts, the last one of each transaction with the size that the database has then."""
    replica, db = written
    sizes = []
    for count in (1, 30, 5):
        db.execute(rows(count))
        sizes.append(db.pragma("page_count"))
    log = open_log(replica.folder.wal)
    found = list(frames(log))
    log.xClose()
    ((_, counted, _),) = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    assert len(found) == counted
    assert [frame.db_pages for frame in found if frame.db_pages] == sizes
    assert {frame.salts.hex() for frame in found} == {log_salts(replica.folder.wal)}
    assert [frame.begin for frame in found] == [32 + 24 + at * (24 + 4096) for at in range(counted)]
    assert list(wal_pages(replica.folder)) == sorted({frame.page for frame in found})


@pytest.mark.parametrize("resumed", [False, True], ids=["anew", "going on"])
def test_the_last_commit_is_what_a_checkpoint_writes(written, resumed) -> None:
    """Page for page; what a transaction under way has written to the log is not among it."""
    replica, db = written
    known = Frames()
    for count in (20, 40):
        db.execute(rows(count))
        with CommittedPages(replica.folder, replica.store, known if resumed else None):
            pass
    db.pragma("cache_size", 5)  # the open transaction spills into the log
    db.execute("BEGIN")
    db.execute(rows(200))
    with CommittedPages(replica.folder, replica.store, known if resumed else None) as committed:
        count = committed.db_pages
        seen = [committed.read(page) for page in range(count)]
    assert len(wal_pages(replica.folder)) > count
    db.execute("ROLLBACK")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert count == db.pragma("page_count")
    assert seen == pages_of(replica.folder.main)


def test_another_log_is_begun_anew(written) -> None:
    """Salts say so; frames of the former one that lie behind are not believed."""
    replica, db = written
    known = Frames()
    db.execute(rows(60))
    with CommittedPages(replica.folder, replica.store, known):
        pass
    before = log_salts(replica.folder.wal)
    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    db.execute("UPDATE t SET b = NULL WHERE a = 1")
    assert log_salts(replica.folder.wal) != before
    with CommittedPages(replica.folder, replica.store, known) as committed:
        seen = [committed.read(page) for page in range(committed.db_pages)]
    assert len(known.places) < len(wal_pages(replica.folder))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    changed = [page for page, data in enumerate(pages_of(replica.folder.main)) if data != seen[page]]
    assert not set(changed) & set(known.places)


class Log:
    """A log in memory, as APSW's file gives it; ``reads`` counts."""

    def __init__(self, content: bytes) -> None:
        self.content, self.reads = content, 0

    def xFileSize(self) -> int:  # noqa: N802 - APSW's name
        """Return its length."""
        return len(self.content)

    def xRead(self, amount: int, at: int) -> bytes:  # noqa: N802 - APSW's name
        """Return what is there."""
        self.reads += 1
        return self.content[at : at + amount]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 85, 86, 200])
@pytest.mark.parametrize("cut", [0, 1, PAGE_SIZE, PAGE_SIZE + 1, FRAME_BYTES])
def test_many_frames_are_read_together(count, cut) -> None:
    """Each whole header counts, its page may lack; a frame without a page number is none."""
    written = [(n + 1 if n % 7 else 0, n % 3, n.to_bytes(8)) for n in range(1, count + 1)]
    content = bytes(HEADER_BYTES) + b"".join(
        page.to_bytes(4) + size.to_bytes(4) + salts + bytes(FRAME_BYTES - 16) for page, size, salts in written
    )
    log = Log(content[: len(content) - cut])
    found = [(one.page + 1, one.db_pages, one.salts, one.begin) for one in frames(log)]
    begins = [HEADER_BYTES + at * FRAME_BYTES + FRAME_HEADER_BYTES for at in range(count)]
    wanted = [(*one, begin) for one, begin in zip(written, begins, strict=True)]
    assert found == [one for one in wanted[: count - (cut > PAGE_SIZE)] if one[0]]
    assert log.reads <= 5 + count // 64

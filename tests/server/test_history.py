"""Every revision that the history says it keeps reads as the database was then, whoever wrote since."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import CHANGES, LIMITS, PAGE, change, make, opened, pages, read_all, write

from turso_sync_nb.server.anchor import Anchor
from turso_sync_nb.server.history import RevisionGoneError
from turso_sync_nb.server.served_file import ServedFile

STEPS = (*CHANGES, "record", "record", "settle", "restart")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 999)), min_size=10, max_size=60))
def test_pages_of_every_revision(steps):
    """Whatever is written, checkpointed or restarted, pages at R equal a copy taken at R."""
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "a.db")
        copies, epochs = {}, set()
        left = list(steps)
        while True:
            with opened(path) as history:
                epochs.add(history.newest.epoch)
                copies[history.advance().revision] = pages(path)
                while left and left[0][0] != "restart":
                    kind, seed = left.pop(0)
                    if kind == "record":
                        copies[history.advance().revision] = pages(path)
                    elif kind == "settle":
                        history.checkpoint_wal()
                    else:
                        change(path, kind, seed)
                assert {revision: read_all(history, revision) for revision in copies} == copies
            if not left:
                break
            left.pop(0)
        assert len(epochs) == 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 999)), min_size=1, max_size=15))
def test_changed_pages_cover_every_difference(steps):
    """Applying the changed pages of S to a copy of R, cut at S's size, gives S."""
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "a.db")
        with opened(path) as history:
            copies = {history.advance().revision: pages(path)}
            for kind, seed in steps:
                change(path, kind, seed)
                copies[history.advance().revision] = pages(path)
            last = max(copies)
            for revision, copy in copies.items():
                patched = copy[: len(copies[last])] + [b""] * (len(copies[last]) - len(copy))
                changed = [page for page in history.changed(revision, last) if page < len(patched)]
                for page, data in zip(changed, history.read(last, changed), strict=True):
                    patched[page] = data
                assert patched == copies[last]


def test_pages_past_a_shrunken_end(tmp_path):
    """Pages that a smaller database no longer has are still read at the revision that had them."""
    path = make(tmp_path / "a.db", 1000)
    with opened(path) as history:
        copies = {history.advance().revision: pages(path)}
        write(path, "DELETE FROM t WHERE a > 10; VACUUM")
        copies[history.advance().revision] = pages(path)
        assert history.checkpoint_wal()
        write(path, "INSERT INTO t(b) VALUES (randomblob(100000))")
        copies[history.advance().revision] = pages(path)
        assert history.checkpoint_wal()
        assert len({len(copy) for copy in copies.values()}) == len(copies)
        assert {revision: read_all(history, revision) for revision in copies} == copies


@pytest.mark.parametrize("how", ["write", "truncate"])
def test_wal_that_starts_anew_unseen(tmp_path, how):
    """A WAL that was in the file already when the history opened may go at any time: nothing is lost."""
    path = make(tmp_path / "a.db", 50, journal_mode="wal")
    with closing(apsw.Connection(str(path))) as other:
        other.execute("UPDATE t SET b = 5")
        assert len(set(other.wal_checkpoint())) == 1
        with opened(path) as history:
            before = pages(path)
            if how == "write":
                other.execute("UPDATE t SET b = randomblob(200)")
            else:
                other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            assert read_all(history, 1) == before
            other.execute("UPDATE t SET b = 7")
            assert read_all(history, history.advance().revision) == pages(path)
            assert read_all(history, 1) == before


def test_revisions_hold_among_writers(tmp_path):
    """While others write and move the WAL as they like, what was read at a revision is read again."""
    path = make(tmp_path / "a.db", 500)
    stop = threading.Event()

    def write_on(seed):
        rnd = random.Random(seed)
        while not stop.is_set():
            with suppress(apsw.BusyError):
                change(path, rnd.choice(CHANGES), rnd.randrange(1000))

    with opened(path) as history, ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write_on, seed) for seed in range(2)]
        try:
            seen = {}
            for _ in range(25):
                revision = history.advance().revision
                seen[revision] = read_all(history, revision)
                history.checkpoint_wal()
            assert {revision: read_all(history, revision) for revision in seen} == seen
        finally:
            stop.set()
        assert [writer.result() for writer in writers] == [None, None]


def test_anchor_holds_both_states_while_it_moves(tmp_path):
    """Until the move ends, no other program can overwrite what the old state reads from the file."""
    path = make(tmp_path / "a.db", 1, journal_mode="wal")
    with ServedFile(path, busy_ms=0) as file, Anchor(file) as anchor, closing(file.connect()) as other:
        old = file.pages(1, 1)
        other.execute("UPDATE t SET b = 'new'")
        with anchor.moving():
            assert other.wal_checkpoint()[1] == 0
            assert file.pages(1, 1) == old
        frames, moved = other.wal_checkpoint()
        assert frames == moved > 0
        assert file.pages(1, 1) != old


def test_nothing_new_is_no_revision(tmp_path):
    """Recording twice without a commit in between gives the same revision and no changed pages."""
    with opened(make(tmp_path / "a.db", 10)) as history:
        first = history.advance()
        assert history.advance() == first
        assert not history.changed(first.revision, first.revision)


def test_rolled_back_frames_are_not_read(tmp_path):
    """Frames that a large transaction spilled to the WAL before it rolled back are in no revision."""
    path = make(tmp_path / "a.db", 10)
    with opened(path) as history:
        before = pages(path)
        write(path, "PRAGMA cache_size = 5; BEGIN; INSERT INTO t(b) WITH RECURSIVE s(v) AS"
                    "(SELECT 1 UNION ALL SELECT v + 1 FROM s WHERE v < 500) SELECT randomblob(3000) FROM s;"
                    "ROLLBACK")  # fmt: skip
        assert (tmp_path / "a.db-wal").stat().st_size > 100 * PAGE
        assert history.advance().revision == 1
        write(path, "INSERT INTO t(b) VALUES ('after')")
        newest = history.advance().revision
        assert read_all(history, newest) == pages(path)
        assert read_all(history, 1) == before


def test_wal_is_moved_when_it_is_due(tmp_path):
    """A WAL past its limit goes into the file, and the next writer starts it anew."""
    path = make(tmp_path / "a.db")
    with opened(path) as history:
        for _ in range(60):
            write(path, "INSERT INTO t(b) VALUES (randomblob(10000))")
            history.tidy()
        wal_bytes = (tmp_path / "a.db-wal").stat().st_size
        assert wal_bytes < 2 * LIMITS.wal_bytes
        assert path.stat().st_size > 400_000
        assert read_all(history, history.advance().revision) == pages(path)


def test_the_time_of_a_recent_write_is_recorded_later(tmp_path):
    """What is recorded at once after the file was written is proven by the next tidying at the latest."""
    path = make(tmp_path / "a.db", 10)
    with opened(path) as history:
        write(path, "INSERT INTO t(b) VALUES (1)")
        os.utime(path)
        assert history.advance().mark.mtime_ns == 0
        history.tidy()
        assert history.newest.mark.mtime_ns == path.stat().st_mtime_ns


def test_oldest_history_is_pruned_first(tmp_path):
    """Past the limit the oldest revisions are gone, and say so; the newest ones still read right."""
    path = make(tmp_path / "a.db", 1000)
    with opened(path, replace(LIMITS, history_bytes=40 * PAGE)) as history:
        copies = {}
        for _ in range(30):
            write(path, "UPDATE t SET b = randomblob(100) WHERE a % 20 < 4 AND a < 400")
            copies[history.advance().revision] = pages(path)
            history.tidy()
        kept = [revision for revision in copies if history.db_pages_at(revision) is not None]
        assert 0 < len(kept) < len(copies)
        assert kept == sorted(copies)[-len(kept) :]
        assert {revision: read_all(history, revision) for revision in kept} == {r: copies[r] for r in kept}
        with pytest.raises(RevisionGoneError):
            history.read(1, [0])
        assert history.changed(1, max(kept)) is None


def test_change_past_the_limit_is_not_saved(tmp_path):
    """A change larger than the whole history leaves only its own revision, and writes no images."""
    path = make(tmp_path / "a.db", 3000)
    with opened(path, replace(LIMITS, history_bytes=20 * PAGE)) as history:
        write(path, "UPDATE t SET b = randomblob(100)")
        newest = history.advance().revision
        assert history.db_pages_at(1) is None
        assert read_all(history, newest) == pages(path)
    assert (tmp_path / "a.db-history").stat().st_size < 60 * PAGE


def test_failed_recording_changes_nothing(tmp_path):
    """When saving page images fails, the newest revision stays, and the next attempt succeeds."""
    path = make(tmp_path / "a.db", 50_000)
    with opened(path) as history, closing(apsw.Connection(str(path))) as other:
        before, copy = history.advance(), pages(path)
        write(path, "UPDATE t SET b = 'x'")
        save, times = history._undo.save, []

        def save_twice(images, revision):
            times.append(revision)
            if len(times) > 2:
                raise apsw.FullError("database or disk is full")
            save(images, revision)

        history._undo.save = save_twice
        for attempt in (history.advance, history.checkpoint_wal):
            with pytest.raises(apsw.FullError):
                attempt()
            other.wal_checkpoint()  # must not move what could not be saved
        history._undo.save = save
        after = history.advance()
        assert after.revision == before.revision + 1
        assert read_all(history, after.revision) == pages(path)
        assert read_all(history, before.revision) == copy

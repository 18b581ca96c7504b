"""Waiting for news: a pull or a question that ends as soon as somebody pushed. Own server only: long poll."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import apsw
import pytest

import turso_sync_nb as tsn

LONG_S = 30.0
"""Longer than anything here takes."""


@pytest.fixture
def server(embedded, source):
    """The embedded server."""
    return embedded(source)


@pytest.fixture
def two(server, tmp_path):
    """Two replicas of it; the first one's pulls wait."""
    url = server.url
    with (
        closing(tsn.connect(tmp_path / "mine", url, long_poll_timeout_ms=int(LONG_S * 1000))) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        yield mine, yours


def later(work) -> threading.Thread:
    """Do ``work`` in a moment, in another thread."""
    thread = threading.Timer(0.3, work)
    thread.start()
    return thread


def push_a_row(db: tsn.Connection) -> None:
    """Change something and push it."""
    db.execute("INSERT INTO kv VALUES ('news', 1)")
    db.push()


def test_a_pull_waits_for_news(two):
    """It brings what was pushed while it waited."""
    mine, yours = two
    started_s = time.monotonic()
    thread = later(lambda: push_a_row(yours))
    assert mine.pull().applied
    thread.join()
    assert time.monotonic() - started_s < LONG_S
    assert mine.execute("SELECT v FROM kv WHERE k = 'news'").fetchone() == (1,)


def test_a_question_waits_and_fetches_nothing(two):
    """It is true once somebody pushed, and false where nobody does; nothing moves."""
    mine, yours = two
    revision = mine.stats().revision
    assert not mine.has_news()
    assert not mine.has_news(0.2)
    thread = later(lambda: push_a_row(yours))
    assert mine.has_news(LONG_S)
    thread.join()
    assert mine.has_news()
    assert mine.stats().revision == revision
    mine.pull()
    assert not mine.has_news()


def test_another_program_s_commit_is_news(two, server):
    """Whoever writes to the served file."""
    mine, _ = two

    def write() -> None:
        with closing(apsw.Connection(str(server.path))) as raw:
            raw.set_busy_timeout(5_000)
            raw.execute("INSERT INTO kv VALUES ('news', 1)")

    thread = later(write)
    assert mine.has_news(LONG_S)
    thread.join()


def test_waiting_can_be_interrupted(two):
    """By another thread, at once."""
    mine, _ = two
    thread = later(mine.interrupt)
    with pytest.raises(tsn.StoppedError):
        mine.has_news(LONG_S)
    thread.join()
    assert not mine.has_news()


def test_many_wait_and_others_work(two, tmp_path):
    """Those that wait hold up nobody: another replica pushes, and each of them hears of it."""
    mine, yours = two
    heard = []

    def wait(number: int) -> None:
        with closing(tsn.connect(tmp_path / f"waiting-{number}", mine.remote_url)) as db:
            ready.release()
            heard.append(db.has_news(LONG_S))

    ready = threading.Semaphore(0)
    threads = [threading.Thread(target=wait, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert ready.acquire(timeout=LONG_S)
    push_a_row(yours)
    for thread in threads:
        thread.join()
    assert heard == [True] * len(threads)


def test_a_remote_that_cannot_wait_answers_at_once(remote_server, source, tmp_path):
    """Tursodb does not know how to: the question is answered all the same, rightly."""
    url = remote_server(source).url
    with (
        closing(tsn.connect(tmp_path / "mine", url)) as mine,
        closing(tsn.connect(tmp_path / "b", url, isolation_level=None)) as yours,
    ):
        assert not mine.has_news(0.2)
        push_a_row(yours)
        assert mine.has_news(0.2)


@pytest.mark.parametrize("wait", [-1, 10**9, 1.5, "1s"])
def test_times_that_are_none(tmp_path, wait):
    """They are refused before anything is asked."""
    with pytest.raises(tsn.UsageError, match="long_poll_timeout_ms"):
        tsn.connect(tmp_path / "mine", "http://127.0.0.1:9", long_poll_timeout_ms=wait)

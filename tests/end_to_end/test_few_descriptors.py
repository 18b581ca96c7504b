"""Without file descriptors a verb fails in one line, whole; with them again, all goes on."""

from __future__ import annotations

import os
import resource
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers import in_turns

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE_MAX = 9
"""Free descriptors with which every verb here succeeds at last, or at least begins."""

LAZY = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096, prefetch=False
)

VERBS: dict[str, Any] = {
    "pull": lambda db: db.pull(),
    "push": lambda db: db.push(),
    "checkpoint": lambda db: db.checkpoint(),
    "write": lambda db: db.execute("INSERT INTO bare VALUES (8, 8)"),
    "read": lambda db: db.execute("SELECT sum(length(v)) FROM ballast WHERE id % 20 = 0").fetchall(),
    "review": lambda db: db.review(),
    "diff": lambda db: db.diff(),
    "pulled": lambda db: [db.pull(), db.pulled_rows()],
    "verify": lambda db: db.verify(),
    "sibling": lambda db: db.sibling().close(),
    "connect": lambda _: tsn.connect(":memory:", bootstrap_if_empty=False).close(),
    "at": lambda db: db.at(db.history()["revision"].iloc[-1]).close(),
    "dump": lambda db: list(db.iterdump()),
}


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Leave this process ``free`` descriptors in the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + FREE_MAX + 1, limits[1]))
    taken = []
    try:
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            for _ in range(free):
                os.close(taken.pop())
        yield
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def rows(db: tsn.Connection) -> list[Any]:
    """Return what two replicas are compared by."""
    return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in ("t", "bare", "kv")]


@pytest.mark.parametrize(("server_process", "partial"), in_turns([LAZY, None]), indirect=["server_process"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_without_descriptors(server_process, ballast, replica, verb, partial):
    """It says so, in an error of ours; nothing is lost, and no connection stays behind that keeps a lock.

    A server in this process would have no descriptors either, and answer nothing for a minute.
    """
    url = server_process(ballast).url
    mine = replica("mine", remote_url=url, partial_sync=partial)
    yours = replica("yours", remote_url=url)
    for free in range(FREE_MAX):
        mine.execute("INSERT INTO t (a) VALUES (?)", (f"mine {free}",))
        yours.execute("UPDATE kv SET v = ?", (free,))
        yours.push()
        with few_descriptors(free):
            for work in (VERBS[verb], VERBS["read"]):
                with suppress(tsn.Error):
                    work(mine)
        mine.pull()
        mine.push()
        yours.pull()
        assert rows(mine) == rows(yours)
    assert mine.changes().empty
    assert [row for row in rows(mine)[0] if str(row[1]).startswith("mine")] == [
        (at + 4, f"mine {at}", None) for at in range(FREE_MAX)
    ]
    assert mine.verify(sample=None)
    mine.close()
    with closing(replica("mine", remote_url=url)) as again:
        assert rows(again) == rows(yours)

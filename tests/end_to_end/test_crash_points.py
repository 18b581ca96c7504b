"""A process ended at any named place: the next open finds the old state or the new, and nothing is lost.

A foreign program that opens the database in between, and so moves its log, makes no difference.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from forked import run_forked
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine.fetch import comparable, fetch_pages
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.legacy import LegacyRemote
from turso_sync_nb.units import PageId

PACKAGE = Path(tsn.__file__).parent
CHILD = Path(__file__).with_name("ended.py")
FAILPOINT = re.compile(r'failpoint\("([^"]+)"\)')
PLACES = sorted(
    {"commit: returned"}
    | {name for file in PACKAGE.rglob("*.py") for name in FAILPOINT.findall(file.read_text())}
)
EVICTIONS = [place for place in PLACES if place.startswith("eviction")]
FOREIGN = (
    "import sys, apsw; c = apsw.Connection(sys.argv[1]); c.execute('SELECT * FROM kv').fetchall(); c.close()"
)


def work_until(folder: Path, url: str, kind: str, place: str, times: int) -> tuple[int, list[str]]:
    """Run the child; return how it ended, and what it had done by then."""
    ran = run_forked(CHILD, str(folder), url, kind, place, str(times))
    assert ran.returncode in (0, 9), ran.stderr
    return ran.returncode, ran.stdout.splitlines()


def base_agrees(db: tsn.Connection, url: str) -> None:
    """Every page that counts as the remote's is what the remote has at that revision."""
    replica = replica_of(db)
    remote = (LegacyRemote if replica.remote.whole_only else HttpRemote)(url)
    resident = replica.store.page_map.resident.copy()
    for page, data in fetch_pages(remote, replica.metadata.revision, resident):
        ours = replica.store.base(PageId(page))
        assert comparable(page, ours) == comparable(page, data), page
    remote.close()


def check(db: tsn.Connection, url: str, said: list[str], others: list[str]) -> None:
    """Nothing that was committed is lost, and everything reaches everybody once."""
    keys = {line.split()[1] for line in said if line.startswith("committed")}
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    here = {key for (key,) in db.execute("SELECT k FROM kv").fetchall()}
    assert keys <= here
    base_agrees(db, url)
    db.sync()
    base_agrees(db, url)
    assert db.changes().empty
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with tsn.connect(":memory:", url) as fresh:
        there: list[Any] = fresh.execute("SELECT k FROM kv").fetchall()
    fresh.close()
    assert keys | set(others) | {"x"} <= {key for (key,) in there}
    assert {key for (key,) in db.execute("SELECT k FROM kv").fetchall()} == {key for (key,) in there}


# no foreign program at a partial replica: natively, absent pages read as zeros
@pytest.mark.parametrize("case", ["whole", "whole, foreign", "partial", "legacy"])
@pytest.mark.parametrize("place", [place for place in PLACES if place not in EVICTIONS])
def test_ended_at(place, case, embedded, source, tmp_path):
    """The process is ended there, the first and the second time it comes by."""
    kind, foreign = case.partition(",")[0], case.endswith("foreign")
    server = embedded(source)
    yours = tsn.connect(tmp_path / "yours", server.url, isolation_level=None)
    ended = 0
    for times in (1, 2):
        yours.execute("INSERT INTO kv VALUES (?, 1)", (f"yours-{times}",))
        yours.push()
        folder = tmp_path / f"mine-{times}"
        code, said = work_until(folder, server.url, kind, place, times)
        ended += code == 9
        if foreign:
            run_forked(FOREIGN, str(folder / "main.db"))  # it may well find it malformed
        protocol = "legacy" if case == "legacy" else "v1"
        db = tsn.connect(folder, server.url, isolation_level=None, protocol=protocol)
        check(db, server.url, said, [f"yours-{times}"])
        assert db.conflicts().empty
        db.execute("DELETE FROM kv WHERE k NOT IN ('x') AND k NOT LIKE 'yours%'")
        db.push()
        db.close()
    assert ended, "that place was not passed"
    yours.close()


@pytest.mark.parametrize("place", EVICTIONS)
@pytest.mark.parametrize("times", [1, 2, 7, 11])
def test_ended_while_pages_are_given_back(place, times, embedded, ballast, tmp_path):
    """The next open finds each page here or absent, with or without a limit, and frees what was left over."""
    server, folder = embedded(ballast), tmp_path / "mine"
    code, said = work_until(folder, server.url, "limited", place, times)
    assert code == 9
    assert "committed 0-3" in said
    db = tsn.connect(folder, server.url, isolation_level=None, max_resident=None if times == 2 else "1MiB")
    base_agrees(db, server.url)
    if times != 2:
        pages_here = db.stats().pages_resident + len(replica_of(db).store.page_map.local_only)
        assert (folder / "main.db").stat().st_blocks * 512 <= (pages_here + 2) * 4096
    assert db.execute("SELECT sum(length(v)) FROM ballast").fetchall() == [(900_000,)]
    check(db, server.url, said, [])
    db.close()

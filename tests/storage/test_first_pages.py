"""The pages that every query begins with, and those of a state that is not in force yet."""

from __future__ import annotations

import apsw
import pytest
from partial import Partial, pages_of
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.storage.pages.next_base import NextBase
from turso_sync_nb.storage.pages.undo import UndoFile
from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
from turso_sync_nb.storage.prefetch.schema_pages import schema_pages, statistics_roots


def database(path, tables, *, analyzed):
    """Return the pages of a database with so many tables, by what each is of."""
    raw = apsw.Connection(str(path))
    with raw:
        raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE INDEX i ON t (a)")
        raw.executemany("INSERT INTO t VALUES (?, ?)", ((at, at % 7) for at in range(3000)))
        for number in range(tables):
            raw.execute(f"CREATE TABLE wide_{number} ({', '.join(f'column_{at}' for at in range(40))})")
        if analyzed:
            raw.execute("ANALYZE")
    owners = dict(raw.execute("SELECT pageno - 1, name FROM dbstat").fetchall())
    raw.close()
    return pages_of(path), owners


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("tables", [0, 60])
def test_pages_that_a_query_begins_with(tmp_path, tables, analyzed):
    """Those of the schema, a level at a time, and the roots of ANALYZE's tables by name; no other page."""
    pages, owners = database(tmp_path / "plain.db", tables, analyzed=analyzed)
    replica = Partial.create(tmp_path / "replica", pages)
    asked = []
    for wanted in schema_pages(replica.store):
        assert not any(map(replica.store.has, wanted))
        asked += wanted
        replica.store.put((page, pages[page]) for page in wanted)
    begins = {page for page, name in owners.items() if name == "sqlite_schema"}
    statistics = {page for page, name in owners.items() if name.startswith("sqlite_stat")}
    resident = {page for page in begins if replica.store.has(page)}
    assert resident == begins
    assert set(asked) <= begins
    assert len(asked) == len(set(asked))
    assert list(schema_pages(replica.store)) == []
    roots = statistics_roots(KnownTrees(replica.store))
    assert set(roots) <= statistics
    assert len(roots) == (2 if analyzed else 0)
    replica.store.close()


PAGE = bytes(4096)
PUTS = {
    "pages of it": ([1, 5, 3], [1, 3, 5], None),
    "none": ([], [], None),
    "a page twice": ([1, 2, 1], [1, 2], "came twice"),
    "a page twice, in two answers": ([2, "then", 2], [2], "came twice"),
    "a page past its end": ([4, 6], [4], "has 6 pages"),
    "half a page": ([1, b"half"], [1], "sent 4 bytes"),
}
"""Pages that come, those that are there then, and the error."""


@pytest.mark.parametrize("name", PUTS)
def test_pages_of_the_next_base(folder, name):
    """What came before an error stays; nothing of an earlier pull does."""
    earlier = NextBase(folder, 6)
    earlier.put([(5, PAGE)])
    earlier.file.close()
    came, there, error = PUTS[name]
    base = NextBase(folder, 6)
    parts = [came[: came.index("then")], came[came.index("then") + 1 :]] if "then" in came else [came]

    def put():
        for part in parts:
            base.put((2, one) if isinstance(one, bytes) else (one, PAGE[:-1] + bytes([one])) for one in part)

    if error:
        with pytest.raises(ProtocolError, match=error):
            put()
    else:
        put()
    assert list(base.pages) == there
    assert [base.read(page)[-1] for page in there] == there
    base.discard()
    base.discard()
    assert not folder.next_pages.exists()


def test_a_next_base_that_was_handed_over_stays_on_disk(folder):
    """A publication may need it once more."""
    base = NextBase(folder, 6)
    base.put([(1, PAGE)])
    base.sync()
    base.handed_over = True
    base.discard()
    assert folder.next_pages.exists()


def test_what_checkpoints_wrote_over_can_be_read_again(folder):
    """By a process that opens the folder later, until it is discarded."""
    undo = UndoFile(folder)
    for some in ([3, 1], [2]):
        undo.save((page, bytes([page]) * 4096) for page in some)
    size = undo.size
    undo.close()
    again = UndoFile(folder)
    assert (again.pages, again.size) == (BitMap([1, 2, 3]), size)
    assert [again.read(page) for page in again.pages] == [bytes([page]) * 4096 for page in (1, 2, 3)]
    again.discard()
    assert (UndoFile(folder).pages, folder.undo.exists()) == (BitMap(), False)

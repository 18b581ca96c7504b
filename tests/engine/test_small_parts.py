"""Small parts of the engine on their own: pages by tree, unreadable schemas, a configuration that changes."""

from __future__ import annotations

from types import SimpleNamespace

import apsw
import pytest
from pyroaring import BitMap

from turso_sync_nb.engine.configuration import configured, is_moved
from turso_sync_nb.engine.reports import TreeCost
from turso_sync_nb.engine.tree_costs import begin, tree_costs
from turso_sync_nb.engine.unreadable import UnreadableStateError, named_if_unreadable
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap


class Trees:
    """Pages 10 to 19 are below root 1, 20 to 29 below root 2; of others nothing is known."""

    def root(self, page: int) -> int:
        """Return the root, or the page itself."""
        return page // 10 if 10 <= page < 30 else page

    def by_root(self, pages: BitMap) -> dict[int, BitMap]:
        """Return ``pages`` by root."""
        roots = {self.root(page) for page in pages}
        return {root: BitMap(page for page in pages if self.root(page) == root) for root in roots}


def test_pages_by_tree() -> None:
    """Read ones that were here, fetched ones, those of them that nobody read, and requests; dearest first."""
    taken: list[str] = []
    read = BitMap([10, 11, 20, 21, 22, 99])
    read_ahead = SimpleNamespace(trees=Trees(), take_read=lambda: taken.append("read") or read)
    requests = [(11, BitMap([11, 12])), (20, BitMap([20, 21, 22])), (21, BitMap([23]))]
    file = SimpleNamespace(requests=list(requests), read_ahead=read_ahead)
    assert tree_costs(file, {1: "t", 2: "t_a"}) == (
        TreeCost("t_a", 0, 4, 1, 2),
        TreeCost("t", 1, 2, 1, 1),
        TreeCost("", 1, 0, 0, 0),
    )
    begin(file)
    assert file.requests == []
    assert taken == ["read", "read"]
    begin(None)


@pytest.mark.parametrize(
    ("sqlite_says", "said", "hint"),
    [
        (
            'malformed database schema (stock) - near "MATERIALIZED": syntax error',
            'pull: the remote has stock, which SQLite cannot read (near "MATERIALIZED": syntax error)',
            "drop stock on the remote, then pull again",
        ),
        (
            "malformed database schema (a (b)) - no (c)",
            "pull: the remote has a (b), which SQLite cannot read (no (c))",
            "drop a (b) on the remote",
        ),
        (
            "database disk image is malformed",
            "pull: SQLite cannot read the remote's schema: database disk image is malformed",
            "the remote's database is damaged",
        ),
    ],
)
def test_a_schema_that_sqlite_cannot_read(sqlite_says, said, hint) -> None:
    """The object is named where SQLite names it."""
    with pytest.raises(UnreadableStateError) as unreadable, named_if_unreadable("pull"):
        raise apsw.CorruptError(sqlite_says)
    assert unreadable.value.args[0] == said
    assert hint in unreadable.value.hint


class Saved(SimpleNamespace):
    """Metadata that say what was changed in them."""

    def changed(self, **fields: object) -> dict[str, object]:
        """Return the change."""
        return fields


PREFIX = PartialSyncPrefixBootstrap(length=4096)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (PartialSyncOpts(bootstrap_strategy=PREFIX), {}),
        (PartialSyncOpts(bootstrap_strategy=PREFIX, segment_size=8192), {"segment_size": 8192}),
        (PartialSyncOpts(bootstrap_strategy=PREFIX, prefetch=False), {"prefetch": False}),
    ],
)
def test_what_is_left_out_stays_as_it_was_saved(given, changed) -> None:
    """Only what is given changes, false too."""
    assert configured(Saved(), given) == changed
    assert configured(saved := Saved(), None) is saved


@pytest.mark.parametrize(
    ("saved_url", "url", "moved"),
    [("http://a", "http://b", True), ("http://a", "http://a", False), (None, "http://b", False),
     ("http://a", None, False)],
)  # fmt: skip
def test_an_address_that_changed(saved_url, url, moved) -> None:
    """A first one has not, nor one that a function gives."""
    assert is_moved(saved_url, SimpleNamespace(saved_url=url)) is moved
    assert is_moved(saved_url, None) is False

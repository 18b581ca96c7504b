"""A file of pages read in the order of ids: the same content, in few reads where pages follow each other."""

from __future__ import annotations

import random
from itertools import count

import pytest

from turso_sync_nb.storage.pages import page_file
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.units import PageId

STEPS = {"every fifth": range(0, 1500, 5), "all": range(300), "two runs": [*range(40), *range(90, 200)]}


@pytest.mark.parametrize("order", ["as sent", "shuffled"])
@pytest.mark.parametrize("name", STEPS)
def test_runs_are_what_was_put(name, order, tmp_path, monkeypatch) -> None:
    """Whatever order they came in, in runs of at most so many."""
    pages = {PageId(at): bytes([at % 251]) * 4096 for at in STEPS[name]}
    ids = list(pages)
    if order == "shuffled":
        random.Random(1).shuffle(ids)
    file = PageFile(tmp_path / "pages")
    file.put((page, pages[page]) for page in ids)
    reads, read_at = count(), page_file.read_at
    monkeypatch.setattr(page_file, "read_at", lambda *where: (next(reads), read_at(*where))[1])
    found: dict[int, bytes] = {}
    for first, data in file.read_runs(31):
        assert len(data) <= 31 * 4096
        found |= {first + at // 4096: data[at : at + 4096] for at in range(0, len(data), 4096)}
    assert found == pages
    assert order == "shuffled" or next(reads) <= 3 + len(pages) // 64
    file.discard()

"""A row that both sides changed is merged column by column; a table of what each function makes of it."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.merging import as_derived_there, merged_image, overlap, same_image, yielding
from turso_sync_nb.changes.model import RowChange, TableSchema

MERGES = {
    "nobody changed it": (1, 1, 1, 1, False, 1),
    "we did": (1, 2, 1, 2, False, 2),
    "they did": (1, 1, 3, 3, False, 3),
    "both, to the same": (1, 2, 2, 2, False, 2),
    "both, otherwise": (1, 2, 3, 2, True, 3),
    "both, to another type": (1, 2, "2", 2, True, "2"),
    "we to NULL": (1, None, 1, None, False, None),
    "they to NULL": (1, 2, None, 2, True, None),
    "1 and 1.0": (1, 1.0, 2, 1.0, True, 2),
}
"""Of one value: before, ours and theirs; the merge, whether they overlap, the merge that yields."""


@pytest.mark.parametrize("name", MERGES)
def test_one_column(name):
    """Beside a column that stays; types count."""
    old, new, row, merged, overlaps, yielded = MERGES[name]
    images = ("k", old), ("k", new), ("k", row)
    assert same_image(merged_image(*images), ("k", merged))
    assert overlap(*images) is overlaps
    assert same_image(yielding(*images), ("k", yielded))


DERIVED = {
    "a row that was removed": ((1, "mine"), None, (1, "theirs"), (1, "theirs"), (1, "theirs")),
    "another column was set": ((1, "mine"), (2, "mine"), (1, "theirs"), (1, "theirs"), (2, "theirs")),
    "the column itself was set": ((1, "mine"), (1, "set"), (1, "theirs"), (1, "theirs"), (1, "set")),
    "the other column is another one there": ((1, "mine"), (2, "mine"), (5, "it"), (1, "it"), (2, "it")),
}


@pytest.mark.parametrize("name", DERIVED)
def test_what_a_trigger_made_is_as_it_is_there(name):
    """In both images, but where the change itself set it; other columns stay."""
    old, new, row, before, after = DERIVED[name]
    shape = TableSchema(1, "t", ("id", "stamp"), (0,))
    change = RowChange(
        1, shape, "delete" if new is None else "update", old, new, derived=frozenset({"stamp"})
    )
    assert as_derived_there(change, row) == (before, after)

"""Find the rows of changes in a replay, also those in which triggers made other values than they did here.

A row without a key is found by all its values. Those that a trigger made may differ here: a later time, or a
total of more rows. Then the row is found by its other values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes import images, to_sql
from turso_sync_nb.changes.images import same_value
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.read_row import read_first, read_row
from turso_sync_nb.changes.volatile import volatile_columns
from turso_sync_nb.engine.row_identity import there

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.changes.derived import DerivedColumns
    from turso_sync_nb.changes.model import Image, RowChange, TableSchema


class RowsThere:
    """The rows that ``raw`` shows; ``derived``: what triggers made of them in this replay."""

    def __init__(self, raw: apsw.Connection, derived: DerivedColumns) -> None:
        self._raw = raw
        self._derived = derived
        self._version: int | None = None
        self._volatile: dict[str, frozenset[str]] = {}
        """Columns that get another value each time, by table."""

    def of(self, change: RowChange) -> Image | None:
        """Return the row that ``change`` found, as it is now; ``None`` when there is none."""
        shape, old = change.shape, there(change.old)
        row = read_row(self._raw, shape, old)
        if row is not None or not change.derived or images.usable_key(shape, old):
            return row
        if shape.rowid_name is None:
            return None
        is_whole = change.derived >= set(shape.columns)
        but_for = change.derived
        if is_whole:
            volatile = self.volatile_of(shape)
            but_for = frozenset(name for name in shape.columns if folded(name) in volatile)
        row = self._like(change, old, but_for) if but_for else None
        return self._most_like(shape, old) if row is None and is_whole else row

    def volatile_of(self, shape: TableSchema) -> frozenset[str]:
        """Return the columns, in lower case, that get another value each time that triggers fill them."""
        version: int = self._raw.execute("PRAGMA main.schema_version").get
        if version != self._version:
            self._version, self._volatile = version, volatile_columns(self._raw)
        return self._volatile.get(folded(shape.table), frozenset())

    def _like(self, change: RowChange, image: Image, but_for: frozenset[str]) -> Image | None:
        """Return a row equal to ``image`` but for some columns: one that triggers filled, else the newest."""
        shape, last = change.shape, None
        query = to_sql.select_like(shape, image, but_for)
        given = images.differing(shape, image, change.new) & but_for if change.new else frozenset[str]()
        rows: Any = self._raw.execute(*query)
        try:
            for row in rows:
                found: Image = row
                if images.differing(shape, image, found) <= self._derived.of(shape, found):
                    return found
                is_given = given and change.new and not images.differing(shape, change.new, found) & given
                last = found if last is None and not is_given else last
        except UnicodeDecodeError:
            return read_first(self._raw, shape, query)
        return last

    def _most_like(self, shape: TableSchema, image: Image) -> Image | None:
        """Return the row most like ``image`` among those that triggers made or changed in this replay."""
        likeness: dict[Image, int] = {
            row.image: sum(map(same_value, row.image, image))
            for row in self._derived.keyless
            if folded(row.table) == folded(shape.table) and len(row.image) == len(image)
        }
        most = max(likeness.values(), default=0)
        found = [row for row, count in likeness.items() if count == most]
        is_it = len(found) == 1 and (most or len(likeness) == 1)
        return found[0] if is_it else None

"""Find the columns that cannot identify a row without a key in a push: the remote's triggers refill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes import images
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.row_conditions import Volatile
from turso_sync_nb.changes.taped import schema_changes
from turso_sync_nb.changes.volatile import timestamp_columns, volatile_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from turso_sync_nb.changes.model import RowChange, Transaction
    from turso_sync_nb.changes.row_conditions import Given

_GIVEN_MAX: Final = 100
"""The last values of a table that are compared with those that triggers make."""


class VolatileColumns:
    """Columns to which triggers give another value each time, and the values that statements put there."""

    def __init__(
        self,
        moments: Mapping[str, frozenset[str]] | None = None,
        volatile: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._moments = moments or {}
        self._volatile = volatile or {}
        self._given: dict[str, dict[Given, None]] = {}

    @classmethod
    def read(cls, raw: apsw.Connection, applied: Iterable[Transaction]) -> VolatileColumns:
        """Return the volatile columns of ``raw``, also by triggers that ``applied`` transactions dropped."""
        was = [one for each in applied for _, change in schema_changes(each.changes) for one in change.was]
        dropped = [one.sql for one in was if one.type == "trigger"]
        return cls(timestamp_columns(raw, dropped), volatile_columns(raw, dropped))

    def columns(self, table: str) -> frozenset[str]:
        """Return the volatile columns of ``table``, in lower case."""
        return self._volatile.get(folded(table), frozenset())

    def of(self, change: RowChange) -> Volatile:
        """Return the columns that do not name the row of ``change``; none where a key names it."""
        shape, table = change.shape, folded(change.shape.table)
        if table not in self._volatile or change.old is None or images.usable_key(shape, change.old):
            return Volatile()
        known = [of.get(table, frozenset()) for of in (self._moments, self._volatile)]
        tiers = [frozenset(name for name in change.derived if folded(name) in names) for names in known]
        given = self._given.setdefault(table, {})
        if change.new is not None:
            changed = images.differing(shape, change.old, change.new) & tiers[-1]
            values = zip(shape.columns, change.new, strict=True)
            if own := tuple((name, value) for name, value in values if name in changed):
                given.pop(own, None)
                given[own] = None
        return Volatile(tuple(dict.fromkeys(filter(None, tiers))), tuple(given)[-_GIVEN_MAX:])

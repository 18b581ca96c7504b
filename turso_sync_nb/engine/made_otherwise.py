"""Say in a push which columns of a row without a key do not name it: triggers there make them otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes import images
from turso_sync_nb.changes.chance import columns_of_moments, columns_otherwise
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.row_conditions import Otherwise
from turso_sync_nb.changes.taped import schema_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from turso_sync_nb.changes.model import RowChange, Transaction
    from turso_sync_nb.changes.row_conditions import Given

_GIVEN_MAX: Final = 100
"""Values of a table that are told apart from those that triggers make, the last ones."""


class MadeOtherwise:
    """The columns that triggers fill otherwise each time, by table, and what statements put there since."""

    def __init__(
        self,
        moments: Mapping[str, frozenset[str]] | None = None,
        otherwise: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._moments = moments or {}
        self._otherwise = otherwise or {}
        self._given: dict[str, dict[Given, None]] = {}

    @classmethod
    def read(cls, raw: apsw.Connection, applied: Iterable[Transaction]) -> MadeOtherwise:
        """Return those of ``raw``, triggers that ``applied`` ones dropped too."""
        was = [one for each in applied for _, change in schema_changes(each.changes) for one in change.was]
        dropped = [one.sql for one in was if one.type == "trigger"]
        return cls(columns_of_moments(raw, dropped), columns_otherwise(raw, dropped))

    def columns(self, table: str) -> frozenset[str]:
        """Return those of ``table``, in lower case."""
        return self._otherwise.get(folded(table), frozenset())

    def of(self, change: RowChange) -> Otherwise:
        """Return what does not name the row of ``change``: nothing where a key does."""
        shape, table = change.shape, folded(change.shape.table)
        if table not in self._otherwise or change.old is None or images.usable_key(shape, change.old):
            return Otherwise()
        known = [of.get(table, frozenset()) for of in (self._moments, self._otherwise)]
        tiers = [frozenset(name for name in change.derived if folded(name) in names) for names in known]
        given = self._given.setdefault(table, {})
        if change.new is not None:
            changed = images.differing(shape, change.old, change.new) & tiers[-1]
            values = zip(shape.columns, change.new, strict=True)
            if own := tuple((name, value) for name, value in values if name in changed):
                given.pop(own, None)
                given[own] = None
        return Otherwise(tuple(dict.fromkeys(filter(None, tiers))), tuple(given)[-_GIVEN_MAX:])

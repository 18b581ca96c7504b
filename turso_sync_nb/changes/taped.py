"""Read the changes of a large transaction from the tape each time, instead of holding them in memory.

The tape must keep the transaction while anyone iterates over its changes. Their number, and which of them
change the schema, are known without reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast, overload

from turso_sync_nb.changes.model import RowChange, SchemaChange, is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from turso_sync_nb.changes.model import Change

    Read = Callable[[int], Iterator[Change]]
    """Reads the transaction's changes that stand on the tape after a row of it, given by its id."""


class SchemaPlace(NamedTuple):
    """A change of the schema, and its place in its transaction.

    ``is_clean``: what follows can be read from there on, without what stands before.
    """

    at: int
    change: SchemaChange
    is_clean: bool


class Count:
    """Figures of changes that were read and not held."""

    def __init__(self) -> None:
        self.length = 0
        self.shown = 0
        self.schema: list[SchemaPlace] = []

    def take(self, changes: Iterable[Change], *, is_clean: bool) -> None:
        """Count ``changes``; ``is_clean``: those after the last one can be read by themselves."""
        for change in changes:
            if isinstance(change, SchemaChange):
                self.schema.append(SchemaPlace(self.length, change, is_clean))
            self.shown += is_shown(change)
            self.length += 1


class TapedChanges(Sequence["Change"]):
    """``count.length`` changes; ``read`` gives them, those on the tape after ``after``, ``skip`` too many."""

    def __init__(self, read: Read, after: int, count: Count, skip: int = 0) -> None:
        self.count_of = count
        self._read = read
        self._after = after
        self._skip = skip

    def __len__(self) -> int:
        return self.count_of.length

    def __iter__(self) -> Iterator[Change]:
        return islice(self._read(self._after), self._skip, self._skip + len(self))

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> TapedChanges: ...
    def __getitem__(self, at: int | slice) -> Change | TapedChanges:
        if isinstance(at, int):
            return next(islice(self, range(len(self))[at], None))
        first, end, _ = at.indices(len(self))
        before = [one for one in self.count_of.schema if one.is_clean and one.at < first]
        after, skip = self._after, self._skip + first
        if before:
            after, skip = before[-1].change.id, first - before[-1].at - 1
        part = Count()
        part.length = max(end - first, 0)
        part.schema = [
            one._replace(at=one.at - first) for one in self.count_of.schema if first <= one.at < end
        ]
        return TapedChanges(self._read, after, part, skip)


def schema_changes(changes: Sequence[Change]) -> list[tuple[int, SchemaChange]]:
    """Return the changes of the schema among ``changes``, with their places."""
    if isinstance(changes, TapedChanges):
        return [(one.at, one.change) for one in changes.count_of.schema]
    if SchemaChange not in set(map(type, changes)):
        return []
    return [(at, change) for at, change in enumerate(changes) if isinstance(change, SchemaChange)]


def shown(changes: Sequence[Change]) -> int:
    """Return how many of ``changes``, all of a transaction, a user is shown."""
    if isinstance(changes, TapedChanges):
        return changes.count_of.shown
    if set(map(type, changes)) == {RowChange}:
        rows = cast("Sequence[RowChange]", changes)
        return len([one for one in rows if one.outcome != "carried" and not one.shape.ignored])
    return sum(map(is_shown, changes))

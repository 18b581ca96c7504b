"""Find the rows that triggers inserted, whose keys may be other ones on another state.

Where SQLite assigns keys, the remote's run of a trigger gives its row the next key that is free there. A
replay looks for the row under its new key. A push asks first whether others have added rows since the last
pull.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.changes.images import differing, same_value
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.changes.read_row import read_row
from turso_sync_nb.changes.to_sql import one_or_fail
from turso_sync_nb.changes.volatile import tables_with_keys_of_sqlite, volatile_columns
from turso_sync_nb.engine.push_batch import PushStatement
from turso_sync_nb.engine.row_identity import there
from turso_sync_nb.engine.schema_guards import BaseIsOldError, base_image
from turso_sync_nb.engine.unapplied import UnfitError
from turso_sync_nb.protocol.pipeline import Stmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from turso_sync_nb.changes.derived import DerivedColumns
    from turso_sync_nb.changes.model import Image, Transaction
    from turso_sync_nb.changes.renumbering import Renumbering
    from turso_sync_nb.engine.replica import Replica


def is_of_trigger(change: RowChange) -> bool:
    """Return whether a change is of a row that a trigger inserted, with a key that may be SQLite's.

    So is a change that sets a trigger's random values in a row that the trigger did not insert just now.
    """
    shape = change.shape
    if change.old is None or not change.derived or not shape.auto_key:
        return False
    if change.outcome not in ("changed", "carried"):
        return False
    key = shape.columns[shape.key[0]]
    return key in change.derived or change.derived >= set(shape.columns) - {key}


class TriggerKeys:
    """The rows that triggers made in one replay, on the state that ``raw`` shows."""

    def __init__(self, raw: apsw.Connection, derived: DerivedColumns, renumbering: Renumbering) -> None:
        self._raw = raw
        self._derived = derived
        self._renumbering = renumbering
        self._version: int | None = None
        self._assigned = frozenset[str]()
        self._volatile: dict[str, frozenset[str]] = {}
        """Columns that get another value each time, by table."""

    def _look_again(self) -> None:
        """Look at the triggers, if the schema is another one."""
        version: int = self._raw.execute("PRAGMA main.schema_version").get
        if version != self._version:
            self._version, self._assigned = version, tables_with_keys_of_sqlite(self._raw)
            self._volatile = volatile_columns(self._raw)

    def found(self, change: RowChange) -> RowChange:
        """Return ``change`` with the key that its row has here; rows that triggers did not make have theirs.

        A trigger's random values, in a row that this replay did not make, get no key: none names that row.

        Raises:
            UnfitError: another row has that key, and the one that was made is not found.
        """
        shape, table = change.shape, folded(change.shape.table)
        if not is_of_trigger(change):
            return change
        self._look_again()
        if table not in self._assigned:
            return change
        (at,) = shape.key
        unlike = {folded(shape.columns[at]), *self._volatile.get(table, ())}
        if change.outcome == "carried":  # the trigger has changed its row already
            unlike |= set(map(folded, differing(shape, change.old or (), change.new or ())))
        compared = [
            place
            for place, name in enumerate(shape.columns)
            if name in change.derived and folded(name) not in unlike
        ]
        old = there(change.old)

        def is_it(row: Image | None) -> bool:
            return row is not None and all(same_value(row[place], old[place]) for place in compared)

        row = read_row(self._raw, shape, old)
        if is_it(row):
            return change
        of_triggers = [
            key for (name, *key), made in self._derived.names.items()
            if folded(name) == table and shape.columns[at] in made
        ]  # fmt: skip
        for (key,) in of_triggers:
            if is_it(read_row(self._raw, shape, (*old[:at], key, *old[at + 1 :]))):
                self._renumbering.exchange(shape, old[at], key)
                return self._renumbering.applied_to(change)
        if change.outcome == "carried":
            new = there(change.new)
            return change.changed(new=(*new[:at], None, *new[at + 1 :]))
        if row is not None and [old[at]] not in of_triggers:
            raise UnfitError(f"{shape.table} has another row in the place of the one that a trigger made")
        return change


def conditions(
    replica: Replica, here: apsw.Connection, batch: Sequence[Transaction], *, is_old: bool
) -> list[PushStatement]:
    """Return the conditions under which the remote's triggers assign the keys that they had in ``here``.

    ``is_old``: something was pushed since the base image was pulled.

    Raises:
        BaseIsOldError: nobody knows which keys are next there; pull first.
    """
    assigned = tables_with_keys_of_sqlite(here)
    changed: dict[str, tuple[Transaction, RowChange]] = {}
    for one in batch if assigned else ():
        for change in one.changes:
            if not isinstance(change, RowChange) or not is_of_trigger(change):
                continue
            if folded(change.shape.table) in assigned:
                changed.setdefault(change.shape.table, (one, change))
    if not changed:
        return []
    found: list[PushStatement] = []
    with base_image(replica) as raw:
        known = tables_with_keys_of_sqlite(raw) if raw is not None else frozenset[str]()
        for table, (transaction, change) in changed.items():
            if raw is None or folded(table) not in known:
                continue
            if is_old:
                raise BaseIsOldError(transaction, change)
            key = quoted(change.shape.columns[change.shape.key[0]])
            highest = f"ifnull((SELECT max({key}) FROM {quoted(table)}), 0)"
            was = raw.execute(f"SELECT {highest}").get
            stmt = Stmt(f"SELECT {one_or_fail(f'{highest} = ?')}", (was,), want_rows=False)
            unmet = f"rows were added to {table}, so triggers assign other keys there"
            found.append(PushStatement(transaction, (change,), stmt, unmet=unmet))
    return found

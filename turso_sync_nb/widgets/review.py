"""Review: what waits, what comes, what clashes, and what a pull leaves; before anything moves.

The half that is known here is shown at once; the remote is asked in a thread. Without an answer the half
stays, and the widget says so.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.images import differing, key_of
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.errors import RemoteError, RemoteUnreachableError, UsageError
from turso_sync_nb.units import format_ago
from turso_sync_nb.widgets.listening import line_of_pull, line_of_push
from turso_sync_nb.widgets.live import LiveWidget, script
from turso_sync_nb.widgets.snapshots import line, table
from turso_sync_nb.words import REASONS_TO_STAY, count_of, settled_as, value_of, values_of, waits_to_be_pushed

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Change, Image, TableSchema, Transaction
    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.review import Review, ReviewedRow
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.widgets.live import Content, Message
    from turso_sync_nb.widgets.snapshots import Block

LISTED_MAX: Final = 60
"""Rows of each part that a view is sent."""

TRANSACTIONS_MAX: Final = 20
"""Transactions listed of each kind; of the others the number is said."""

_STATES: Final = {"pending": "", **REASONS_TO_STAY}


class ReviewWidget(LiveWidget):
    """Shows rows of both sides, column by column; pulls, pushes, undoes and decides."""

    _esm = script("review")
    title = "review"

    def __init__(self, db: Connection, replica: Replica) -> None:
        super().__init__(db, replica)
        self._keep: dict[tuple[str, tuple[Any, ...]], Any] = {}
        self._keep_schema: dict[int, str] = {}
        """The side that is to stay, by transaction, where both defined the same."""
        self._rows: dict[str, ReviewedRow] = {}
        self._offline = ""
        self._is_wanted = False
        self._known: Review | None = None
        """The last answer, as long as nothing changed here."""
        self.handlers |= {
            "look": lambda _content: self._look(),
            "keep": self._decide,
            "keep_schema": self._decide_schema,
            "push": lambda _content: self.work("push", lambda own: line_of_push(own.push())),
            "pull": lambda _content: self.work("pull", self._pull),
            "undo": self._undo,
            "settle": self._settle,
        }

    # What views are told

    def full_message(self, db: Connection) -> Message:
        """Return what the remote answered if nothing changed since, else the half that is known here."""
        if self._known is None or self.has_changed():
            self._known = None
            return self._message(db, db.review_offline())
        return self._message(db, self._known)

    def update_message(self) -> None:
        """Return nothing: all is looked at again after cells and work."""

    def look_message(self, db: Connection) -> Message | None:
        """Return what is known; views ask for the rest."""
        return self.full_message(db)

    def has_changed(self) -> bool:
        """Return whether something was written or pulled since the last look, or the remote came or went."""
        return self._seen != self._seen_now()

    _seen: tuple[object, ...] = ()

    def _seen_now(self) -> tuple[object, ...]:
        return *self.state(), self._is_silent

    @property
    def _is_silent(self) -> bool:
        """Whether the remote did not answer the last time that anybody asked it."""
        return self.db.remote_answered[1] is not None

    def _look(self) -> None:
        """Ask the remote; once more, by what is chosen since, if work is under way now."""
        self._is_wanted = True
        if not self.doing:
            self.work("look", self._ask, quiet=True)

    def work_ended(self) -> None:
        """Look for whoever asked after the last answer had come, before the work was over."""
        if self._is_wanted:
            with self.lock:
                self._look()

    def _ask(self, db: Connection) -> str:
        was_offline = bool(self._offline)
        while self._is_wanted:
            self._is_wanted = False
            try:
                found, self._offline = db.review(self._keep), ""
            except RemoteError as error:
                found, self._offline = db.review_offline(), _unknown(error)
            self._known = found
            self._post(*self._message(db, found))
        return "not refreshed" if self._offline else "online again" if was_offline else ""

    def _message(self, db: Connection, review: Review) -> Message:
        self._seen = self._seen_now()
        self._rows = {_id(row): row for row in review.rows}
        clashes = review.clashes
        coming = [row for row in review.rows if row.by != "mine" and not row.clashes]
        waiting, settled = db.waiting, db.settled
        content: Content = {
            "type": "review",
            "known": self._known is not None and not self._offline,
            "offline": self._offline if self._known is not None or self._is_silent else "",
            "refused": review.refused,
            "clashes": [self._row(row) for row in clashes[:LISTED_MAX]],
            "coming": [self._row(row) for row in coming[:LISTED_MAX]],
            "coming_in_all": len(coming),
            "schema_coming": list(review.schema_theirs),
            "set_aside": [list(each) for each in review.set_aside],
            "schema_clashes": [
                {**asdict(each), "side": self._keep_schema.get(each.transaction, "")}
                for each in review.schema_clashes
            ],
            "unplaced": review.unplaced,
            "waiting": [_transaction(one) for one in waiting[:TRANSACTIONS_MAX]],
            "waiting_in_all": sum(len(one.changes) for one in waiting if one.state in ("pending", "refused")),
            "transactions": len(waiting),
            "pushed": [_transaction(one) for one in db.pushed[: -TRANSACTIONS_MAX - 1 : -1]],
            "settled": [
                {
                    "number": len(settled) - at, "table": one.table, "key": values_of(one.key or {}),
                    "kind": one.kind, "how": settled_as(one.settled_by), "age": format_ago(one.unix_time),
                    **_sides(one),
                }
                for at, one in enumerate(settled[: -TRANSACTIONS_MAX - 1 : -1])
            ],
        }  # fmt: skip
        return content, ()

    def _row(self, row: ReviewedRow) -> Content:
        return {
            "id": _id(row),
            "table": row.table,
            "key": values_of(dict(zip(row.key_names, row.key, strict=False))),
            "mine": row.mine,
            "theirs": row.theirs,
            "stays": row.stays,
            "side": self._keep.get((row.table, row.key), ""),
            "columns": [
                {
                    "name": each.name, "base": value_of(each.base), "mine": value_of(each.mine),
                    "theirs": value_of(each.theirs), "left": value_of(each.left), "clashes": each.clashes,
                }
                for each in row.columns
            ],
        }  # fmt: skip

    # What views do

    def _decide(self, content: Content) -> None:
        row = self._rows.get(str(content["row"]))
        if row is None:
            raise UsageError("decide: that row is not under review any more", hint="look again")
        self._keep[row.table, row.key] = content["side"]
        self._look()

    def _decide_schema(self, content: Content) -> None:
        self._keep_schema[int(content["transaction"])] = str(content["side"])

    def _pull(self, db: Connection) -> str:
        said = [line_of_pull(db.pull(keep=self._keep))]
        chosen, self._keep_schema = self._keep_schema, {}
        self._keep, self._known = {}, None
        for transaction, side in chosen.items():
            places = (at for at, one in enumerate(db.settled, 1) if one.transaction == transaction)
            if place := max(places, default=0):
                said.append(db.settle(place, side))
        return "; ".join(said)

    def _undo(self, content: Content) -> None:
        number = int(content["transaction"])

        def undo(db: Connection) -> str:
            rows = db.undo(number)
            self._known = None
            return f"undo: transaction {number} is undone here, {count_of(rows, 'row')}"

        self.work("undo", undo)

    def _settle(self, content: Content) -> None:
        number, side = int(content["number"]), str(content["side"])

        def settle(db: Connection) -> str:
            self._known = None
            return db.settle(number, side)

        self.work("settle", settle)

    # Without a kernel

    def snapshot(self, db: Connection) -> Block:
        """Return what waits, a line for each changed column."""
        review = db.review_offline()
        rows = [
            (row.table, values_of(dict(zip(row.key_names, row.key, strict=False))), row.mine, each.name,
             value_of(each.base), value_of(each.mine))
            for row in review.rows for each in row.columns
        ]  # fmt: skip
        count = len(review.rows)
        said = line(waits_to_be_pushed(count, "row"))
        return said + table(("table", "key", "change", "column", "was", "is"), rows) if rows else said


def _unknown(error: RemoteError) -> str:
    """Return why it is not known what comes; a remote that says no is not away."""
    return f"offline: {error}" if isinstance(error, RemoteUnreachableError) else str(error)


def _id(row: ReviewedRow) -> str:
    return json.dumps([row.table, [repr(value) for value in row.key]])


def _sides(one: Any) -> Content:
    """Return base, local and remote of a conflict, as lines of the columns that differ."""
    sides = {"base": one.base, "mine": one.local, "theirs": one.remote}
    if any(isinstance(each, str) for each in sides.values()):
        return {name: [each or "not there"] for name, each in sides.items()}
    names = {name for each in sides.values() if each for name in each}
    differ = [
        name for name in next((list(each) for each in sides.values() if each), [])
        if name in names and len({repr((each or {}).get(name)) for each in sides.values()}) > 1
    ]  # fmt: skip
    return {
        side: [f"{name} {value_of(each[name])}" for name in differ] if each else ["no row"]
        for side, each in sides.items()
    }


def _transaction(one: Transaction) -> Content:
    return {
        "number": one.number,
        "age": format_ago(one.unix_time),
        "state": _STATES[one.state],
        "reason": one.reason,
        "undone": one.state == "skipped",
        "changes": [_change(change) for change in one.changes[:LISTED_MAX]],
        "in_all": len(one.changes),
    }


def _change(change: Change) -> Content:
    if not isinstance(change, RowChange):
        return {"operation": "schema", "table": change.name, "key": "", "columns": [], "sql": change.sql}
    shape, old, new = change.shape, change.old, change.new
    columns = list(shape.columns)
    if old is not None and new is not None:
        columns = [name for name in columns if name in differing(shape, old, new)]
    values = [(_of(shape, old, name), _of(shape, new, name)) for name in columns]
    shown = [
        [name, *map(value_of, pair)]
        for name, pair in zip(columns, values, strict=True)
        if pair != (None, None)
    ]
    image = new if old is None else old
    keys = key_of(shape, image) if image and shape.key else ()
    key = values_of(dict(zip([shape.columns[at] for at in shape.key], keys, strict=False)))
    return {"operation": change.op, "table": shape.table, "key": key, "columns": shown}


def _of(shape: TableSchema, image: Image | None, name: str) -> Any:
    return None if image is None else image[shape.columns.index(name)]

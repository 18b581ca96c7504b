"""Edit a table in a grid: edits staged by key with the old value, applied as one transaction.

What is staged is kept here and not in the view: views show it, and it outlives them.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.connection.frame_editing import write_edits
from turso_sync_nb.errors import ConflictError, Error, RemoteUnreachableError, StoppedError, UsageError
from turso_sync_nb.widgets.arrangement import Arrangement
from turso_sync_nb.widgets.cell_types import kind_of, meant, referred
from turso_sync_nb.widgets.listening import line_of_push
from turso_sync_nb.widgets.live import LiveWidget, line_of, script
from turso_sync_nb.widgets.snapshots import data_rows, line, table
from turso_sync_nb.widgets.staging import Staging
from turso_sync_nb.widgets.table_rows import AS_IT_IS
from turso_sync_nb.widgets.values import typed, wire
from turso_sync_nb.words import count_of, value_of, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.frame_diff import RowEdit
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.widgets.live import Content, Message
    from turso_sync_nb.widgets.snapshots import Block
    from turso_sync_nb.widgets.table_rows import TableRows

    Row = tuple[Any, ...]

PAGE_ROWS: Final = 30
"""Rows that a view is sent at once; it keeps two such pages."""

ROWS_REMEMBERED: Final = 2_000
"""Rows whose values are kept as the old ones of an edit: more than any view shows."""

SNAPSHOT_ROWS: Final = 20
"""Rows of the static form, which is saved with the notebook."""

PREVIEWED_MAX: Final = 100
"""Staged rows that a preview lists; of the others the number is said."""

FILTERED_ROWS_MAX: Final = 100_000
"""Rows of a table of which those that meet ``where`` are counted unasked."""

_COLUMN_OF: Final = re.compile(r"(?:failed:|column) (?:\w+\.)?([^.,]+)$")
"""The part of SQLite's constraint message that names the column."""


class TableEditor(LiveWidget):
    """Shows a table, and edits it if its rows have a key."""

    _esm = script("editor")

    def __init__(self, db: Connection, replica: Replica, rows: TableRows) -> None:
        super().__init__(db, replica)
        self.rows = rows
        self.title = f"edit {rows.table}"
        self.staging = Staging(rows)
        self._arranged = AS_IT_IS
        self._counted: tuple[object, str] = (None, "")
        self._sent: OrderedDict[str, tuple[Row, Row]] = OrderedDict()
        self._typed_into: set[str] = set()
        self.handlers |= {
            "page": self._page,
            "arrange": self._arrange,
            "go": self._go,
            "preview": lambda _content: self._preview(),
            "typing": self._typing,
            "choices": self._choices,
            "set": self._set,
            "add": lambda _content: self._step(self.staging.add),
            "delete": self._delete,
            "undo": lambda _content: self._undo(),
            "discard": lambda _content: self._discard(),
            "apply": lambda content: self.work("apply", lambda own: self._apply(own, content)),
        }

    # What views are told

    def full_message(self, db: Connection) -> Message:
        """Return the columns, the first page, and what is staged."""
        columns = [
            {
                "name": each.name, "type": each.declared, "notnull": each.notnull, "key": each.key,
                "readonly": each.readonly, "kind": kind_of(each.declared), "choices": list(each.choices),
            }
            for each in self.rows.columns
        ]  # fmt: skip
        return {
            "type": "table", "name": self.rows.table, "columns": columns, "readonly": self.rows.readonly,
            "by_number": not self.rows.order, "key": list(self.rows.order), "where": self.rows.where,
            "has_remote": self.replica.remote_url is not None, "in_all": self._in_all(db),
            **self._staged(), **self._rows_of(db, "from", ()),
        }, ()  # fmt: skip

    def update_message(self) -> None:
        """Return nothing: rows are read again after cells and work, not amid them."""

    def look_message(self, db: Connection) -> Message:
        """Have views ask for their rows again."""
        return {"type": "stale", "in_all": self._in_all(db)}, ()

    def _in_all(self, db: Connection) -> str:
        """Return how many rows there are, as far as that costs little: nothing is fetched for it."""
        state = (*self.state(), len(self.replica.store.page_map.resident))
        if state != self._counted[0]:
            self._counted = (state, self._counted_now(db))
        return self._counted[1]

    def _counted_now(self, db: Connection) -> str:
        rows, is_counted = db.row_count(self.rows.table)
        if self.rows.where:
            if not is_counted or (rows or 0) > FILTERED_ROWS_MAX:
                return ""
            rows = None
            with suppress(RemoteUnreachableError), db.fetching(offline=True):
                rows = self.rows.count(db, AS_IT_IS)
        if rows is None:
            return ""
        return count_of(rows, "row") if is_counted else f"about {count_of(rows, 'row')}"

    def _open_view(self, content: Content) -> None:
        super()._open_view(content)
        self.replica.listener.pull_blockers.add(self._half_edited)

    def _close_view(self, content: Content) -> None:
        super()._close_view(content)
        self._typed_into.discard(str(content.get("view")))
        if not self.views:
            self.replica.listener.pull_blockers.discard(self._half_edited)

    def _typing(self, content: Content) -> None:
        """Keep whether a view has a cell that is being typed into."""
        (self._typed_into.add if content["on"] else self._typed_into.discard)(str(content["view"]))

    def _choices(self, content: Content) -> None:
        """Send values that a foreign key may hold, as far as they are here."""
        name = str(content["column"])
        with suppress(RemoteUnreachableError), closing(self.db.sibling()) as db:
            values = [wire(value) for value in referred(db, self.rows.table, name)]
            if values:
                self.send({"type": "choices", "column": name, "values": values})

    def _half_edited(self) -> str:
        """Say why a pull that nobody asked for has to wait; a grid that nobody sees holds up none."""
        if self._typed_into:
            return f"the cell of {self.rows.table} that is typed into"
        return f"what is staged in {self.rows.table}" if self.staging.rows else ""

    def _page(self, content: Content) -> None:
        direction, anchor = content["direction"], content.get("anchor")
        place = self._remembered(anchor)[0] if anchor else ()
        with closing(self.db.sibling()) as db:
            self._send_rows(content, self._rows_of(db, direction, place))

    def _send_rows(self, content: Content, rows: Content, **more: bool) -> None:
        """Answer a request for rows; a view takes no answer to one that it followed by another."""
        self.send({"type": "rows", "asked": content.get("asked", ""), **rows, **more})

    def _rows_of(self, db: Connection, direction: Any, place: Row) -> Content:
        limit = 2 * PAGE_ROWS if direction in ("from", "last") else PAGE_ROWS
        found = self.rows.page(db, direction, place, limit, self._arranged)
        ids = [self.rows.key_of(at, self._arranged) for at, _ in found]
        rows = [
            (self._id(key), [wire(value) for value in row]) for key, (_, row) in zip(ids, found, strict=True)
        ]
        for (row, _), remembered in zip(rows, found, strict=True):
            self._sent[row] = remembered
            self._sent.move_to_end(row)
        while len(self._sent) > ROWS_REMEMBERED:
            self._sent.popitem(last=False)
        return {"direction": direction, "rows": rows, "end": len(found) < limit}

    def _arrange(self, content: Content) -> None:
        """Find, filter and sort all rows, and count them; in a thread, where it can be cancelled."""
        known = self.rows.declared
        filters = {str(name): str(text) for name, text in content["filters"].items() if text}
        sort = str(content["sort"] or "")
        if not {*filters, *([sort] if sort else [])} <= known.keys():
            raise UsageError("sort or filter: there is no such column")
        arranged = Arrangement(
            tuple(filters.items()), str(content["search"]).strip(), sort, bool(content["descending"])
        )
        arranged.condition(known)  # what makes no sense is said before anything is read
        self._arranged = arranged

        def find(db: Connection) -> str:
            self._send_rows(content, self._rows_of(db, "from", ()))
            if not (arranged.filters or arranged.search):
                return "all rows"
            count = self.rows.count(db, arranged)
            return f"{count:,} row{' matches' if count == 1 else 's match'}"

        self.work("find", find)

    def _go(self, content: Content) -> None:
        """Show rows from a key on, in the order of the key."""
        order, texts = self.rows.order, [text.strip() for text in str(content["key"]).split(",")]
        if len(texts) != len(order):
            named = ", ".join(order) or "no key"
            raise UsageError(f"go to a row: its key is {named}", hint="write its values, commas between them")
        place = tuple(
            typed(text, self.rows.declared.get(name, "INTEGER"))
            for text, name in zip(texts, order, strict=True)
        )
        self._arranged = AS_IT_IS
        with closing(self.db.sibling()) as db:
            message = self._rows_of(db, "from", place)
            at_start = not self.rows.page(db, "before", place, 1)
        found = bool(message["rows"]) and message["rows"][0][0] == self._id(place)
        self._send_rows(content, message, start=at_start, plain=True)
        if found:
            self.tell(f"all rows, from {', '.join(texts)} on")
        else:
            self.tell(
                f"{self.rows.table} has no row {', '.join(texts)}: the next ones are shown", failed=True
            )

    def _preview(self) -> None:
        """Send each staged change as a line for each column, old and new."""
        self.send(
            {
                "type": "preview",
                "changes": [
                    {
                        "operation": each.operation,
                        "key": values_of(each.old, self.rows.order),
                        "columns": [
                            [name, self._said(name, each.old.get(name)), self._said(name, value)]
                            for name, value in each.new.items()
                        ],
                        "errors": list(each.errors.values()),
                    }
                    for each in list(self.staging.rows.values())[:PREVIEWED_MAX]
                ],
                "in_all": len(self.staging.rows),
            }
        )

    def _said(self, name: str, value: Any) -> str:
        """Return a value of a column for a reader."""
        is_truth = kind_of(self.rows.declared.get(name, "")) == "boolean" and value in (0, 1)
        return str(bool(value)).lower() if is_truth else value_of(value)

    @staticmethod
    def _id(place: Row) -> str:
        return json.dumps([wire(value) for value in place])

    def _staged(self) -> Content:
        staged = {
            row: {
                "operation": each.operation,
                "new": {name: wire(value) for name, value in each.new.items()},
                "errors": each.errors,
            }
            for row, each in self.staging.rows.items()
        }
        return {"staged": staged, "undoable": self.staging.undoable}

    def _tell_staged(self, *, applied: bool = False) -> None:
        self.send({"type": "staged", **self._staged(), "applied": applied})

    # What views do

    def _remembered(self, row: str) -> tuple[Row, Row]:
        if row not in self._sent:
            raise UsageError("edit: that row was shown too long ago", hint="scroll to it again")
        return self._sent[row]

    def _old(self, row: str) -> dict[str, Any]:
        values = zip(self.rows.columns, self._remembered(row)[1], strict=True)
        return {column.name: value for column, value in values if not column.readonly}

    def _key(self, row: str) -> Row:
        old = self._old(row)
        return tuple(old[name] for name in self.rows.order)

    def _refuse_readonly(self) -> None:
        if self.rows.readonly:
            raise UsageError(self.rows.readonly)

    def _step(self, do: Callable[[], object]) -> None:
        """Stage what ``do`` stages as one step, or nothing of it."""
        self._refuse_readonly()
        self.staging.begin()
        try:
            do()
        except BaseException:
            self.staging.undo()
            raise
        self._tell_staged()

    def _discard(self) -> None:
        self.staging.discard()
        self._tell_staged()

    def _undo(self) -> None:
        if not self.staging.undo():
            self.tell("undo: nothing is left to undo")
        self._tell_staged()

    def _set(self, content: Content) -> None:
        """Stage cells, all of them one step; ids that begin with ``+`` are rows to be added."""

        def put_all() -> None:
            added: dict[str, str] = {}
            for row, column, text in content["cells"]:
                if row.startswith("+") and row not in added:
                    added[row] = self.staging.add()
                self._set_cell(added.get(row, row), column, text)

        self._step(put_all)

    def _set_cell(self, row: str, name: str, text: str | None) -> None:
        column = next((each for each in self.rows.columns if each.name == name), None)
        if column is None or column.readonly:
            raise UsageError(f"edit {name}: {column.readonly if column else 'there is no such column'}")
        staged = self.staging.rows.get(row) or self.staging.touch(row, self._key(row), self._old(row))
        try:
            self.staging.put(row, name, meant(text, column.declared, staged.old.get(name)))
        except UsageError as error:
            staged.new[name] = text
            staged.errors[name] = str(error)

    def _delete(self, content: Content) -> None:
        def delete() -> None:
            for row in content["rows"]:
                is_new = row in self.staging.rows and self.staging.rows[row].operation == "insert"
                key, old = ((), {}) if is_new else (self._key(row), self._old(row))
                self.staging.delete(row, key, old)

        self._step(delete)

    # Applying

    def _apply(self, db: Connection, content: Content) -> str:
        """Write what is staged; runs in a thread. An error goes to its cell, and nothing is written."""
        self._refuse_readonly()
        wrong = sum(len(each.errors) for each in self.staging.rows.values() if any(each.errors))
        if wrong:
            cells = "1 cell holds" if wrong == 1 else f"{wrong} cells hold"
            raise UsageError(f"apply: {cells} what cannot be written", hint="each says why")
        edit, edits = self.staging.edits()
        ids = {id(one): row for row, one in edits.items()}
        writing: list[RowEdit] = []
        try:
            report = write_edits(
                db, edit, list(edits.values()), content.get("on_changed", "raise"), writing.append
            )
        except ConflictError:
            self.send({"type": "conflict"})
            raise
        except apsw.Error as error:
            self._put_error(ids[id(writing[-1])] if writing else None, error)
            raise
        self.staging.discard()
        self._tell_staged(applied=not report.skipped)
        counts = {
            "added": report.inserted,
            "changed": report.updated,
            "deleted": report.deleted,
            "skipped": report.skipped,
        }
        told = [f"{count:,} {what}" for what, count in counts.items() if count]
        done = f"applied: {', '.join(told) or 'nothing differs'}"
        if not content.get("push"):
            return done
        try:
            return f"{done} · {line_of_push(db.push())}"
        except (StoppedError, apsw.InterruptError):
            return f"{done} here, but not pushed: stopped"
        except Error as error:
            error.args = (f"{done} here, but not pushed: {error.args[0]}", *error.args[1:])
            raise

    def _put_error(self, row: str | None, error: apsw.Error) -> None:
        if row is None:
            return
        named = _COLUMN_OF.search(str(error).split(" (")[0])
        column = named[1].strip('"') if named else ""
        known = column if column in self.rows.stored else ""
        self.staging.rows[row].errors[known] = line_of(error)
        self._tell_staged()

    # Without a kernel

    def snapshot(self, db: Connection) -> Block:
        """Return the first rows, and how many edits wait."""
        found = self.rows.page(db, "from", (), SNAPSHOT_ROWS)
        names = [each.name for each in self.rows.columns]
        shown = [row for _, row in found]
        staged = count_of(len(self.staging.rows), "row")
        in_all = self._in_all(db)
        first = f"the first rows of {in_all}" if in_all else "the first rows"
        waiting = f"{staged} staged, not applied" if self.staging.rows else first
        return line(self.rows.readonly or waiting) + table(names, data_rows(shown))

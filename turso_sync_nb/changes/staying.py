"""Keep schema objects local that use a table which is never pushed, or refuse them: the remote lacks it.

A trigger that reads or writes such a table is not pushed; what it does to other tables is pushed as changes
of their rows. A view or a foreign key that needs such a table is refused. So is a rename that would silently
leave a table behind on the remote.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes import tape
from turso_sync_nb.changes.ddl import details_of, is_into_any
from turso_sync_nb.changes.definitions import object_type
from turso_sync_nb.changes.names import TAPE, TRANSACTIONS, folded
from turso_sync_nb.changes.soundness import use_of
from turso_sync_nb.changes.tape_format import Op
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from turso_sync_nb.changes.model import Definition, SchemaChange


def placed(
    raw: apsw.Connection, change: SchemaChange, ignored: Collection[str], say: Callable[[str], None]
) -> SchemaChange:
    """Return ``change``, which was made with tables ``ignored``, marked if it stays here; ``say`` tells so.

    Raises:
        UsageError: it can neither stay nor be pushed.
    """
    if not ignored or change.kind not in ("create", "add_column", "rename_table"):
        return change
    if change.kind == "rename_table":
        if folded(change.to) not in ignored or change.ignored:
            return change
        _check_renamed(raw, change)
        for one in change.was:
            tape.ignore(raw, one.name)  # rebuilt: what it was made of is not pushed either
        return change.changed(ignored=True)
    one = next(iter(change.now))
    is_reader = not change.ignored and not _needed(raw, one).isdisjoint(_tables(raw, ignored=True))
    if one.type == "trigger" and (is_reader or is_into_any(one, ignored)):
        does = "reads" if is_reader else "writes to"
        say(
            f"trigger {one.name} {does} a table that is never pushed: it stays here, and what it does to "
            "other tables is pushed as changes of their rows"
        )
    elif is_reader:
        view, table = "make it a TEMP view", "leave the foreign key out"
        raise UsageError(
            f"make {one.type} {one.name}: it needs a table that is never pushed, nobody else could use it",
            hint=f"{view if one.type == 'view' else table}, or take that table off tables_ignore",
        )
    return change.changed(ignored=change.ignored or is_reader)


def _check_renamed(raw: apsw.Connection, change: SchemaChange) -> None:
    """Refuse that a table gets the name of one that is never pushed, unless it and its indexes are new."""
    other = next((one for one in change.was if one.type not in ("table", "index")), None)
    what = f"{other.type} {other.name} needs it" if other else ""
    if folded(change.name) not in _tables(raw, ignored=False):
        what = f"the remote would keep {change.name}"
    if what:
        raise UsageError(
            f"rename {change.name}: tables of the name {change.to} are never pushed, and {what}",
            hint=f"create table {change.to}, copy the rows into it, and drop {change.name}",
        )


def _needed(raw: apsw.Connection, one: Definition) -> set[str]:
    """Return the folded names of the tables that a view or trigger reads, or a table refers to."""
    if one.type == "table":
        rows: list[Any] = raw.execute(
            "SELECT \"table\" FROM pragma_foreign_key_list(?, 'main')", (one.name,)
        ).fetchall()
        return {folded(name) for (name,) in rows}
    if one.type not in ("view", "trigger"):
        return set()
    from apsw.ext import query_info

    with suppress(apsw.SQLError):  # it lacks something: that is looked at elsewhere
        actions = query_info(raw, use_of(raw, one), actions=True).actions or ()
        return {folded(each.table_name) for each in actions if each.table_name}
    return set()


def _tables(raw: apsw.Connection, *, ignored: bool) -> set[str]:
    """Return the folded names of the tables here whose making is on the tape, to be pushed or to stay."""
    begun = f"SELECT txn FROM {TAPE} AS b WHERE op = {Op.BEGIN:d} AND b.id < t.id ORDER BY id DESC LIMIT 1"
    undone = f"SELECT number FROM {TRANSACTIONS} WHERE state IN ('aside', 'skipped')"
    query = (
        f"SELECT v0, v1, v2, packed FROM {TAPE} AS t "
        f"WHERE op = {Op.SCHEMA:d} AND v4 = ? AND ifnull(({begun}), 0) NOT IN ({undone}) ORDER BY id"
    )
    rows: list[Any] = raw.execute(query, (int(ignored),)).fetchall()
    found = set[str]()
    for sql, kind, name, packed in rows:
        if kind == "create" and object_type(sql) == "table":
            found.add(folded(name))
        elif kind == "rename_table" and folded(name) in found:
            found.remove(folded(name))
            found |= {folded(details_of(packed)["to"])} if ignored else set()
        elif kind == "rename_table" and ignored:
            found.add(folded(details_of(packed)["to"]))
        elif kind == "drop" and object_type(sql) == "table":
            found.discard(folded(name))
    return found

"""Describe a change to a reader in one line, for messages and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes.model import SchemaChange

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Change

SQL_LENGTH_MAX: Final = 80
"""Characters of a schema change's SQL that are shown: a line of a terminal."""


def describe(change: Change) -> str:
    """Return table, key and operation of a row's change, ``insert into t, id=5``; the SQL of a schema's."""
    if isinstance(change, SchemaChange):
        return change.sql if len(change.sql) <= SQL_LENGTH_MAX else f"{change.sql[: SQL_LENGTH_MAX - 1]}…"
    image = change.new if change.old is None else change.old
    key = ", ".join(f"{change.shape.columns[at]}={image[at]!r}" for at in change.shape.key if image)
    preposition = {"insert": "into", "update": "of", "delete": "from"}[change.op]
    return f"{change.op} {preposition} {change.shape.table}" + (f", {key}" if key else "")

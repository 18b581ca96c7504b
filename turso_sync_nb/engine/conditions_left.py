"""Conditions on what a push leaves on the remote: a pragma's value, and nothing of what it removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from turso_sync_nb.changes import to_sql
    from turso_sync_nb.changes.model import Definition

IN_SPACE: Final = "name = ? COLLATE NOCASE AND (type = 'trigger') = ?"
"""Of an object with a name; a trigger may have that of a table."""


def is_set(pragma: Definition) -> to_sql.Sql:
    """Return the condition that a pragma has just this value."""
    value = int(pragma.sql.rpartition("=")[2])
    return f"(SELECT {pragma.name} FROM pragma_{pragma.name}) = ?", (value,)


def not_kept(one: Definition, *, is_left: bool) -> to_sql.Sql:
    """Return the condition that nothing of ``one`` stays, or only what has its name now.

    ``tursodb`` looks for names in small letters: it leaves others in the schema, over pages that it frees.
    """
    condition = f"(SELECT count(*) FROM sqlite_schema WHERE {IN_SPACE}) = ?"
    arguments = (one.name, int(one.type == "trigger"), int(is_left))
    if is_left or one.type not in ("table", "view"):
        return condition, arguments
    nothing_on_it = "NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE)"
    return f"({condition} AND {nothing_on_it})", (*arguments, one.name)

"""Name our own tables, which no push sends and no user writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import apsw

PREFIX: Final = "turso_sync_nb_"
"""Begins the names of our own tables, triggers and functions."""

TAPE: Final = f"{PREFIX}changes"
SHAPES: Final = f"{PREFIX}shapes"
TRANSACTIONS: Final = f"{PREFIX}transactions"
CONFLICTS: Final = f"{PREFIX}conflicts"

_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

BOOKKEEPING: Final = "turso_sync_last_change_id"
"""The table on the remote that makes a push idempotent; every Turso client knows it."""


def is_internal(table: str) -> bool:
    """Return whether ``table`` is ours, SQLite's or the protocol's own."""
    name = table.lower()
    return name.startswith((PREFIX, "sqlite_")) or name == BOOKKEEPING


def is_reserved(name: str) -> bool:
    """Return whether ``name`` is one that only this package or the protocol gives, in any case of letters."""
    return name.lower().startswith(PREFIX) or name.lower() == BOOKKEEPING


def quoted(identifier: str) -> str:
    """Return ``identifier`` as SQL text that means exactly it."""
    return '"' + identifier.replace('"', '""') + '"'


def has_table(raw: apsw.Connection, table: str) -> bool:
    """Return whether main has ``table`` now; APSW's ``table_exists`` looks at a schema that may be old."""
    return bool(raw.execute("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = ?)", (table,)).get)


def folded(identifier: str) -> str:
    """Return ``identifier`` as SQLite compares it: no case in ASCII letters, and in no others."""
    return identifier.lower() if identifier.isascii() else identifier.translate(_LOWER)

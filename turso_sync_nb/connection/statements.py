"""Classify an SQL text as Python's sqlite3 does: by its first word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.sql_text import first_word, is_blank

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["concerns_rows", "first_word", "is_blank", "is_changing", "shortened", "split"]

SQL_SHOWN_MAX: Final = 120

CHANGING_THE_SCHEMA: Final = frozenset({"CREATE", "DROP", "ALTER", "ATTACH", "DETACH", "ROLLBACK"})
_CHANGING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_CONCERNING_ROWS: Final = _CHANGING | {"SELECT", "VALUES", "WITH"}


def is_changing(sql: str) -> bool:
    """Return whether ``sql`` begins with INSERT, UPDATE, DELETE or REPLACE, which open a transaction."""
    return first_word(sql) in _CHANGING


def concerns_rows(sql: str) -> bool:
    """Return whether ``sql`` queries or changes rows."""
    return first_word(sql) in _CONCERNING_ROWS


def split(sql: str) -> Iterator[str]:
    """Yield the statements of ``sql`` one by one, as SQLite's own tokenizer parts them."""
    start = end = 0
    while (end := sql.find(";", end) + 1) > 0:
        if apsw.complete(sql[start:end]):
            if not is_blank(sql[start:end]):
                yield sql[start:end]
            start = end
    if not is_blank(sql[start:]):
        yield sql[start:]


def shortened(sql: str) -> str:
    """Return ``sql`` in one line that fits a message."""
    line = " ".join(sql.split())
    return line if len(line) <= SQL_SHOWN_MAX else line[: SQL_SHOWN_MAX - 1] + "…"

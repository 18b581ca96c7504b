"""Classify an SQL text as Python's sqlite3 does: by its first word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.sql_text import first_word, is_blank

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["first_word", "is_blank", "shortened", "spans", "split"]

SQL_SHOWN_MAX: Final = 120
"""Characters of a statement that a message shows: a line of a terminal."""

CHANGING_THE_SCHEMA: Final = frozenset({"CREATE", "DROP", "ALTER", "ATTACH", "DETACH", "ROLLBACK"})
CHANGING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
"""First words of statements before which sqlite3 opens a transaction."""
CONCERNING_ROWS: Final = CHANGING | {"SELECT", "VALUES", "WITH"}
"""First words of statements that query or change rows."""


def split(sql: str) -> Iterator[str]:
    """Yield the statements of ``sql`` one by one, as SQLite's own tokenizer parts them."""
    return (sql[start:end] for start, end in spans(sql))


def spans(sql: str) -> Iterator[tuple[int, int]]:
    """Yield where each statement of ``sql`` starts and ends."""
    start = end = 0
    while (end := sql.find(";", end) + 1) > 0:
        if apsw.complete(sql[start:end]):
            if not is_blank(sql[start:end]):
                yield start, end
            start = end
    if not is_blank(sql[start:]):
        yield start, len(sql)


def shortened(sql: str) -> str:
    """Return ``sql`` in one line that fits a message."""
    line = " ".join(sql.split())
    return line if len(line) <= SQL_SHOWN_MAX else line[: SQL_SHOWN_MAX - 1] + "…"

"""A table of a million rows, in numbers and text, some of it often the same or NULL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 1_000_000
SCHEMA: Final = f"""
CREATE TABLE small (a, b); INSERT INTO small VALUES (1, 'x'), (2, 'y');
CREATE TABLE large (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d TEXT);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO large SELECT i, i * 7 % 1000, i / 3.0, 'text ' || i, CASE WHEN i % 3 THEN 'often' END FROM n;
"""


def million_rows(path: Path) -> Path:
    """Make the database; return its path."""
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(SCHEMA)
    return path

"""What kind of SQL text this is, as Python's sqlite3 decides it: by its first word."""

from __future__ import annotations

import re
from typing import Final

_SPACE_AND_COMMENTS: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|;)*", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]+")
_CHANGING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})


def first_word(sql: str) -> str:
    """Return the first word of ``sql`` in capitals, comments skipped; empty when there is none."""
    start = _SPACE_AND_COMMENTS.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    return word[0].upper() if word else ""


def is_changing(sql: str) -> bool:
    """Say whether ``sql`` begins with INSERT, UPDATE, DELETE or REPLACE, which open a transaction."""
    return first_word(sql) in _CHANGING


def may_hold_several(sql: str) -> bool:
    """Say whether more than one statement may be in ``sql``; false means surely not."""
    return ";" in sql.rstrip().rstrip(";")


def is_blank(text: str) -> bool:
    """Say whether ``text`` is only white space, comments and semicolons."""
    start = _SPACE_AND_COMMENTS.match(text)
    return start is not None and start.end() == len(text)

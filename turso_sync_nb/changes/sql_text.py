"""The first word of an SQL text as SQLite finds it: space, comments and byte-order marks are skipped."""

from __future__ import annotations

import re
from typing import Final

_SPACE_AND_COMMENTS: Final = re.compile(r"(?:[\s\ufeff]+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|;)*", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]+")


def first_word(sql: str) -> str:
    """Return the first word of ``sql`` in capitals, comments skipped; empty when there is none."""
    start = _SPACE_AND_COMMENTS.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    return word[0].upper() if word else ""


def without_lead(sql: str) -> str:
    """Return ``sql`` from its first word on."""
    start = _SPACE_AND_COMMENTS.match(sql)
    return sql[start.end() :] if start else sql


def is_blank(text: str) -> bool:
    """Say whether ``text`` is only white space, comments and semicolons."""
    start = _SPACE_AND_COMMENTS.match(text)
    return start is not None and start.end() == len(text)

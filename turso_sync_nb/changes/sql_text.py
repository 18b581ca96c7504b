"""Find the first word of an SQL text as SQLite does, after space, comments and byte-order marks."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_SPACE_AND_COMMENTS: Final = re.compile(r"(?:[\s\ufeff]+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|;)*", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]+")

_TEXTS_KEPT: Final = 1_000
"""Texts whose first word is remembered; a program repeats a few."""

_KEPT_CHARACTERS_MAX: Final = 10_000
"""Of a text whose first word is remembered: no more than some 10 MB are held that way."""


def first_word(sql: str) -> str:
    """Return the first word of ``sql`` in capitals, comments skipped; empty when there is none."""
    return _known_word(sql) if len(sql) <= _KEPT_CHARACTERS_MAX else _first_word(sql)


def _first_word(sql: str) -> str:
    start = _SPACE_AND_COMMENTS.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    return word[0].upper() if word else ""


_known_word: Final = lru_cache(_TEXTS_KEPT)(_first_word)


def without_lead(sql: str) -> str:
    """Return ``sql`` from its first word on."""
    start = _SPACE_AND_COMMENTS.match(sql)
    return sql[start.end() :] if start else sql


def is_blank(text: str) -> bool:
    """Return whether ``text`` is only white space, comments and semicolons."""
    start = _SPACE_AND_COMMENTS.match(text)
    return start is not None and start.end() == len(text)

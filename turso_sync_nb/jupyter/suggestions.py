"""Suggest the known word that a mistyped one is close to.

Rules of this file: it compares and phrases; it opens nothing and asks no network. Words that come
out are names the reader may see; a value that might be a secret never goes in.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_MAX: Final = 3
"""More alternatives than this are a list to search, not a hint."""

_CANDIDATES_MAX: Final = 5_000
"""Comparing costs about 10 µs a candidate; beyond this the hint would be felt as a delay."""

_LENGTH_MAX: Final = 200
"""The comparison is quadratic in the length; nobody mistypes one letter of a longer name."""


def close_words(word: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates close to ``word``, the closest first, at most three.

    Case is ignored, as SQLite ignores it in names. ``word`` itself is not a correction of itself.
    """
    spelled: dict[str, str] = {}
    for candidate in candidates:
        if len(spelled) >= _CANDIDATES_MAX:
            break
        if candidate != word and len(candidate) <= _LENGTH_MAX:
            spelled.setdefault(candidate.lower(), candidate)
    if len(word) > _LENGTH_MAX:
        return []
    found = difflib.get_close_matches(word.lower(), list(spelled), n=_SHOWN_MAX, cutoff=0.6)
    return [spelled[key] for key in found]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``"did you mean flights?"``, or an empty string when nothing is close."""
    found = close_words(word, candidates)
    return f"did you mean {' or '.join(found)}?" if found else ""

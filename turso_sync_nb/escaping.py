"""Make text from a database or a user safe to show.

Rules of this file: every value, table name and column name that reaches a screen goes through
``visible`` (no control characters, no reordering of text, bounded length) and, in HTML, through
``as_html`` as well. Nothing here knows what the text means.
"""

from __future__ import annotations

import html
import unicodedata
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are not shown as they are: controls, format (text direction), surrogates,
private use, unassigned, line and paragraph separators."""

_KEPT: Final = frozenset("\u200c\u200d\ufe0f")
"""Joiners without which emoji and several scripts fall apart; they move no other text."""

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, length_max: int) -> str:
    """Return ``text`` with every invisible character written out, cut to ``length_max`` characters.

    A cut text ends in ``…``. Only the part that can be shown is looked at, so the size of ``text``
    does not matter.
    """
    cut = text[: length_max + 1]
    shown = cut if cut.isascii() and cut.isprintable() else "".join(map(_character, cut))
    if len(text) <= length_max and len(shown) <= length_max:
        return shown
    return shown[: max(length_max - 1, 0)] + "…"


def as_html(text: str) -> str:
    """Return ``text`` for the inside of an element or of a quoted attribute."""
    return html.escape(text, quote=True)


def _character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character in _KEPT or unicodedata.category(character) not in _INVISIBLE:
        return character
    number = ord(character)
    if number <= 0xFF:  # noqa: PLR2004 - two hexadecimal digits
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - four digits

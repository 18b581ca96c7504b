"""The place of a syntax error in its cell: the line, a caret under the word, and what it may have meant."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.connection.statements import spans
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 100
"""Characters of a line that are shown, those around the error."""

_LETTERS_MIN: Final = 4
"""Letters of a keyword that is suggested: shorter ones are close to anything."""

_OF_SYNTAX: Final = ("syntax error", "incomplete input", "unrecognized token")
"""Errors that have a place; others name a table, a column or a value, and stay one line."""

_NEAR: Final = re.compile(r'near "(\w+)": syntax error')
_KEYWORDS: Final = tuple(sorted(word for word in apsw.keywords if len(word) >= _LETTERS_MIN))


def place_of(error: apsw.Error, sql: str) -> Sequence[str]:
    """Return the line of ``sql`` where the error is and a caret under it; nothing if SQLite did not say.

    The error knows the number of its statement, and its offset in bytes within that.
    """
    number, offset = error.__dict__.get("statement_number"), getattr(error, "error_offset", -1)
    if number is None or not any(kind in str(error) for kind in _OF_SYNTAX):
        return ()
    start, end = next(islice(spans(sql), number, None), (0, 0))
    statement = sql[start:end]
    if offset is None or offset < 0:
        if "incomplete input" not in str(error):
            return ()
        offset = len(statement.rstrip().encode())
    at = start + len(statement.encode()[:offset].decode(errors="ignore"))
    before, line_number = sql[:at], sql.count("\n", 0, at) + 1
    column = at - (before.rfind("\n") + 1)
    line = sql.split("\n")[line_number - 1].replace("\t", " ").rstrip()
    first = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in line[first : first + _WIDTH])
    margin = f"{line_number:>4} | "
    return visible(margin + shown, 2 * _WIDTH), f"{' ' * (len(margin) - 2)}| {' ' * (column - first)}^"


def keyword_meant(error: apsw.Error) -> str:
    """Return a hint for a syntax error next to a word that is close to one of SQL's."""
    found = _NEAR.search(str(error))
    return did_you_mean(found[1].upper(), _KEYWORDS) if found else ""

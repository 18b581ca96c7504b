"""Convert SQLite's values to JSON that JavaScript keeps exact, and back from a user's input.

``None`` for NULL, else the kind and the value as text: ``["i", "9223372036854775807"]``, ``["f", "0.5"]``,
``["t", "text"]``, ``["b", "hex"]``. A third part is the whole length of text or a blob that was cut: such a
cell is shown and not edited.
"""

from __future__ import annotations

import re
from typing import Any, Final

from turso_sync_nb.errors import UsageError

Wire = list[Any] | None

TEXT_MAX: Final = 2_000
"""Characters of a text that a view gets; longer ones are marked, and are not edited."""

BLOB_MAX: Final = 32
"""Bytes of a blob that a view gets."""

_INTEGER: Final = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_INT64: Final = range(-(2**63), 2**63)


def wire(value: Any) -> Wire:
    """Return ``value`` for a view."""
    if value is None:
        return None
    if isinstance(value, int):
        return ["i", str(value)]
    if isinstance(value, float):
        return ["f", repr(value)]
    if isinstance(value, bytes):
        return ["b", value[:BLOB_MAX].hex(), *([len(value)] if len(value) > BLOB_MAX else [])]
    text = value.encode("utf-8", "replace").decode()  # a lone surrogate travels in no message
    cut = len(text) > TEXT_MAX or text != value
    return ["t", text[:TEXT_MAX], *([len(text)] if cut else [])]


def typed(text: str | None, declared: str, was: Any = None) -> Any:
    """Return the value that ``text`` (``None``: NULL) means in a column, by SQLite's affinity rules.

    In a column without affinity a number stays one if there was one.

    Raises:
        UsageError: text in a column of numbers or over a blob, or an integer beyond 64 bits.
    """
    if text is None:
        return None
    if isinstance(was, bytes):
        raise UsageError("a blob: UPDATE writes it")
    declared = declared.upper()
    whole = "INT" in declared
    is_text = not whole and any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
    free = not declared or "BLOB" in declared
    if is_text or (free and not isinstance(was, int | float)):
        return text
    if _INTEGER.fullmatch(text):
        if int(text) not in _INT64:
            raise UsageError(f"{text.strip()[:40]} does not fit into 64 bits")
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if free:
        return text
    raise UsageError(f"the column is {declared}: a number, or NULL")

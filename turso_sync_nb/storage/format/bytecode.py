"""Read a statement's bytecode as EXPLAIN lists it (sqlite.org/opcode.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Program = Iterable[Any]
    """Rows of EXPLAIN."""

_OPENING: Final = frozenset({"OpenRead", "OpenWrite", "ReopenIdx"})
_OPCODE, _ROOT, _DATABASE = 1, 3, 4
"""Columns: the opcode's name, its second and its third operand."""


def roots_opened(program: Program) -> Iterator[int]:
    """Yield the root of each tree of the main database that is opened, by page id, as often as it is."""
    for row in program:
        if row[_OPCODE] in _OPENING and row[_DATABASE] == 0:
            yield int(row[_ROOT]) - 1


def has_any(program: Program, opcodes: frozenset[str]) -> bool:
    """Return whether one of ``opcodes`` is in it."""
    return any(row[_OPCODE] in opcodes for row in program)

"""Read a statement's bytecode as EXPLAIN lists it (sqlite.org/opcode.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Program = Iterable[Any]
    """Rows of EXPLAIN."""

_OPENING: Final = frozenset({"OpenRead", "OpenWrite", "ReopenIdx"})
_OPCODE, _CURSOR, _ROOT, _DATABASE = 1, 2, 3, 4
"""Columns: the opcode's name, its operands."""

STOPPING: Final = frozenset({"DecrJumpZero", "IfNotZero"})
"""Opcodes of a statement that stops, in whole or in part, at a number of rows."""

WRITING: Final = frozenset({"OpenWrite", "Program"})
"""Opcodes of a statement that writes."""

_SEEKING: Final = frozenset(
    {
        "Found", "IfNoHope", "Last", "NoConflict", "NotExists", "NotFound", "Rewind", "SeekGE", "SeekGT",
        "SeekLE", "SeekLT", "SeekRowid",
    }
)  # fmt: skip
"""Opcodes that go to a place in a tree, by a value or to an end."""


def roots_opened(program: Program) -> Iterator[int]:
    """Yield the root of each tree of the main database that is opened, by page id, as often as it is."""
    for row in program:
        if row[_OPCODE] in _OPENING and row[_DATABASE] == 0:
            yield int(row[_ROOT]) - 1


def has_any(program: Program, opcodes: frozenset[str]) -> bool:
    """Return whether one of ``opcodes`` is in it."""
    return any(row[_OPCODE] in opcodes for row in program)


def seeks_by_values_of(program: Program, root: int) -> bool:
    """Return whether it goes to a place in a tree of main after it read columns of the tree with ``root``.

    That place may depend on them. Code that a loop comes back to is not followed, as in a recursive query.
    """
    roots: dict[int, int] = {}
    has_values = False
    for row in program:
        opcode, cursor = row[_OPCODE], int(row[_CURSOR])
        if opcode in _OPENING:
            roots.pop(cursor, None)
            if row[_DATABASE] == 0:
                roots[cursor] = int(row[_ROOT]) - 1
        elif opcode == "Column":
            has_values |= roots.get(cursor) == root
        elif has_values and opcode in _SEEKING and cursor in roots:
            return True
    return False

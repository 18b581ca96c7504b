"""Cells of two tables that all replicas have, of every affinity: what was overwritten there was told.

Of table ``cells`` each replica has a column to itself, in rows that all share: different columns merge, so
each is as plain SQLite has it. The cells of ``register`` are overwritten by all. Each value written has a
number of its own, and what stood there before is noted: from the value that is there in the end a chain leads
back. A value beside that chain was overwritten by somebody who had not seen it: it, or what came of it, is in
a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from peer import Peer

    Run = Callable[[str], list[tuple[Any, ...]]]

AFFINITIES: Final = ("TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "", "TEXT COLLATE NOCASE", "INT")
KEYS: Final = ("1", "A", "b", "2.5")
ODD: Final = (
    *(None, 0, 1, -1, 1.0, 0.5, -0.0, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, float("inf")),
    *("", "a", "A", "b", "ä", "1", "1.0", " 1", "1e3", "0x10", "9223372036854775808", "x" * 3000),
    *(b"1", b"\0\x7f"),
)
"""Values that columns of one affinity or another store as something else."""

_OF_KEYS: Final = tuple(kind for kind in AFFINITIES if kind != "INTEGER")
"""An INTEGER PRIMARY KEY is the rowid, which is no text."""

_FIRST: Final = 9_000_000
_NUMBER: Final = re.compile(r"9\d{6}")
_COLUMNS: Final = ("t", "u", "v")


def schema(chance: Random, replicas: int) -> str:
    """Return what makes both tables; triggers count the updates of a column, by chance."""
    made = []
    for name, columns in (("cells", [f"c{who}" for who in range(replicas)]), ("register", list(_COLUMNS))):
        kinds = ", ".join(f"{column} {chance.choice(AFFINITIES)}" for column in columns)
        counts = "".join(f", n{column} DEFAULT 0" for column in columns) if name == "cells" else ""
        made.append(f"CREATE TABLE {name} (k {chance.choice(_OF_KEYS)} PRIMARY KEY, {kinds}{counts})")
        made += [f"INSERT INTO {name} (k) VALUES ('{key}')" for key in KEYS]
    if chance.randrange(2):
        made += [
            f"CREATE TRIGGER updated{who} AFTER UPDATE OF c{who} ON cells BEGIN "
            f"UPDATE cells SET nc{who} = nc{who} + 1 WHERE k = new.k; END"
            for who in range(replicas)
        ]
    return ";\n".join(made) + ";\n"


def cell_statement(chance: Random, who: int, values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return a statement on the column of ``cells`` that one replica has to itself."""
    column, value, key = f"c{who}", chance.choice(values), chance.choice(KEYS)
    match chance.randrange(6):
        case 0:
            return f"UPDATE cells SET {column} = ?", (value,)
        case 1:
            return f"UPDATE OR REPLACE cells SET {column} = ? WHERE k = ?", (value, key)
        case 2:
            return f"UPDATE cells SET {column} = {column} || '+' WHERE k <> ?", (key,)
        case 3:
            return f"UPDATE cells SET {column} = {column} WHERE k = ?", (key,)
        case _:
            return f"UPDATE cells SET {column} = ? WHERE k = ?", (value, key)


@dataclass
class Registers:
    """What was written to the cells of ``register``."""

    number: int = _FIRST
    before: dict[int, int] = field(default_factory=dict)
    """By the number of each value that was committed, the number of what stood there; 0 for nothing."""
    cells: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Key and column of each value."""

    def write(self, peer: Peer, chance: Random) -> None:
        """Overwrite a cell."""
        self.number += 1
        number, column, key = self.number, chance.choice(_COLUMNS), chance.choice(KEYS)
        value = chance.choice((number, number + 0.5, str(number), f"{number}.0", f"{number}e0",
                               f" {number} ", f"{number}x", b"%d" % number))  # fmt: skip
        set_one = f"register SET {column} = ? WHERE k = '{key}'"
        taken = f"ON CONFLICT (k) DO UPDATE SET {column} = excluded.{column}"
        sql = chance.choice((
            f"UPDATE {set_one}", f"UPDATE OR REPLACE {set_one}", f"UPDATE OR IGNORE {set_one}",
            f"INSERT INTO register (k, {column}) VALUES ('{key}', ?) {taken}",
        ))  # fmt: skip
        seen = _number_in(peer.run(f"SELECT {column} FROM register WHERE k = '{key}'"))
        peer.write(sql, (value,), lambda: self._note(number, seen, (key, column)))

    def _note(self, number: int, seen: int, cell: tuple[str, str]) -> None:
        self.before[number], self.cells[number] = seen, cell

    def wrong(self, run: Run, told: str) -> str:
        """Return what is wrong with the cells on the server, when nothing waits; empty when nothing is."""
        listed = {int(number) for number in _NUMBER.findall(told)}
        for column in _COLUMNS:
            for key in KEYS:
                there = _number_in(run(f"SELECT {column} FROM register WHERE k = '{key}'"))
                written = {number for number, cell in self.cells.items() if cell == (key, column)}
                if there and there not in written:
                    return f"register {key}, {column} is {there}, which nobody wrote"
                known = {number for end in (there, *(written & listed)) for number in self._seen_by(end)}
                if lost := sorted(written - known):
                    return f"register {key}, {column} is {there}; {lost} were overwritten unseen and untold"
        return ""

    def _seen_by(self, number: int) -> Iterator[int]:
        """Yield a value, and those that were overwritten in knowledge of them until it was written."""
        while number:
            yield number
            number = self.before.get(number, 0)


def _number_in(rows: list[tuple[Any, ...]]) -> int:
    found = _NUMBER.search(repr(rows))
    return int(found[0]) if found else 0

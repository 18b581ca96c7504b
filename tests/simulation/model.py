"""The oracle: plain SQLite beside each replica's own tables, and few rules for the tables in which all meet.

Own tables are touched by one replica alone, so whatever the others do and whatever fails, they are as plain
SQLite has them after the same statements: here at any moment, on the server after each push that succeeded.
Where replicas meet, a row is known by its *token*, which one statement wrote once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final

import apsw
from programs import UNCOMPARED, Names, log_schema

from turso_sync_nb.changes.definitions import tokens
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Run = Callable[[str], list[tuple[Any, ...]]]

_OFTEN: Final = (0.1, 1, 1, 5)
"""How often users do a thing: runs that differ find more than runs that are alike."""

COUNTED: Final = -1
"""Of table ``total``: the line of all replicas together."""


class Mirror:
    """Plain SQLite that gets the statements for the tables of one replica."""

    def __init__(self, who: int, shared: str) -> None:
        self._shared, self._cells = shared, f"SELECT k, c{who}, nc{who} FROM cells"
        self.names = Names(who)
        pattern = self.names.prefix.replace("_", "[_]") + "*"
        self._schema = (
            f"SELECT type, name, sql FROM sqlite_schema WHERE tbl_name GLOB '{pattern}' AND sql IS NOT NULL"
        )
        self.raw = apsw.Connection(":memory:")
        self.raw.execute(log_schema(self.names) + shared)

    def run(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        return list(self.raw.execute(sql, arguments))

    def objects(self) -> list[tuple[str, str]]:
        """Return the kinds and names of what stands on tables."""
        return [(kind, name) for kind, name, _ in sorted(self.run(self._schema)) if kind != "table"]

    def rollback(self) -> None:
        """End the transaction, if one is open, without keeping it."""
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def difference(self, run: Run) -> str:
        """Return how another place differs from this one; empty when it does not."""
        wanted, seen = (
            sorted((kind, name, _compared(sql)) for kind, name, sql in place(self._schema))
            for place in (self.run, run)
        )
        cells, there = (sorted(map(repr, place(self._cells))) for place in (self.run, run))
        if cells != there:
            return f"cells {only(there, cells)}, wrote {only(cells, there)}"
        if wanted != seen:
            return f"schema {only(seen, wanted)}, wrote {only(wanted, seen)}"
        for kind, name, _ in wanted:
            if kind != "table":
                continue
            columns = [column for (column,) in self.run(f"SELECT name FROM pragma_table_xinfo('{name}')")]
            named = ", ".join(f'"{column}"' for column in columns if column not in UNCOMPARED)
            query = f'SELECT {named} FROM "{name}"'
            want, have = (sorted(map(repr, place(query))) for place in (self.run, run))
            if want != have:
                return f"{name} {only(have, want)}, wrote {only(want, have)}"
        return ""

    def adopt(self, run: Run) -> None:
        """Take the state of another place."""
        schema = run(self._schema)
        self.raw = apsw.Connection(":memory:")
        self.raw.execute(self._shared + "DELETE FROM cells")
        self._copy(run, "cells")
        for wanted in ("table", "index", "view", "trigger"):
            for kind, name, sql in schema:
                if kind == wanted:
                    self.raw.execute(sql)
                    if kind == "table":
                        self._copy(run, name)
        if self.run("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"):
            self.raw.execute("DELETE FROM sqlite_sequence")
            for line in run("SELECT name, seq FROM sqlite_sequence"):
                self.run("INSERT INTO sqlite_sequence VALUES (?, ?)", line)

    def _copy(self, run: Run, table: str) -> None:
        listed = self.run(f"SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = 0")
        names = ", ".join(f'"{column}"' for (column,) in listed)
        for row in run(f'SELECT {names} FROM "{table}"'):
            self.run(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', row)


@dataclass
class Rows:
    """What one replica made of the rows that nobody else touches, in tables that all have."""

    own: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    bare: list[Any] = field(default_factory=list)
    total: int = 0

    def copy(self) -> Rows:
        """Return another one that is equal."""
        return Rows(dict(self.own), list(self.bare), self.total)

    def difference(self, who: int, run: Run) -> str:
        """Return how another place differs; empty when it does not."""
        wanted = {
            "own": sorted(repr((who, n, *row)) for n, row in self.own.items()),
            "bare": sorted(repr((who, v)) for v in self.bare),
            "total": [repr((who, self.total))],
        }
        for table, want in wanted.items():
            columns = "who, n, v, w" if table == "own" else "*"  # without the moment
            have = sorted(map(repr, run(f"SELECT {columns} FROM {table} WHERE who = {who}")))
            if want != have:
                return f"{table} {only(have, want)}, wrote {only(want, have)}"
        return ""


@dataclass
class Meeting:
    """What is known of rows that all replicas touch."""

    tokens: set[str] = field(default_factory=set)
    """Of rows whose insertion was committed."""
    deleted: set[str] = field(default_factory=set)
    """Of rows that a statement deleted, committed or not, or whose table it dropped."""
    auto: set[str] = field(default_factory=set)
    """Of rows whose key SQLite chose."""
    defined: set[str] = field(default_factory=set)
    """Of definitions: of tables, and of columns that were added."""
    removed: list[str] = field(default_factory=list)
    """Definitions that a statement removed, in part at least."""
    habits_of: Random = field(default_factory=Random)
    """Chance, for the things that the users of a run do often."""
    keys: dict[str, int] = field(default_factory=dict)
    """The key of a row of ``shared`` that was inserted under a key of the user's."""
    parents: dict[str, list[str]] = field(default_factory=dict)
    """The tokens of the parents that a row of ``child`` was written for, one after the other."""
    hits: int = 0
    """How often the counter was raised."""
    is_revised: bool = False
    """Whether a user gave a transaction up or took one up."""
    revised: set[str] = field(default_factory=set)
    """Of rows in such transactions, whose keys may have been used meanwhile."""
    restored: set[int] = field(default_factory=set)
    """Replicas that went on with a copy made earlier, in which keys were free that they had used since."""
    told: str = ""
    """Text of lists that are gone: of replicas that were restored."""

    def __post_init__(self) -> None:
        self._habits: dict[int, list[float]] = {}

    def habits(self, count: int) -> list[float]:
        """Return how often each of ``count`` things is done in this run."""
        if count not in self._habits:
            self._habits[count] = [self.habits_of.choice(_OFTEN) for _ in range(count)]
        return self._habits[count]

    def wrong(self, run: Run, told: str) -> str:
        """Return what is wrong with the server's rows, when nothing waits; empty when nothing is."""
        shared, parents = run("SELECT id, token FROM shared"), run("SELECT id, token FROM parent")
        children = run("SELECT token, parent FROM child")
        there = {token for _, token in shared + parents} | {token for token, _ in children}
        notes = sorted(token for (token,) in run("SELECT token FROM note"))
        if twice := [token for token, next_one in pairwise(notes) if token == next_one]:
            return f"the row {twice[0]} is there twice"
        there |= {token for (token,) in run("SELECT token FROM claim")} | self._fought(run) | set(notes)
        for token in sorted(self.tokens - self.deleted - there):
            if repr(token) not in told:
                return f"the row {token} vanished, and nothing lists it"
        if undefined := self._undefined(run, told):
            return f"the definition {undefined[0]} vanished, and nothing lists it"
        for key, token in shared:
            if token in self.keys and self.keys[token] != key:
                return f"the row {token} was written under key {self.keys[token]}, and has {key}"
        by_key = dict(parents)
        for token, key in children:
            meant, found = self.parents.get(token, [""]), by_key.get(key)
            if repr(token) in told and found in meant:
                continue  # it was moved, and that was given up
            if found is not None and found != meant[-1] and meant[-1] not in self.deleted:
                return f"the child {token} of {meant} points at {found}"
        return ""

    def check_conflict(self, who: int, conflict: dict[str, Any]) -> None:
        """See that a replica's rows that all stood in its own database are not in each other's way."""
        rows = [conflict["local"], conflict["remote"]]
        tokens = {str(row.get("token")) for row in rows if isinstance(row, dict)}
        own = {token for token in tokens - self.deleted - self.revised if token.startswith(f"{who}-")}
        is_overwritten = conflict["kind"] == "key taken" and "new key" not in str(conflict["settled_by"])
        if is_overwritten and len(tokens) > 1 and tokens <= self.auto - self.deleted:
            raise AssertionError(f"one of the rows {sorted(tokens)}, whose keys SQLite chose, is overwritten")
        if is_overwritten and len(own) > 1 and who not in self.restored:
            raise AssertionError(f"rows {sorted(own)} of replica {who} were given one key")

    def check_given_up(self, run: Run, changes: list[dict[str, Any]]) -> None:
        """See that the server has no row whose insertion is listed as given up."""
        tables = {name for (name,) in run("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for change in changes:
            token = change["new"].get("token") if isinstance(change["new"], dict) else None
            is_insert = change["operation"] == "insert" and token in self.tokens
            if change["state"] == "skipped" and is_insert and change["table"] in tables:
                there = run(f"SELECT count(*) FROM \"{change['table']}\" WHERE token = '{token}'")
                if there != [(0,)]:
                    raise AssertionError(f"the row {token} was given up, and is on the server")

    def _undefined(self, run: Run, told: str) -> list[str]:
        somewhere = repr((run("SELECT sql FROM sqlite_schema"), self.removed)) + told
        return sorted(token for token in self.defined if token not in somewhere)

    def _fought(self, run: Run) -> set[str]:
        tables = [name for (name,) in run("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        names = [name for name in tables if name.startswith("fought")]
        return {row[0] for name in names for row in run(f'SELECT token FROM "{name}"')}


@cache
def _compared(sql: str) -> str:
    """Return a definition in one spelling: servers have their own.

    SQLite's ALTER TABLE, of anybody's table, writes "k" as 'k' in each trigger in which it names no column.
    """
    words = " ".join(folded(token.text.strip("'")) for token in tokens(sql))
    return words.replace(" if not exists ", " ").removesuffix(" ;")


def only(some: Iterable[Any], others: Iterable[Any]) -> str:
    """Return what is among ``some`` and not among ``others``, as a message shows it."""
    left = list(others)
    found = []
    for one in some:
        if one in left:
            left.remove(one)
        else:
            found.append(one)
    return repr([str(one)[:200] for one in found])[:500]

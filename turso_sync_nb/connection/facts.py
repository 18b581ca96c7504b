"""Find facts about an SQL text under the schema in force, from SQLite's preparation of it.

The authorizer names what is written, and by which trigger.
Facts are kept for each text, and dropped with whatever they depend on: a change of the schema here or on
another connection of this process, TEMP objects, attached databases, and a rollback of any cause. They hold
all that running the text needs, so that nothing is found out twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.ddl import PRAGMAS
from turso_sync_nb.changes.definitions import conflict_algorithm, mentions
from turso_sync_nb.changes.names import folded, is_internal
from turso_sync_nb.changes.sql_text import first_word, is_blank, without_lead
from turso_sync_nb.changes.written import Written
from turso_sync_nb.connection.authorizer import WRITES
from turso_sync_nb.connection.statements import CHANGING, CONCERNING_ROWS
from turso_sync_nb.errors import ProgrammingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsw.ext import QueryDetails

    Columns = tuple[tuple[str, str | None], ...]
    Description = tuple[tuple[str, None, None, None, None, None, None], ...]

_IF_EXISTS: Final = re.compile(r"\w+\s+(\w+\s+){1,3}?IF\s+(NOT\s+)?EXISTS\b", re.IGNORECASE)

FACTS_MAX: Final = 1_000
"""Texts of which facts are kept."""

_ON: Final = frozenset({"1", "on", "true", "yes"})
"""Values by which a pragma is switched on."""

_PASSING_OVER: Final = frozenset({"ignore", "fail", "conflict"})
"""Words of which a statement has one if it may leave out rows that it was to insert."""

_INTO: Final = frozenset({"into"})
"""The word of a VACUUM that writes a new file and leaves this one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Written):
    """``writes`` are in main; ``writes_elsewhere``: the statement writes to TEMP or attached tables."""

    columns: Columns = ()
    """Each with its declared type, ``None`` for an expression; empty when it returns no rows."""
    description: Description | None = None
    """The columns as PEP 249 has them."""
    is_readonly: bool = True
    """Whether SQLite says that it writes to no database."""
    is_changing: bool = False
    """Whether it begins with INSERT, UPDATE, DELETE or REPLACE, before which sqlite3 opens a transaction."""
    concerns_rows: bool = False
    """Whether it queries or changes rows."""
    writes_elsewhere: bool = False
    reads: frozenset[str] = frozenset()
    """Tables and views of main that it reads, in lower case."""
    uses_elsewhere: frozenset[str] = frozenset()
    """Tables in TEMP or attached databases, and views, that it may use besides main's, in lower case."""
    is_transaction: bool = False
    """Whether it begins or ends a transaction: virtual tables may then write what they held back."""
    is_unlisted: bool = False
    """Whether SQLite says that it writes, and the authorizer was asked about no table for it."""
    may_recur: bool = False
    """Whether it fires triggers that write to TEMP or attached tables, or reads PRAGMA recursive_triggers."""
    recursive_triggers: bool | None = None
    """The setting of ``PRAGMA recursive_triggers`` that it makes, if it makes one."""
    has_more: bool = False
    """Whether the text holds a further statement."""

    @property
    def may_count(self) -> bool:
        """Return whether it may raise SQLite's count of changes though it writes nothing to main."""
        return self.writes_elsewhere or self.is_transaction

    def refuse_more(self) -> None:
        """Refuse a text of several statements.

        Raises:
            ProgrammingError: it is one.
        """
        if self.has_more:
            raise ProgrammingError("execute SQL: one statement at a time here; executescript runs several")


def _may_do_nothing(word: str, info: QueryDetails) -> bool:
    is_schema = word in ("CREATE", "DROP")
    return is_schema and bool(_IF_EXISTS.match(without_lead(info.first_query)))


class Noted:
    """A record of the authorizer's calls while one text is prepared."""

    def __init__(self) -> None:
        self._writes: set[tuple[str, str | None]] = set()
        self._set_columns: set[tuple[str, str, str | None]] = set()
        self._elsewhere = self._recurs = self._transaction = self._is_listed = False
        self._uses: set[str] = set()
        self._reads: set[str] = set()
        self._reads_main = False
        self._recursive: bool | None = None

    def begin(self) -> None:
        """Clear the record, before another text is prepared."""
        self._writes.clear()
        self._set_columns.clear()
        self._elsewhere = self._recurs = self._transaction = self._is_listed = False
        self._uses.clear()
        self._reads.clear()
        self._reads_main = False
        self._recursive = None

    def action(
        self, code: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> None:
        """Record one action that the authorizer is asked about."""
        if code == apsw.SQLITE_READ:
            self._uses.update(folded(name) for name in (database != "main" and first, trigger) if name)
            if database == "main" and first:
                self._reads.add(folded(first))
            self._reads_main |= database in ("main", None)  # of a table without a column it is not said
        elif code in WRITES:
            if database == "main" or first == "main":
                self._writes.add((first or "", trigger))
                if code == apsw.SQLITE_UPDATE and second:
                    self._set_columns.add((folded(first or ""), folded(second), trigger))
            else:
                self._is_listed = True
                self._uses.add(folded(first or ""))
                self._elsewhere |= not is_internal(first or "")
                self._recurs |= trigger is not None and not is_internal(trigger)
        elif code in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT):
            self._transaction = True
        elif code == apsw.SQLITE_PRAGMA:
            self._pragma((first or "").lower(), second)

    def _pragma(self, name: str, value: str | None) -> None:
        if name == "recursive_triggers":
            self._recurs = True
            self._recursive = None if value is None else value.lower() in _ON
        elif name in PRAGMAS and value is not None:
            self._writes.add((name, None))
        elif name == "optimize":  # it writes statistics, which are no change to push
            self._is_listed = True

    @property
    def _is_explained(self) -> bool:
        return bool(self._writes or self._transaction or self._is_listed)

    def _uses_elsewhere(self) -> frozenset[str]:
        if not self._reads_main and not self._writes:
            return frozenset()
        return frozenset(name for name in self._uses if not is_internal(name))

    def facts(self, word: str, info: QueryDetails) -> Facts:
        """Return the facts of a text that begins with ``word``; an explained statement writes nothing."""
        if info.is_explain:
            self.begin()
        columns = tuple(info.description)
        return Facts(
            word=word,
            writes=frozenset(self._writes),
            set_columns=frozenset(self._set_columns),
            conflict=conflict_algorithm(info.first_query) if self._writes else "",
            may_pass_over=bool(self._writes) and mentions(info.first_query, _PASSING_OVER),
            columns=columns,
            description=tuple((name, None, None, None, None, None, None) for name, _ in columns) or None,
            is_readonly=info.is_readonly,
            is_changing=word in CHANGING,
            concerns_rows=word in CONCERNING_ROWS,
            writes_elsewhere=self._elsewhere,
            may_recur=self._recurs,
            reads=frozenset(self._reads),
            uses_elsewhere=self._uses_elsewhere(),
            is_transaction=self._transaction,
            # IF EXISTS that leaves nothing to do is a write to SQLite, and the authorizer is asked nothing
            is_unlisted=not (
                info.is_readonly or info.is_explain or self._is_explained or _may_do_nothing(word, info)
            ),
            recursive_triggers=self._recursive,
            has_more=not is_blank(info.query_remaining or ""),
        )


class KnownFacts:
    """The facts of the texts that a connection ran lately."""

    def __init__(self) -> None:
        self.noted = Noted()
        self._facts: dict[str, Facts] = {}

    def __contains__(self, sql: str) -> bool:
        return sql in self._facts

    def clear(self) -> None:
        """Drop all of them."""
        self._facts.clear()

    def of(self, raw: apsw.Connection, sql: str, remove_triggers: Callable[[], object]) -> Facts:
        """Return what SQLite says of ``sql`` under the present schema; asked once for each text.

        ``remove_triggers`` is called when the text cannot be prepared: triggers of ours may be for a schema
        that was changed elsewhere.

        Raises:
            UsageError: it is a VACUUM of the replica.
            apsw.Error: SQLite cannot prepare it.
        """
        known = self._facts.get(sql)
        if known is None:
            word = first_word(sql)
            if word == "VACUUM" and not mentions(sql, _INTO):
                raise UsageError("run VACUUM: refused here", hint="export the replica with db.export(path)")
            if len(self._facts) >= FACTS_MAX:
                self.clear()
            known = self._facts[sql] = self._prepared(raw, sql, word, remove_triggers)
        return known

    def _prepared(
        self, raw: apsw.Connection, sql: str, word: str, remove_triggers: Callable[[], object]
    ) -> Facts:
        from apsw.ext import query_info

        self.noted.begin()
        try:
            info = query_info(raw, sql)
        except apsw.SQLError:
            remove_triggers()
            self.noted.begin()
            info = query_info(raw, sql)
        return self.noted.facts(word, info)

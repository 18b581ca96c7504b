"""Refuse SQL from clients that reaches other files, loads code, or changes how the server runs.

SQLite's authorizer is asked while a statement is compiled, also for what its views, triggers, table
functions and VACUUM do inside. Allowed pragmas are listed; anything unlisted is refused.

Rules of this file: a connection that passed ``guard`` is one client's and is closed with its stream, so
nothing that a client sets on it, or any TEMP object, reaches another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from turso_sync_nb.server.limits import Limits

_READ_OR_WRITE: Final = frozenset(
    {
        # of this connection only, which ends with its stream
        "case_sensitive_like", "defer_foreign_keys", "foreign_keys", "ignore_check_constraints",
        "read_uncommitted", "recursive_triggers", "reverse_unordered_selects",
        # numbers inside the database that SQLite gives to applications
        "application_id", "user_version",
        # work inside the database
        "incremental_vacuum", "optimize",
    }
)  # fmt: skip
_READ_WITH_ARGUMENT: Final = frozenset(
    {
        "foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo",
        "integrity_check", "quick_check", "table_info", "table_list", "table_xinfo",
    }
)  # fmt: skip
_READ_ONLY: Final = frozenset(
    {
        "auto_vacuum", "busy_timeout", "cache_size", "collation_list", "compile_options", "data_version",
        "encoding", "freelist_count", "function_list", "journal_mode", "journal_size_limit",
        "locking_mode", "max_page_count", "mmap_size", "module_list", "page_count", "page_size",
        "pragma_list", "query_only", "schema_version", "secure_delete", "synchronous", "temp_store",
        "trusted_schema", "wal_autocheckpoint", "writable_schema",
    }
)  # fmt: skip
_LISTS_FILES: Final = "database_list"
"""Answered without the file's path: SQLAlchemy asks it for the names of schemas."""
_CARRIED: Final = frozenset(
    {
        "foreign_keys", "ignore_check_constraints", "read_uncommitted", "recursive_triggers",
        "reverse_unordered_selects",
    }
)  # fmt: skip
"""Settings of a connection that another one can be given."""
_KEPT: Final = frozenset({"case_sensitive_like"})
"""Settings that cannot be read back, so that a connection that has one must stay."""
_MAKES_TEMP: Final = frozenset(
    {
        apsw.SQLITE_CREATE_TEMP_INDEX, apsw.SQLITE_CREATE_TEMP_TABLE, apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
    }
)  # fmt: skip
_CHANGES_ROWS: Final = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_READS: Final = frozenset({apsw.SQLITE_READ, apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE})
_MODULES: Final = frozenset({"fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "geopoly", "rtree", "rtree_i32"})
_FUNCTIONS: Final = frozenset(
    {"edit", "fts3_tokenizer", "load_extension", "readfile", "sqlite_log", "writefile"}
)

_SWITCHES: Final = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, 0),
)


class Actions:
    """The actions SQLite asked for while it compiled one statement."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._changed: set[str | None] = set()
        self.begins = False
        """Whether it begins a transaction."""
        self.lists_files = False
        """Whether its rows have the path of the database in their last column."""

    def add(self, action: int, first: str | None, database: str | None, trigger: str | None) -> None:
        """Record one of the authorizer's calls."""
        if action not in _READS:
            self._changed.add(database)
        if trigger is None:
            self._seen.add(action)
            self.begins |= action == apsw.SQLITE_TRANSACTION and first == "BEGIN"

    @property
    def is_temporary(self) -> bool:
        """Whether all that it changes is TEMP."""
        return self._changed == {"temp"}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for, as for a VACUUM, which asks when it runs."""
        return not self._seen

    @property
    def changes_rows(self) -> bool:
        """Whether it is an INSERT, UPDATE or DELETE, and no change of the schema that does these inside."""
        return bool(self._seen & _CHANGES_ROWS) and self._seen <= _CHANGES_ROWS | _READS


class Guard:
    """The authorizer of one connection; it remembers why it last refused.

    Attributes:
        refusal: What was refused last, for the message to the client.
        vacuuming: Set it when a VACUUM statement begins to run: that attaches a nameless database, once.
        actions: What the statement being compiled asked for.
        settings: Names of pragmas whose values another connection can be given.
        has_begun: Set it when a statement begins to run: what is compiled from then on is inside of it.
        must_stay: Whether the connection has what another one cannot be given, such as a TEMP table.
    """

    def __init__(self) -> None:
        self.refusal = ""
        self.vacuuming = False
        self.has_begun = False
        self.actions = Actions()
        self.settings: set[str] = set()
        self.must_stay = False

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        """Answer SQLite's question whether a statement may do this."""
        refusal = self._refusal(action, first, second)
        if refusal:
            self.refusal = refusal
            return apsw.SQLITE_DENY
        self.actions.add(action, first, database, trigger)
        if action in _MAKES_TEMP:
            self.must_stay = True
        elif action == apsw.SQLITE_PRAGMA and second is not None:
            name = (first or "").lower()
            self.must_stay |= name in _KEPT
            if name in _CARRIED:
                self.settings.add(name)
        return apsw.SQLITE_OK

    def take_actions(self) -> Actions:
        """Return the recorded actions of the compiled statement, and clear them for the next one."""
        taken, self.actions = self.actions, Actions()
        return taken

    def _refusal(self, action: int, first: str | None, second: str | None) -> str:
        if action == apsw.SQLITE_ATTACH:
            nameless, self.vacuuming = self.vacuuming and first == "", False
            return "" if nameless else "open another file: ATTACH and VACUUM INTO are not allowed here"
        if action == apsw.SQLITE_DETACH:
            return "detach a database: not allowed here"
        if action == apsw.SQLITE_PRAGMA:
            return self._refusal_of_pragma((first or "").lower(), second)
        if action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            return f"call {second}(): not allowed here"
        if action == apsw.SQLITE_CREATE_VTABLE and (second or "").lower() not in _MODULES:
            return f"create a virtual table with {second}: not allowed here"
        return ""

    def _refusal_of_pragma(self, name: str, argument: str | None) -> str:
        if name == _LISTS_FILES and argument is None and not self.has_begun:
            self.actions.lists_files = True
            return ""
        return _pragma_refusal(name, argument)


def guard(connection: apsw.Connection, limits: Limits) -> Guard:
    """Confine ``connection`` to its own database and to ``limits``; return its authorizer."""
    for switch, value in _SWITCHES:
        connection.config(switch, value)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, limits.value_bytes)
    connection.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, limits.pipeline_request_bytes)
    connection.limit(apsw.SQLITE_LIMIT_WORKER_THREADS, 0)
    authorizer = Guard()
    connection.authorizer = authorizer
    return authorizer


def _pragma_refusal(name: str, argument: str | None) -> str:
    if name in _READ_OR_WRITE or name in _READ_WITH_ARGUMENT:
        return ""
    if name in _READ_ONLY:
        return "" if argument is None else f"set PRAGMA {name}: it can only be read here"
    return f"use PRAGMA {name}: not allowed here"

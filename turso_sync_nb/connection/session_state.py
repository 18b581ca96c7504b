"""Copy connection-local state (pragmas, TEMP objects, attachments) to the connection that replaces it.

TEMP objects move by SQLite's backup, in-memory attachments likewise, pragmas by value, ATTACH by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from turso_sync_nb.changes.names import quoted

_PRAGMAS: Final = (
    "temp_store",  # first: setting it later would drop the TEMP objects
    "analysis_limit", "automatic_index", "busy_timeout", "cache_size", "cache_spill", "cell_size_check",
    "count_changes", "defer_foreign_keys", "foreign_keys", "full_column_names", "ignore_check_constraints",
    "legacy_alter_table", "mmap_size", "query_only", "read_uncommitted", "recursive_triggers",
    "reverse_unordered_selects", "short_column_names", "synchronous", "threads", "trusted_schema",
)  # fmt: skip

PAGES_PER_STEP: Final = 10_000
"""Pages (40 MiB) copied between two chances for Ctrl-C."""


class SessionState:
    """State of one connection, to be put onto another. With ``in_memory_copy`` the first may be closed."""

    def __init__(self, old: apsw.Connection, *, in_memory_copy: bool) -> None:
        self._pragmas = {name: old.pragma(name) for name in _PRAGMAS}
        # this pragma has no getter
        self._case_sensitive_like = old.execute("SELECT 'a' LIKE 'A'").get == 0
        self._last_insert_rowid = old.last_insert_rowid()
        listed = old.execute("PRAGMA database_list").fetchall()
        self._attached = [
            (str(schema), str(file)) for _, schema, file in listed if schema not in ("main", "temp")
        ]
        self._has_temp = bool(old.execute("SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema)").get)
        self._source = self._copy_in_memory(old) if in_memory_copy else old

    def _copy_in_memory(self, old: apsw.Connection) -> apsw.Connection | None:
        """Return a connection with copies of in-memory databases and TEMP objects, or None without any."""
        in_memory = [schema for schema, file in self._attached if not file]
        if not in_memory and not self._has_temp:
            return None
        place = apsw.Connection(":memory:")
        for schema in in_memory:
            place.execute(f"ATTACH ':memory:' AS {quoted(schema)}")
            _copy(old, place, schema)
        if self._has_temp:
            _copy(old, place, "temp")
        return place

    def put_onto(self, new: apsw.Connection) -> list[str]:
        """Apply the state to ``new``; functions and handlers are not part of it.

        Returns what could not be attached again, each with its reason; no file is made for it.
        """
        lost = []
        for name, value in self._pragmas.items():
            if value != new.pragma(name):
                new.pragma(name, value)
        if self._case_sensitive_like:
            new.pragma("case_sensitive_like", True)
        for schema, file in self._attached:
            if reason := _not_attached(new, schema, file):
                lost.append(reason)
            elif not file and self._source:
                _copy(self._source, new, schema)
        if self._has_temp and self._source:
            _copy(self._source, new, "temp")
        new.set_last_insert_rowid(self._last_insert_rowid)
        return lost


def _not_attached(new: apsw.Connection, schema: str, file: str) -> str:
    """Attach a database; return the reason if that failed, else an empty text."""
    if file and not Path(file).exists():
        return f"{schema}: its file {file} is gone"
    try:
        new.execute("ATTACH ? AS " + quoted(schema), (file or ":memory:",))
    except apsw.Error as error:
        return f"{schema}: {file}: {error}"
    return ""


def _copy(old: apsw.Connection, new: apsw.Connection, schema: str) -> None:
    with new.backup(schema, old, schema) as backup:
        while not backup.done:
            backup.step(PAGES_PER_STEP)

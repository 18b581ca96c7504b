"""Authorize SQL: note actions that write, refuse some pragmas and files of replicas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.files.folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Collection

    from turso_sync_nb.connection.facts import Facts
    from turso_sync_nb.engine.replica import Replica

WRITES: Final = frozenset({
    apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE, apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_ANALYZE,
    apsw.SQLITE_REINDEX,
}) | {
    code for name, code in vars(apsw).items()
    if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_")) and "TEMP" not in name
}  # fmt: skip

REFUSED_PRAGMAS: Final = {
    "wal_checkpoint": "db.checkpoint() does it, keeping what a pull needs",
    "wal_autocheckpoint": "db.checkpoint() moves the log in when you want it",
    "writable_schema": "changes made that way could not be pushed",
    "auto_vacuum": "the remote decides how the file is laid out",
    "page_size": "the remote decides how the file is laid out",
    "encoding": "the remote decides it",
    "schema_version": "SQLite keeps it",
    "incremental_vacuum": "the remote decides how the file is laid out",
    "journal_mode": "a replica lives on its write-ahead log",
    "locking_mode": "a replica's files are shared by the connections of this process",
}

ACTING_PRAGMAS: Final = frozenset({"wal_checkpoint", "incremental_vacuum"})
"""Of these, the ones that act without a value too; without one the others tell a setting."""


def refuse_inner_file(file: str, verb: str = "attach") -> None:
    """Refuse the database file of a replica: its absent pages would be read as zeros."""
    if file and ReplicaFolder.is_replica(Path(file).parent):
        raise UsageError(
            f"{verb} {Path(file).name}: it is the inner file of a replica",
            hint="export the replica with db.export(path) and use that file",
        )


def detach_inner_files(raw: apsw.Connection) -> None:
    """Undo an ATTACH whose file name was a parameter, which the authorizer does not see."""
    for _, schema, file in raw.execute("PRAGMA database_list").fetchall():
        if schema != "main":
            try:
                refuse_inner_file(str(file))
            except UsageError:
                raw.execute("DETACH " + quoted(str(schema)))
                raise


def check_schema(
    replica: Replica, raw: apsw.Connection, sql: str, facts: Facts, ignored: Collection[str]
) -> None:
    """Refuse what the remote could not hold; ``ignored`` tables are never pushed."""
    if facts.word not in ("CREATE", "UPDATE", "DELETE") or _names_any(sql, ignored):
        return
    if facts.word == "CREATE":
        replica.support.check_schema(sql)
        return
    for table, trigger in facts.writes:
        if trigger is None:
            replica.support.check_changed(raw, facts.word, table)


def _names_any(sql: str, tables: Collection[str]) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE) for name in tables)

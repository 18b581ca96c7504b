"""Refuse a state of the remote that SQLite cannot read, naming the object that is the reason.

Turso has kinds of objects that SQLite has not (materialized views, types, indexes of its own). SQLite parses
the whole schema before its first statement, so one of them makes every table unreadable.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.errors import ReplicaError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED: Final = re.compile(r"malformed database schema \((?P<name>.*?)\)(?: - (?P<why>.*))?$", re.DOTALL)

SCHEMA_COOKIE: Final = slice(40, 44)
"""Bytes of page 0 that change with the schema (file format, section 1.3.10)."""


class UnreadableStateError(ReplicaError):
    """The remote's schema has an object that SQLite cannot read."""


@contextmanager
def named_if_unreadable(doing: str) -> Iterator[None]:
    """Name the object because of which SQLite cannot parse a schema in the block.

    Raises:
        UnreadableStateError: it could not.
    """
    try:
        yield
    except apsw.CorruptError as error:
        raise _unreadable(error, doing) from error


def parse(raw: apsw.Connection) -> None:
    """Have SQLite parse the schema that ``raw`` sees, unless it did."""
    raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()


def _unreadable(error: apsw.Error, doing: str) -> UnreadableStateError:
    """Return the error of ours for what SQLite said about a schema."""
    found = _NAMED.search(str(error))
    if found is None:
        return UnreadableStateError(
            f"{doing}: SQLite cannot read the remote's schema: {error}",
            hint="the remote's database is damaged; nothing was changed here",
        )
    why = f" ({found['why']})" if found["why"] else ""
    return UnreadableStateError(
        f"{doing}: the remote has {found['name']}, which SQLite cannot read{why}",
        hint=f"only Turso knows objects of its kind: drop {found['name']} on the remote, then {doing} again; "
        "nothing was changed here",
    )

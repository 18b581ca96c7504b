"""Write transactions as an SQL script: the statements of a push, with their values in the text.

Like a push, it leaves out what triggers did: they fire again where the script is run.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.model import SchemaChange, is_ignored
from turso_sync_nb.units import known_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.changes.model import Change, SqlValue, Transaction

_NAME_OR_PLACE: Final = re.compile(r'"(?:[^"]|"")*"|\?')
_DONE: Final = ("pending", "refused")


def script(transactions: Iterable[Transaction], pushed: int = 0) -> Iterator[str]:
    """Yield the lines that do ``transactions``, the first ``pushed`` of which are on the remote.

    Those that are not in force here (skipped, set aside) are named and left out, as are tables that are
    never pushed.
    """
    for at, one in enumerate(transactions):
        moment = dt.datetime.fromtimestamp(known_time(one.unix_time), tz=dt.UTC)
        state = "pushed" if at < pushed else one.state
        title = f"-- transaction {one.number}, {moment:%Y-%m-%d %H:%M:%S} UTC, {state}"
        statements = [sql for change in one.changes if not is_ignored(change) and (sql := statement(change))]
        if state not in (*_DONE, "pushed"):
            yield f"{title}: left out"
        elif statements:
            yield from (title, "BEGIN;", *statements, "COMMIT;")


def statement(change: Change) -> str | None:
    """Return the change as one statement; ``None`` when it changes nothing."""
    if isinstance(change, SchemaChange):
        return _ended(change.sql)
    if change.outcome != "changed":
        return _written_out(to_sql.attempt(change))
    if change.old is None:
        return _written_out(to_sql.insert(change.shape, [change.new or ()]))
    if change.new is None:
        return _written_out(to_sql.delete(change.shape, change.old, guarded=False))
    update = to_sql.update(change.shape, change.old, change.new, guarded=False)
    return update and _written_out(update)


def _ended(sql: str) -> str:
    """Return ``sql`` with a semicolon that is not in a comment at its end."""
    text = sql.rstrip().removesuffix(";")
    ends = (";", "\n;", " */;")  # the last one for a block comment that is left open
    return next((text + end for end in ends if apsw.complete(text + end)), f"{text}\n;")


def _written_out(sql: to_sql.Sql) -> str:
    text, arguments = sql
    values = iter(arguments)
    return (
        _NAME_OR_PLACE.sub(lambda found: found[0] if found[0] != "?" else _literal(next(values)), text) + ";"
    )


def _literal(value: SqlValue) -> str:
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        return "(-1 * 0.0)"  # SQLite reads -0.0 as 0.0
    plain: Any = value
    return apsw.format_sql_value(plain)

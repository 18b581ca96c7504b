"""Ask a user's transform what to push in place of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine.user_policy import is_storable, name_of
from turso_sync_nb.errors import Error, UsageError
from turso_sync_nb.options import SKIP, Rewrite

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import RowChange
    from turso_sync_nb.options import Skip, Transform

_HINT: Final = "nothing of it was sent or pulled, and every change is kept: mend the function"


def verdict_of(transform: Transform, change: RowChange) -> Rewrite | Skip | None:
    """Return what ``transform`` says about ``change``.

    Raises:
        UsageError: it raised, or what it returned is no verdict, or cannot be sent.
        Error: what a verb of ours raised that it called.
    """
    where = f"transform {change.op} of {change.shape.table} by {name_of(transform)}()"
    try:
        verdict = transform(change)
    except Error:
        raise
    except Exception as error:
        raise UsageError(f"{where}: it raised {type(error).__name__}: {error}", hint=_HINT) from error
    if verdict is None or verdict is SKIP:
        return verdict
    if not isinstance(verdict, Rewrite):
        raise UsageError(
            f"{where}: it returned {type(verdict).__name__}, wanted Rewrite(sql, parameters), SKIP or None",
            hint=_HINT,
        )
    if not isinstance(verdict.sql, str) or not is_storable(verdict.sql):
        raise UsageError(f"{where}: its Rewrite has no SQL text", hint=_HINT)
    if not isinstance(verdict.parameters, tuple | list):
        kind = type(verdict.parameters).__name__
        raise UsageError(f"{where}: the parameters of its Rewrite are {kind}, wanted a tuple", hint=_HINT)
    for number, value in enumerate(verdict.parameters, 1):
        if not is_storable(value):
            raise UsageError(
                f"{where}: it returned {type(value).__name__} {value!r:.60} for parameter {number}, "
                "which SQLite cannot hold",
                hint=f"give None, an int of 64 bits, float, str or bytes; {_HINT}",
            )
    return Rewrite(verdict.sql, tuple(verdict.parameters))

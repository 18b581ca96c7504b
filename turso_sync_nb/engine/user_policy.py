"""Ask a user's policy function how to settle a conflict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from turso_sync_nb.changes.model import RawText
from turso_sync_nb.errors import Error, UsageError

if TYPE_CHECKING:
    from turso_sync_nb.changes.conflicts import Row, Settle
    from turso_sync_nb.changes.model import Image, TableSchema

_INTEGERS: Final = range(-(2**63), 2**63)
_HINT: Final = (
    "nothing was pulled and every change is kept: mend the function, or set another conflict_policy"
)


@runtime_checkable
class Deciding(Protocol):
    """A policy that has decided row by row."""

    def decided(self, *sides: Row | None) -> str:
        """Return the name of the policy for a conflict of base, local and remote."""
        ...


def name_of(function: object, *sides: Row | None) -> str:
    """Return the name of a user's function, or of our own the decision about these ``sides``."""
    if sides and isinstance(function, Deciding):
        return function.decided(*sides)
    return getattr(function, "__name__", "a function")


def settled_by(
    policy: Settle, shape: TableSchema, base: Row | None, local: Row | None, remote: Row | None
) -> Image | None:
    """Return the row that ``policy`` chose; ``None``: there is to be none.

    Raises:
        UsageError: it raised, or what it returned is no row of the table.
        Error: what a verb of ours raised that it called.
    """
    where = f"settle a conflict in {shape.table} by {name_of(policy)}()"
    try:
        chosen = policy(base, local, remote)
    except Error:
        raise
    except Exception as error:
        raise UsageError(f"{where}: it raised {type(error).__name__}: {error}", hint=_HINT) from error
    if chosen is None:
        return None
    if not isinstance(chosen, dict) or set(chosen) != set(shape.columns):
        raise UsageError(
            f"{where}: the policy returned {type(chosen).__name__}, wanted a dict of "
            f"{', '.join(shape.columns)}, or None for no row",
            hint="return one of the rows it was given, or a changed copy",
        )
    for column, value in chosen.items():
        if not is_storable(value):
            raise UsageError(
                f"{where}: it returned {type(value).__name__} {value!r:.60} for column {column}, "
                "which SQLite cannot hold",
                hint=f"return None, an int of 64 bits, float, str or bytes; {_HINT}",
            )
    return tuple(None if _is_nan(chosen[name]) else chosen[name] for name in shape.columns)


def _is_nan(value: Any) -> bool:
    """Return whether SQLite would store ``value`` as NULL, though it is none."""
    return isinstance(value, float) and math.isnan(value)


def is_storable(value: Any) -> bool:
    """Return whether SQLite and the protocol can hold ``value``."""
    if type(value) is str:
        return not any(0xD800 <= ord(letter) < 0xE000 for letter in value)  # noqa: PLR2004 - surrogates
    if type(value) in (int, bool):
        return value in _INTEGERS
    return value is None or type(value) in (float, bytes, RawText)

"""Keep functions that a user makes under the names of SQLite's own out of this package's queries.

Capture, and verbs such as ``write_frame``, run SQL on the user's connection: it has the open transaction. A
function that takes the place of ``ifnull`` there answers statements of the user; while a query of ours runs,
SQLite's own answers. It does so too for what ours fires, as on the remote: triggers, checks, indexes. Where
that cannot be told apart (an aggregate that our triggers count with) the name is refused.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from turso_sync_nb.connection.sql import SqlConnection

NAMES_USED: Final = frozenset({
    "abs", "atan2", "avg", "char", "coalesce", "count", "glob", "group_concat", "hex", "ifnull", "instr",
    "json_each", "length", "like", "lower", "max", "min", "nullif", "quote", "replace", "rtrim", "substr",
    "sum", "total", "typeof", "unicode", "upper",
})  # fmt: skip
"""SQLite's functions that queries of this package call."""

_COLLATIONS: Final = frozenset({"binary", "nocase", "rtrim"})
"""SQLite's own; the order of an index, which comes from the remote, is theirs."""

_LISTED: Final = "SELECT type, narg, flags FROM pragma_function_list WHERE builtin AND name = ?"

_DETERMINISTIC: Final = 0x800
"""SQLite's flag SQLITE_DETERMINISTIC."""


class Flags(NamedTuple):
    """The flags of a function."""

    deterministic: bool
    innocuous: bool


class _Own(NamedTuple):
    """A function of SQLite's own."""

    is_scalar: bool
    is_deterministic: bool


def as_verb(db: SqlConnection) -> AbstractContextManager[None]:
    """Have SQLite's own functions answer in the block: its statements are this package's."""
    return db._session.as_verb()  # noqa: SLF001 - the connection keeps it for verbs alone


def refuse_collation(name: str) -> None:
    """Refuse another collation in the place of one of SQLite's own.

    Raises:
        UsageError: it is one; the remote's indexes are sorted by it, and would be read in the wrong order.
    """
    if folded(name) in _COLLATIONS:
        raise UsageError(
            f"make collation {name}: refused, SQLite has its own, by which the remote sorts its indexes",
            hint="give it another name, and write COLLATE with that name where it is to be used",
        )


def make_function(
    name: str, arguments: int, func: Callable[..., Any] | None, flags: Flags, is_ours: Callable[[], bool]
) -> Callable[[apsw.Connection], None]:
    """Return what makes a user's function on a connection: while ``is_ours()``, SQLite's own answers.

    Without ``func`` SQLite's own answers again, which SQLite itself does not bring back.

    Raises:
        UsageError: SQLite's own is an aggregate that queries of this package call.
    """
    hidden = _hidden(name, arguments)
    if any(not one.is_scalar for one in hidden) and func is not None:
        _refuse_if_used(name)
    function = func
    if any(one.is_scalar for one in hidden):
        own = apsw.Connection(":memory:")

        def function(*values: Any) -> Any:
            if func is not None and not is_ours():
                return func(*values)
            return own.execute(f"SELECT {quoted(name)}({','.join('?' * len(values))})", values).get

        if func is None:
            flags = Flags(deterministic=all(one.is_deterministic for one in hidden), innocuous=True)

    def make(raw: apsw.Connection) -> None:
        bits = apsw.SQLITE_INNOCUOUS if flags.innocuous else 0
        raw.create_scalar_function(name, function, arguments, deterministic=flags.deterministic, flags=bits)

    return make


def refuse_aggregate(name: str, arguments: int) -> None:
    """Refuse an aggregate or window function in the place of a function that queries of ours call.

    Raises:
        UsageError: it is one.
    """
    if _hidden(name, arguments):
        _refuse_if_used(name)


def _hidden(name: str, arguments: int) -> list[_Own]:
    """Return the functions of SQLite whose calls another would take."""
    with closing(apsw.Connection(":memory:")) as raw:
        listed: list[Any] = raw.execute(_LISTED, (folded(name),)).fetchall()
    all_of_name = [(count, _Own(kind == "s", bool(bits & _DETERMINISTIC))) for kind, count, bits in listed]
    exact = [own for count, own in all_of_name if count == arguments]
    return exact or [own for count, own in all_of_name if arguments < 0 or count < 0]


def _refuse_if_used(name: str) -> None:
    if folded(name) in NAMES_USED:
        raise UsageError(
            f"make function {name}: refused, it would take the place of SQLite's own, with which this "
            "package counts what statements change",
            hint=f"give it another name, such as my_{folded(name)}",
        )

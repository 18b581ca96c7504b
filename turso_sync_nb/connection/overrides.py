"""Keep functions that a user makes under the names of SQLite's own out of this package's queries.

Capture, and verbs such as ``write_frame``, run SQL on the user's connection: it has the open transaction. A
function that takes the place of ``ifnull`` there answers statements of the user; while a query of ours runs,
SQLite's own answers. It does so too for what ours fires, as on the remote: triggers, checks, indexes. Where
that cannot be told apart (an aggregate that our triggers count with) the name is refused. A statement of the
user on a table whose definitions call the function is refused, too: an index would be read as if it held
the user's values, and triggers would do other things than on the remote. To SQLite such a function is
innocuous, and deterministic if its own is: it could not even read a schema otherwise that calls it.
"""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from turso_sync_nb.changes.definitions import mentions, object_type, tokens
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.connection.statements import shortened
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from turso_sync_nb.connection.facts import Facts
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

_DEFINITIONS: Final = "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql <> ''"
_OPERATORS: Final = frozenset(
    {"like", "glob", "->", "->>", "current_date", "current_time", "current_timestamp"}
)
"""SQL that calls the function of its name without brackets."""

_BEFORE_NAMES: Final = frozenset(
    {"table", "on", "into", "references", "index", "exists", "update", "from", "join"}
)
"""Words after which a name is no function's, though a bracket may follow it."""

_TYPE: Final = "char"
"""The function whose name is that of a type, too: ``CHAR(10)`` in the definition of a table."""

_ALL_INDEXES: Final = frozenset({"integrity_check", "quick_check", "reindex"})
"""Words of statements that compute the values of indexes anew."""

_HIDDEN_KEPT: Final = 256
"""Names whose functions of SQLite are remembered: making one asks for them three times."""


class Flags(NamedTuple):
    """The flags of a function."""

    deterministic: bool
    innocuous: bool


class _Own(NamedTuple):
    """A function of SQLite's own."""

    is_scalar: bool
    is_deterministic: bool


class _Use(NamedTuple):
    """A definition that calls a function of SQLite in whose place the user's is."""

    what: str
    function: str
    is_trigger: bool = False


class Overrides:
    """The names of SQLite's functions in whose place functions of one connection's user are."""

    def __init__(self) -> None:
        self._names: dict[tuple[Any, ...], tuple[str, bool]] = {}
        """By key, and whether views may call them."""
        self._uses: dict[str, list[_Use]] | None = None
        """The definitions that call them, by table; ``None``: to be looked up."""

    def put(self, key: tuple[Any, ...], name: str, arguments: int, *, innocuous: bool) -> None:
        """Take note of a function that was made under ``key``; views may call an ``innocuous`` one."""
        if hides(name, arguments):
            self._names[key] = folded(name), innocuous
        self.look_again()

    def remove(self, key: tuple[Any, ...]) -> None:
        """Take note that it is gone."""
        self._names.pop(key, None)
        self.look_again()

    def look_again(self) -> None:
        """Forget what the schema is."""
        self._uses = None

    def __bool__(self) -> bool:
        return bool(self._names)

    def refuse(self, raw: apsw.Connection, sql: str, facts: Facts) -> None:
        """Refuse a statement on tables of main whose definitions call one of the functions.

        Raises:
            UsageError: it is one.
        """
        if self._uses is None:
            self._uses = self._found(raw)
        used: list[_Use] = []
        if facts.word == "CREATE" and object_type(sql) == "index" and (name := self._called("index", sql)):
            used.append(_Use("the index", name))
        written = {folded(table) for table, _ in facts.writes}
        recomputes = mentions(sql, _ALL_INDEXES)
        for table, uses in self._uses.items():
            is_all = recomputes or table in written
            if is_all or table in facts.reads:
                used += [use for use in uses if is_all or not use.is_trigger]
        if used:
            what, function, _ = used[0]
            raise UsageError(
                f"run {shortened(sql)}: refused, {what} calls SQLite's {function}, in whose place yours is",
                hint=f"make yours under another name, such as my_{function}; "
                "create_function with None removes it",
            )

    def _found(self, raw: apsw.Connection) -> dict[str, list[_Use]]:
        found: dict[str, list[_Use]] = {}
        rows: list[Any] = raw.execute(_DEFINITIONS).fetchall()
        for kind, name, table, sql in rows:
            if function := self._called(kind, sql):
                found.setdefault(folded(table), []).append(
                    _Use(f"{kind} {name}", function, kind == "trigger")
                )
        return found

    def _called(self, kind: str, sql: str) -> str:
        """Return one of the functions that a definition calls, or an empty text."""
        names = {name for name, innocuous in self._names.values() if not (innocuous and kind == "view")}
        names -= {_TYPE} if kind == "table" else set()
        found = [*tokens(sql)]
        texts = ["", *(token.text for token in found), ""]
        for before, token, after in zip(texts, found, texts[2:], strict=False):
            is_call = after == "(" and before not in _BEFORE_NAMES
            if token.text in names and (is_call or token.text in _OPERATORS):
                return token.text
        return ""


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
    name: str, arguments: int, func: Callable[..., Any], flags: Flags, is_ours: Callable[[], bool]
) -> Callable[[apsw.Connection], None]:
    """Return what makes a user's function on a connection: while ``is_ours()``, SQLite's own answers.

    Raises:
        UsageError: SQLite's own is an aggregate that queries of this package call.
    """
    hidden = _hidden(name, arguments)
    if any(not one.is_scalar for one in hidden):
        _refuse_if_used(name)
    function = func
    if any(one.is_scalar for one in hidden):
        flags = Flags(flags.deterministic or all(one.is_deterministic for one in hidden), innocuous=True)
        own = apsw.Connection(":memory:")

        def function(*values: Any) -> Any:
            if not is_ours():
                return func(*values)
            return own.execute(f"SELECT {quoted(name)}({','.join('?' * len(values))})", values).get

    def make(raw: apsw.Connection) -> None:
        bits = apsw.SQLITE_INNOCUOUS if flags.innocuous else 0
        raw.create_scalar_function(name, function, arguments, deterministic=flags.deterministic, flags=bits)

    return make


def refuse_aggregate(name: str, arguments: int) -> None:
    """Refuse an aggregate or window function in the place of a function that queries of ours call.

    Raises:
        UsageError: it is one.
    """
    if hides(name, arguments):
        _refuse_if_used(name)


def hides(name: str, arguments: int) -> bool:
    """Return whether a function takes the place of one of SQLite's own."""
    return bool(_hidden(name, arguments))


@lru_cache(_HIDDEN_KEPT)
def _hidden(name: str, arguments: int) -> tuple[_Own, ...]:
    """Return the functions of SQLite whose calls another would take."""
    with closing(apsw.Connection(":memory:")) as raw:
        listed: list[Any] = raw.execute(_LISTED, (folded(name),)).fetchall()
    all_of_name = [(count, _Own(kind == "s", bool(bits & _DETERMINISTIC))) for kind, count, bits in listed]
    exact = tuple(own for count, own in all_of_name if count == arguments)
    return exact or tuple(own for count, own in all_of_name if arguments < 0 or count < 0)


def _refuse_if_used(name: str) -> None:
    if folded(name) in NAMES_USED:
        raise UsageError(
            f"make function {name}: refused, it would take the place of SQLite's own, with which this "
            "package counts what statements change",
            hint=f"give it another name, such as my_{folded(name)}",
        )

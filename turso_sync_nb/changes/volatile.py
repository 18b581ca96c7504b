"""Find *volatile* columns: those to which triggers give a random value or the current time.

Each run of such a trigger makes another value. They are found in the texts of triggers: an expression calls
``random`` or ``randomblob``, asks for the time, or names a column that is volatile. In doubt a column is.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.definitions import (
    Token,
    name_at,
    statements_of_trigger,
    tokens,
)
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import apsw

_BY_CHANCE: Final = frozenset({"random", "randomblob"})
_OF_MOMENT: Final = frozenset({
    *("'now'", "current_timestamp", "current_date", "current_time"),
    *(f"{name}()" for name in ("date", "time", "datetime", "julianday", "unixepoch", "strftime")),
})  # fmt: skip
"""Words that ask for the time: functions of date and time do so where they get no argument."""

_MAY_HAVE: Final = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE instr(lower(sql), 'random'))"
_TRIGGERS: Final = "SELECT sql FROM main.sqlite_schema WHERE type = 'trigger'"
COLUMNS: Final = "SELECT name, dflt_value FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0"
"""The query for the columns of a table that are stored for themselves, with their defaults."""


def may_use_random(raw: apsw.Connection) -> bool:
    """Return whether the schema of main has the word random anywhere."""
    return bool(raw.execute(_MAY_HAVE).get)


def random_columns(raw: apsw.Connection, triggers: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the columns of main that ``triggers`` fill with random values, by table; names in lower case."""
    return _columns_by(raw, _BY_CHANCE, triggers)


def timestamp_columns(raw: apsw.Connection, dropped: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the columns of main that triggers fill with the current time, by table; names in lower case.

    ``dropped``: texts of triggers that were there.
    """
    return _columns_by(raw, _OF_MOMENT, chain(_texts(raw), dropped))


def volatile_columns(raw: apsw.Connection, dropped: Iterable[str] = ()) -> dict[str, frozenset[str]]:
    """Return the columns of main that get another value each time that triggers fill them, by table.

    Names are in lower case. ``dropped``: texts of triggers that were there.
    """
    return _columns_by(raw, _BY_CHANCE | _OF_MOMENT, chain(_texts(raw), dropped))


def _texts(raw: apsw.Connection) -> list[str]:
    return [str(sql) for (sql,) in raw.execute(_TRIGGERS)]


def _columns_by(
    raw: apsw.Connection, wanted: frozenset[str], triggers: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Return the columns that ``triggers`` fill with what has a word of ``wanted``."""
    statements = [each for sql in triggers for each in statements_of_trigger(sql)]
    declared: dict[str, dict[str, str]] = {}
    for words in statements:
        table = _target(words)
        if table and table not in declared:
            rows: Any = raw.execute(COLUMNS, (table,)).fetchall()
            declared[table] = {folded(name): default or "" for name, default in rows}
    found: dict[str, frozenset[str]] = {}
    while True:  # a column can be filled from another one
        names = wanted.union(*found.values())
        before = dict(found)
        for words in statements:
            table = _target(words)
            columns = frozenset(_filled(words, declared.get(table, {}), names))
            if columns:
                found[table] = found.get(table, frozenset()) | columns
        if found == before:
            return found


def tables_with_keys_of_sqlite(raw: apsw.Connection) -> frozenset[str]:
    """Return the tables into which triggers insert rows, none with a key of its own; names in lower case."""
    found: dict[str, bool] = {}
    for words in chain.from_iterable(map(statements_of_trigger, _texts(raw))):
        at = next((at for at, token in enumerate(words) if token == Token("into")), None)
        if at is None:
            continue
        table, after = name_at(words, at + 1)
        query = "SELECT lower(name) FROM pragma_table_xinfo(?, 'main') WHERE pk"
        keys = {str(name) for (name,) in raw.execute(query, (table,))}
        listed = set(_listed(words[after:])[0])
        found[table] = found.get(table, True) and bool(listed) and listed.isdisjoint({*keys, "rowid"})
    return frozenset(table for table, is_assigned in found.items() if is_assigned)


def _target(words: Sequence[Token]) -> str:
    """Return the table that a statement inserts into or updates; empty for another statement."""
    for at, token in enumerate(words):
        if token == Token("into"):
            return name_at(words, at + 1)[0]
        if token == Token("update") and (not at or words[at - 1] != Token("do")):
            after = at + 3 if words[at + 1 : at + 2] == [Token("or")] else at + 1
            return name_at(words, after)[0]
    return ""


def _filled(words: list[Token], declared: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Yield the columns that a statement fills from an expression with one of ``names``."""
    chance = frozenset(names)
    at = next((at for at, token in enumerate(words) if token == Token("into")), None)
    if at is not None:
        listed, rest = _listed(words[name_at(words, at + 1)[1] :])
        columns = listed or list(declared)
        yield from (name for name in declared if name not in columns and _has(tokens(declared[name]), chance))
        for expressions in _rows(rest):
            yield from (
                name for name, value in zip(columns, expressions, strict=False) if _has(value, chance)
            )
    for begin, token in enumerate(words):
        if token == Token("set"):
            for one in parted(words[begin + 1 :], {"where", "from", "returning"}):
                equals = next((at for at, each in enumerate(one) if each == Token("=")), 0)
                if _has(one[equals:], chance):
                    yield from (each.text for each in one[:equals] if each.text in declared)


def _listed(words: list[Token]) -> tuple[list[str], list[Token]]:
    """Return the column list of an INSERT and what follows it."""
    if words[:1] != [Token("(")]:
        return [], words
    end = words.index(Token(")"))
    return [token.text for token in words[1:end] if token.is_name or token.text != ","], words[end + 1 :]


def _rows(words: list[Token]) -> Iterator[list[list[Token]]]:
    """Yield the expressions of each row of VALUES, or those of a SELECT."""
    if words[:1] != [Token("values")]:
        begin = words.index(Token("select")) + 1 if Token("select") in words else len(words)
        yield list(parted(words[begin:], {"from", "where", "group", "order", "limit", "union"}))
        return
    depth = 0
    for at, token in enumerate(words):
        text = "" if token.is_name else token.text
        if text == "(" and not depth and words[at - 1] in (Token("values"), Token(",")):
            yield list(parted(words[at + 1 :], {")"}))
        depth += {"(": 1, ")": -1}.get(text, 0)


def parted(words: Iterable[Token], ends: set[str]) -> Iterator[list[Token]]:
    """Yield what commas part, up to one of ``ends`` outside of brackets."""
    depth, one = 0, list[Token]()
    for token in words:
        text = "" if token.is_name else token.text
        if not depth and text in ends:
            break
        depth += {"(": 1, ")": -1}.get(text, 0)
        if not depth and text == ",":
            yield one
            one = []
        else:
            one.append(token)
    yield one


def _has(words: Iterable[Token], names: frozenset[str]) -> bool:
    found = [folded(token.text) for token in words]
    if not names.isdisjoint(found):
        return True
    called = zip(found, found[1:], found[2:], [*found[3:], ""], strict=False)
    return any(
        f"{name}()" in names and bracket == "(" and ")" in (first, second if name == "strftime" else "")
        for name, bracket, first, second in called
    )

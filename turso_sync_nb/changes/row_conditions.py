"""Write SQL conditions that are true for one row, or for all rows that equal it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from turso_sync_nb.changes.images import usable_key
from turso_sync_nb.changes.model import RawText
from turso_sync_nb.changes.names import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from turso_sync_nb.changes.model import Bindable, Image, SqlValue, TableSchema

Given: TypeAlias = "tuple[tuple[str, SqlValue], ...]"
"""Columns of one row, each with its value."""


class Volatile(NamedTuple):
    """Columns that triggers fill with another value each time, so that they cannot name a row without a key.

    Where no row equals an image, the sets in ``columns`` are left out of the comparison, one after another.
    Rows that have the values ``given`` are not meant: a statement put them there, not a trigger.
    """

    columns: tuple[frozenset[str], ...] = ()
    given: tuple[Given, ...] = ()


EXACTLY: Final = Volatile()
"""No column is volatile: all of them name a row."""

_EXACT_INTEGERS: Final = 2**53
"""Below it an integer can equal a float."""

_FLAT_TERMS_MAX: Final = 16
"""Terms that one chain of ANDs has. A chain is as deep as it is long, and ``tursodb`` reads expressions up to
a depth of 100, SQLite up to 1,000: a table can have 2,000 columns."""


def conjunction(terms: Sequence[str]) -> str:
    """Return the condition that all ``terms`` are true; its depth grows with the logarithm of their number.

    Each term binds tighter than AND.
    """
    if len(terms) <= _FLAT_TERMS_MAX:
        return " AND ".join(terms)
    half = (len(terms) + 1) // 2
    return f"({conjunction(terms[:half])}) AND ({conjunction(terms[half:])})"


def is_row(
    shape: TableSchema,
    image: Image,
    guards: Collection[str],
    arguments: list[Bindable],
    volatile: Volatile = EXACTLY,
) -> str:
    """Return the condition that is true for the one row ``image`` while ``guards`` are as in it.

    Where no key names it and no row equals it, it is one that equals it in all columns but ``volatile``.
    """
    table = quoted(shape.table)
    if not usable_key(shape, image):
        equal = is_like(shape, image, arguments)
        if shape.rowid_name is None:
            return equal
        rowid = f"{table}.{shape.rowid_name}"
        found = f"(SELECT {rowid} FROM {table} WHERE {equal} LIMIT 1)"
        for columns in volatile.columns:
            like_it = is_like(shape, image, arguments, columns)
            given = [one for one in volatile.given if columns.issuperset(name for name, _ in one)]
            others = [f"NOT ({_has(shape, one, arguments)})" for one in given]
            like_it = conjunction([f"({like_it})", *others])
            order = f"{next_after(shape, image, columns, arguments)}{rowid} DESC"
            found = f"ifnull({found}, (SELECT {rowid} FROM {table} WHERE {like_it} ORDER BY {order} LIMIT 1))"
        return f"{rowid} = {found}"
    terms = [f"{column_of(shape, shape.columns[at])} = {placed(image[at], arguments)}" for at in shape.key]
    terms += [
        is_value(column_of(shape, name), value, arguments)
        for at, (name, value) in enumerate(zip(shape.columns, image, strict=True))
        if name in guards and not (shape.auto_key and at in shape.key)
    ]
    return conjunction(terms)


def is_like(
    shape: TableSchema, image: Image, arguments: list[Bindable], but_for: Collection[str] = ()
) -> str:
    """Return the condition that is true for rows that equal ``image``, their types too."""
    terms = ["1"] if len(but_for) >= len(shape.columns) else []
    for name, value in zip(shape.columns, image, strict=True):
        if name in but_for:
            continue
        column = column_of(shape, name)
        terms.append(is_value(column, value, arguments))
        if kind := _ambiguous_type(value):
            terms.append(f"typeof({column}) = '{kind}'")
    return conjunction(terms)


def next_after(shape: TableSchema, image: Image, columns: Collection[str], arguments: list[Bindable]) -> str:
    """Return the order with the next moment after that of ``image`` first: triggers run there later."""
    found = (one for one in zip(shape.columns, image, strict=True) if one[0] in columns)
    name, value = next(found, ("", None))
    if value is None or isinstance(value, RawText):
        return ""
    column, kinds = column_of(shape, name), {int: "integer", float: "real", str: "text", bytes: "blob"}
    is_later = f"(typeof({column}) = '{kinds[type(value)]}' AND {column} >= {placed(value, arguments)})"
    placed(value, arguments)
    return f"{is_later} DESC, CASE WHEN {is_later} THEN {column} END, "


def _has(shape: TableSchema, given: Given, arguments: list[Bindable]) -> str:
    return conjunction([is_value(column_of(shape, name), value, arguments) for name, value in given])


def is_value(column: str, value: SqlValue, arguments: list[Bindable]) -> str:
    """Return the condition that a column is ``value``, byte for byte."""
    if value is None:
        return f"{column} IS NULL"
    binary = " COLLATE BINARY" if isinstance(value, str | RawText) else ""
    return f"{column} IS {placed(value, arguments)}{binary}"


def column_of(shape: TableSchema, name: str) -> str:
    """Return a column's name with its table's: alone, in quotes, it is a text where the column is gone."""
    return f"{quoted(shape.table)}.{quoted(name)}"


def _ambiguous_type(value: SqlValue) -> str:
    """Return the type of a number that a number of the other type can equal, else nothing."""
    if isinstance(value, float):
        return "real" if value.is_integer() else ""
    return "integer" if isinstance(value, int) and abs(value) <= _EXACT_INTEGERS else ""


def placed(value: SqlValue, arguments: list[Bindable]) -> str:
    """Return what stands for ``value`` in the text, adding to ``arguments`` what fills it."""
    if isinstance(value, RawText):
        arguments.append(value.data)
        return "CAST(? AS TEXT)"
    if isinstance(value, float) and math.isinf(value):
        return "9e999" if value > 0 else "-9e999"  # JSON has no infinity
    arguments.append(value)
    return "?"

"""The rows of a table that a grid shows, and their order: found, filtered and sorted by SQL over all rows.

Pages go by position among the keys, never by OFFSET: a row's *place* is the value that it is sorted by, then
its key. NULL comes last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.errors import UsageError
from turso_sync_nb.widgets.values import typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONDITION: Final = re.compile(r"(>=|<=|!=|>|<|=)\s*(.+)", re.DOTALL)


@dataclass(frozen=True)
class Arrangement:
    """Filters by column, a text to find in any column, and the column to sort by."""

    filters: tuple[tuple[str, str], ...] = ()
    search: str = ""
    sort: str = ""
    descending: bool = False

    def condition(self, declared: Mapping[str, str]) -> tuple[str, list[Any]]:
        """Return the SQL that a row meets and its values; ``declared`` are the columns with their types.

        Raises:
            UsageError: a filter makes no sense for its column.
        """
        parts, values = ["1"], list[Any]()
        for name, text in self.filters:
            sql, own = _meets(quoted(name), text.strip(), declared[name])
            parts.append(sql)
            values += own
        if self.search:
            parts.append(f"({' OR '.join(_contains(quoted(name)) for name in declared)})")
            values += [_pattern(self.search)] * len(declared)
        return " AND ".join(parts), values

    def order(self, key: Sequence[str]) -> list[tuple[str, bool]]:
        """Return what orders rows, each with whether it descends: the sorted column, then the key."""
        by_key = [(quoted(name), False) for name in key if name != self.sort]
        if not self.sort:
            return by_key
        column = quoted(self.sort)
        return [(f"({column} IS NULL)", False), (column, self.descending), *by_key]


def beyond(order: Sequence[tuple[str, bool]], place: Sequence[Any], sign: str) -> tuple[str, list[Any]]:
    """Return the SQL that a row comes after (``>``), at or after (``>=``) or before (``<``) a place."""
    alternatives, values, equal = list[str](), list[Any](), list[str]()
    for at, (term, descends) in enumerate(order):
        forward = (sign[0] == ">") != descends
        alternatives.append(" AND ".join([*equal, f"{term} {'>' if forward else '<'} ?"]))
        values += place[: at + 1]
        equal.append(f"{term} IS ?")
    if sign.endswith("="):
        alternatives.append(" AND ".join(equal))
        values += place
    return f"({' OR '.join(f'({each})' for each in alternatives)})", values


def _meets(column: str, text: str, declared: str) -> tuple[str, list[Any]]:
    if text.lower() in ("null", "not null"):
        return f"{column} IS {text.upper()}", []
    found = _CONDITION.fullmatch(text)
    if found is None:
        return _contains(column), [_pattern(text)]
    try:
        value = typed(found[2].strip(), declared)
    except UsageError as error:
        raise UsageError(
            f"filter {column}: {text[:40]!r}: {error}",
            hint="write a part of the text, > 5, = x, null or not null",
        ) from error
    if not declared and re.fullmatch(r"[+-]?\d+(\.\d+)?", found[2].strip()):
        value = float(found[2])
    return f"{column} {found[1]} ?", [value]


def _contains(column: str) -> str:
    return f"{column} LIKE ? ESCAPE '\\'"


def _pattern(text: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    return f"%{escaped}%"

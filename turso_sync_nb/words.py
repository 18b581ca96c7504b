"""Format counts, values, keys and changes for readers; each format is defined here, once.

So a line of text, a widget, its static form and a frame show a value alike. Nothing here makes a text safe to
show: ``escaping`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NULL: Final = "NULL"

TEXT_MAX: Final = 60
"""Characters shown of a value among others."""

OPERATIONS: Final = {"insert": "added", "update": "changed", "delete": "removed"}
"""Words for what became of a row."""

REASONS_TO_STAY: Final = {
    "refused": "the remote refused it",
    "aside": "does not fit what was pulled",
    "skipped": "undone, will not be pushed",
}
"""Words for the states of a transaction that a push does not send."""

_SETTLED: Final = {
    "last-push-wins": "yours stayed",
    "remote-wins": "theirs stayed",
    "mine_chosen_in_review": "you kept yours",
    "theirs_chosen_in_review": "you kept theirs",
    "chosen_in_review": "as you chose",
}


class Figure(str):
    """A number as a reader has it; in a table it stands to the right."""

    __slots__ = ()


def count_of(count: int, noun: str) -> str:
    """Return a count for a reader: ``"1 row"``, ``"2,000 rows"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def waits(count: int, noun: str = "change") -> str:
    """Return how many wait: ``"1 change waits"``, ``"2 changes wait"``, ``"nothing waits"``."""
    if not count:
        return "nothing waits"
    return f"{count_of(count, noun)} {'waits' if count == 1 else 'wait'}"


def waits_to_be_pushed(count: int, noun: str = "change") -> str:
    """Return how many wait for a push: ``"1 change waits to be pushed"``."""
    return f"{waits(count, noun)} to be pushed"


def format_seconds(seconds: float) -> str:
    """Return a duration for a reader: ``"4 ms"``, ``"1.25 s"``."""
    thousandths = round(seconds * 1000)
    return f"{thousandths} ms" if thousandths < 1000 else f"{seconds:.2f} s"  # noqa: PLR2004 - of a second


def value_of(value: Any, length: int = TEXT_MAX) -> str:
    """Return a value in one line, cut to ``length``: NULL, ``''``, a blob by its size."""
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return f"blob of {format_size(len(value))}"
    text = str(value) or "''"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def values_of(row: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Return named values: ``"carrier AA, name NULL"``; of those in ``names`` alone if given."""
    chosen = row if names is None else set(names)
    return ", ".join(f"{name} {value_of(value)}" for name, value in row.items() if name in chosen)


def settled_as(settled_by: str) -> str:
    """Return how a conflict was settled."""
    return _SETTLED.get(settled_by, settled_by.replace("set aside: ", "yours waits: ", 1))

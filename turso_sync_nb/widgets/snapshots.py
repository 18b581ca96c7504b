"""Render the static form of a widget for a saved notebook: HTML and plain text, bounded, escaped.

It is an output of its own before the widget's. While the widget is alive, its style sheet hides the snapshot;
while it is not, the snapshot's hides the line that says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from turso_sync_nb.escaping import visible
from turso_sync_nb.words import Figure, count_of, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MimeBundle = dict[str, str]


@dataclass(frozen=True)
class Block:
    """A part of a snapshot, as HTML and as plain text; parts add up."""

    html: str
    text: str

    def __add__(self, other: Block) -> Block:
        return Block(self.html + other.html, "\n".join(filter(None, (self.text, other.text))))


ROWS_MAX: Final = 50
"""Rows of a static table, which is saved with the notebook."""

TEXT_MAX: Final = 120
"""Characters shown of a value."""

_STYLE: Final = (
    "<style>.jp-OutputArea-child:has(.tsn-snapshot) + .jp-OutputArea-child:not(:has(.tsn-widget))"
    " {display: none}"
    " .tsn-snapshot.tsn-snapshot :is(th, td) {text-align: left; white-space: nowrap}"
    " .tsn-snapshot.tsn-snapshot .tsn-number {text-align: right}</style>"
)


def bundle(title: str, body: Block) -> MimeBundle:
    """Return a snapshot as a MIME bundle, with the time it was taken at."""
    at = time.strftime("%Y-%m-%d %H:%M")
    head = f"<div><strong>{escape(title)}</strong> <small>as of {at}</small></div>"
    html = f'<div class="tsn-snapshot tex2jax_ignore mathjax_ignore">{head}{body.html}</div>'
    return {"text/plain": f"{title}, as of {at}\n{body.text}", "text/html": f"{_STYLE}{html}"}


def image(data_url: str, text: str) -> Block:
    """Return a picture, described by ``text``, which stands alone where there are no pictures."""
    return Block(f'<img alt="{escape(text)}" src="{data_url}">', "")


def line(text: str) -> Block:
    """Return one line."""
    return Block(f"<div>{escape(_cut(text))}</div>", _cut(text))


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    """Return a table of at most ``ROWS_MAX`` rows; what was left out is said."""
    head = [_cut(name) for name in names]
    cells = [[_cut(_text(value)) for value in row] for row in rows[:ROWS_MAX]]
    columns = list(zip(*rows[:ROWS_MAX], strict=True)) or [()] * len(head)
    right = [bool(column) and all(map(_is_number, column)) for column in columns]
    left_out = len(rows) - ROWS_MAX
    more = f"{count_of(left_out, 'more row')} not shown" if left_out > 0 else ""
    return Block(_table_html(head, cells, right, more), _table_text(head, cells, right, more))


def data_rows(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Return rows of data: an empty text is told from what is not there, as in views."""
    return [["''" if value == "" else value for value in row] for row in rows]


def _table_html(head: list[str], cells: list[list[str]], right: list[bool], more: str) -> str:
    marks = [' class="tsn-number"' if is_right else "" for is_right in right]
    names = "".join(
        f'<th scope="col"{mark}>{escape(name)}</th>' for name, mark in zip(head, marks, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{mark}>{escape(text)}</td>' for text, mark in zip(row, marks, strict=True))}</tr>"
        for row in cells
    )
    left_out = f"<div><small>{escape(more)}</small></div>" if more else ""
    grid = f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="dataframe">{grid}</table>{left_out}'


def _table_text(head: list[str], cells: list[list[str]], right: list[bool], more: str) -> str:
    grid = [head, *cells]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    adjust = [str.rjust if is_right else str.ljust for is_right in right]
    lines = [
        "  ".join(put(text, width) for put, text, width in zip(adjust, row, widths, strict=True)).rstrip()
        for row in grid
    ]
    return "\n".join(part for part in (*lines, more) if part)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Figure) and not isinstance(value, bool))


def _text(value: object) -> str:
    return value if isinstance(value, str) else value_of(value, TEXT_MAX)


def _cut(text: str) -> str:
    return visible(text, TEXT_MAX)

"""What a saved notebook shows of a widget without a kernel: static HTML, bounded, every text escaped.

It is an output of its own before the widget's. While the widget is alive, its style sheet hides the snapshot;
while it is not, the snapshot's hides the line that says so.
"""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MimeBundle = dict[str, str]

ROWS_MAX: Final = 50
TEXT_MAX: Final = 120

_STYLE: Final = (
    "<style>.jp-OutputArea-child:has(.tsn-snapshot) + .jp-OutputArea-child:not(:has(.tsn-widget))"
    " {display: none}</style>"
)


def bundle(title: str, body: str) -> MimeBundle:
    """Return a snapshot as a MIME bundle, with the time it was taken at."""
    at = time.strftime("%Y-%m-%d %H:%M")
    head = f"<div><strong>{escape(title)}</strong> <small>as of {at}</small></div>"
    return {
        "text/plain": f"{title}, as of {at}",
        "text/html": f'{_STYLE}<div class="tsn-snapshot tex2jax_ignore mathjax_ignore">{head}{body}</div>',
    }


def line(text: str) -> str:
    """Return one line."""
    return f"<div>{escape(_cut(text))}</div>"


def table(names: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """Return a table of at most ``ROWS_MAX`` rows; what was left out is said."""
    head = "".join(f'<th scope="col">{escape(_cut(name))}</th>' for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cut(_text(value)))}</td>' for value in row)}</tr>"
        for row in rows[:ROWS_MAX]
    )
    left_out = len(rows) - ROWS_MAX
    more = f"<div><small>{left_out:,} more rows are not shown</small></div>" if left_out > 0 else ""
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<table class="dataframe">{named}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return "NULL" if value is None else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"

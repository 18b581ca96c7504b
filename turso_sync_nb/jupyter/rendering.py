"""Render tables and lines as MIME bundles: HTML for the notebook, aligned text for everything else.

Rules of this file: whatever the data, a bundle stays under ``BUNDLE_BYTES_MAX``; every name and
value goes through ``escaping``; what was left out is said. It reads only the rows that it shows.
The class ``tex2jax_ignore`` keeps the notebook from setting ``$1 and $2`` as mathematics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.escaping import as_html, visible
from turso_sync_nb.units import format_size
from turso_sync_nb.words import NULL, Figure, count_of, format_seconds, waits_to_be_pushed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from turso_sync_nb.engine.reports import QueryReport

MimeBundle = dict[str, str]

ROWS_SHOWN_DEFAULT: Final = 20
"""Rows shown of a result unless told otherwise: they fit a screen."""

COLUMNS_SHOWN_MAX: Final = 50
"""Columns shown: more make a browser slow, and nobody reads them."""

CELL_LENGTH_MAX: Final = 200
"""Characters shown of a value, at most; ``_CELL_LENGTHS`` are tried when a bundle is large."""

NAME_LENGTH_MAX: Final = 60
"""Characters shown of a column's name."""

WHOLE_LENGTH_MAX: Final = 45
"""Characters of a value that is not broken into two lines: a date, a size, and a few words before it."""

LINE_LENGTH_MAX: Final = 1_000
"""Characters shown of a line of text, whatever a server or a file put into it."""

BUNDLE_BYTES_MAX: Final = 150_000
"""A cell's output is saved in the notebook; 200 KB is where notebooks become a burden to share."""

_CELL_LENGTHS: Final = (CELL_LENGTH_MAX, 80, 30)
"""Cell widths tried, the widest first, before rows are left out to keep a bundle small."""

_BLOB_BYTES_SHOWN: Final = 16
"""Bytes of a blob that are shown: enough to know a file by its first ones."""

_FLOAT_DIGITS: Final = 10
"""Significant digits shown of a float; the value itself is in the frame."""

_HIDES_DEAD_VIEW: Final = (
    "<style>.jp-OutputArea-child:has(> .jp-OutputArea-output.lm-Panel):not(:has(.tsn-widget))"
    ":has(+ .jp-OutputArea-child .tsn-static) {display: none}</style>"
)
"""Hide JupyterLab's line about a missing widget (the one output that is a panel) before the static form."""


@dataclass(frozen=True)
class Cell:
    """A value as text, and what it is: "null", "number" or "text"."""

    text: str
    kind: str


@dataclass(frozen=True)
class _Table:
    names: list[str]
    rows: list[list[Cell]]
    notes: list[str]


def frame_bundle(
    frame: pd.DataFrame, rows_max: int, notes: Sequence[str] = (), *, is_static_form: bool = False
) -> MimeBundle:
    """Return ``frame`` as text and HTML, at most ``rows_max`` rows, followed by ``notes``.

    ``is_static_form``: a live table stands before it, and hides it while it is alive.

    Never over ``BUNDLE_BYTES_MAX`` bytes: cells are narrowed first, then rows are left out.
    """
    rows = max(rows_max, 0)
    lengths = iter(_CELL_LENGTHS)
    length = next(lengths)
    while True:
        table = _read(frame, rows, length, notes)
        bundle = {"text/plain": _text(table), "text/html": _html(table, is_static_form=is_static_form)}
        if rows == 0 or sum(len(part.encode()) for part in bundle.values()) <= BUNDLE_BYTES_MAX:
            return bundle
        narrower = next(lengths, None)
        if narrower is None:
            rows //= 2
        else:
            length = narrower


def line_bundle(line: str) -> MimeBundle:
    """Return one line of text; no HTML, so nothing in it can be markup."""
    return {"text/plain": visible(line, LINE_LENGTH_MAX)}


def lines_bundle(lines: Sequence[str]) -> MimeBundle:
    """Return several lines of text, each made visible by itself."""
    return {"text/plain": "\n".join(visible(line, LINE_LENGTH_MAX) for line in lines)}


def footer(
    report: QueryReport, *, in_transaction: bool, rows: int | None, pending: int = 0, verbose: bool = False
) -> str:
    """Return the line under a result: rows, time, what was downloaded, what waits, an open transaction.

    ``rows`` is None when no statement returned rows; ``pending`` changes wait to be pushed. ``verbose`` adds
    how many pages were read.
    """
    parts = [count_of(rows, "row")] if rows is not None else []
    if report.rows_changed:
        parts.append(f"{count_of(report.rows_changed, 'row')} changed")
    parts = [*(parts or ["done"]), format_seconds(report.seconds)]
    if report.requests:
        downloaded = format_size(report.received_bytes)
        parts.append(f"downloaded {downloaded} in {count_of(report.requests, 'request')}")
    if verbose:
        parts.append(
            f"pages: {report.pages_hit:,} read here, {report.pages_fetched:,} downloaded, "
            f"{report.pages_wasted:,} of them not read"
        )
    if pending:
        parts.append(waits_to_be_pushed(pending))
    if in_transaction:
        parts.append("transaction open until COMMIT or ROLLBACK")
    return " · ".join(parts)


def _read(frame: pd.DataFrame, rows_max: int, cell_length: int, notes: Sequence[str]) -> _Table:
    part = frame.iloc[:rows_max, :COLUMNS_SHOWN_MAX]
    nulls = part.isna()
    columns = [
        [cell_of(value, is_null=null, length=cell_length) for value, null in zip(values, blanks, strict=True)]
        for values, blanks in (
            (part.iloc[:, at].tolist(), nulls.iloc[:, at].tolist()) for at in range(part.shape[1])
        )
    ]
    names = [visible(str(name), NAME_LENGTH_MAX) for name in part.columns]
    said = list(_left_out(frame, part))
    said += [visible(note, LINE_LENGTH_MAX) for note in notes]
    return _Table(names, [list(row) for row in zip(*columns, strict=True)], said)


def _left_out(frame: pd.DataFrame, part: pd.DataFrame) -> Iterator[str]:
    if len(part) < len(frame):
        yield f"showing {len(part):,} of {count_of(len(frame), 'row')}"
    if part.shape[1] < frame.shape[1]:
        yield f"showing {part.shape[1]} of {frame.shape[1]:,} columns"


def cell_of(value: Any, *, is_null: bool, length: int) -> Cell:
    """Return ``value`` for a table, cut to ``length`` characters."""
    if is_null:
        return Cell(NULL, "null")
    if isinstance(value, int | Figure) and not isinstance(value, bool):
        return Cell(visible(str(value), length), "number")
    if isinstance(value, float):
        return Cell(_float(value), "number")
    if isinstance(value, bytes):
        return Cell(_blob(value, length), "text")
    return Cell(visible(str(value), length), "text")


def _float(value: float) -> str:
    text = f"{value:.{_FLOAT_DIGITS}g}"
    # 3.0 must not look like the integer 3
    return text if not math.isfinite(value) or any(mark in text for mark in ".e") else f"{text}.0"


def _blob(value: bytes, length: int) -> str:
    shown = value[:_BLOB_BYTES_SHOWN].hex()
    if len(value) <= _BLOB_BYTES_SHOWN:
        return f"x'{shown}'"
    return visible(f"x'{shown}…' ({format_size(len(value))})", length)


def _text(table: _Table) -> str:
    lines: list[str] = []
    if table.names:
        widths = [
            max(len(name), *(len(row[at].text) for row in table.rows), 0)
            for at, name in enumerate(table.names)
        ]
        numeric = [_is_numeric(table, at) for at in range(len(table.names))]
        grid = chain([table.names], ([cell.text for cell in row] for row in table.rows))
        lines += [
            "  ".join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for line in grid
        ]
    return "\n".join([*lines, *table.notes])


def _is_numeric(table: _Table, at: int) -> bool:
    return any(row[at].kind == "number" for row in table.rows) and all(
        row[at].kind != "text" or not row[at].text for row in table.rows
    )


def _html(table: _Table, *, is_static_form: bool) -> str:
    numeric = [_is_numeric(table, at) for at in range(len(table.names))]
    head = "".join(
        f"<th{_align(right)}>{as_html(name)}</th>" for name, right in zip(table.names, numeric, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_html_cell(cell, right) for cell, right in zip(row, numeric, strict=True)) + "</tr>"
        for row in table.rows
    )
    grid = (
        f'<table border="1" class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        if table.names
        else ""
    )
    notes = "".join(f"<div><small>{as_html(note)}</small></div>" for note in table.notes)
    mark = " tsn-static" if is_static_form else ""
    style = _HIDES_DEAD_VIEW if is_static_form else ""
    return f'{style}<div class="tex2jax_ignore mathjax_ignore{mark}">{grid}{notes}</div>'


def _align(right: bool) -> str:  # noqa: FBT001 - one switch of a private function
    return f' style="text-align: {"right" if right else "left"}"'


def _html_cell(cell: Cell, right: bool) -> str:  # noqa: FBT001 - as above
    text = f"<em>{cell.text}</em>" if cell.kind == "null" else as_html(cell.text)
    whole = "; white-space: nowrap" if len(cell.text) <= WHOLE_LENGTH_MAX else ""
    return f'<td style="text-align: {"right" if right else "left"}{whole}">{text}</td>'

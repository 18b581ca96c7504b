"""Give the magics access to the notebook: variables, output, the frame of a cell, open connections.

Rules of this file: the one place that talks to the IPython shell. It decides how things are shown, not
what. A frame that a cell returns is an ordinary pandas DataFrame; only its display as the output of the
very cell that made it is ours (capped, escaped, with the footer). Shown again later, or with another index
or fewer rows, it is pandas'. A user who set options of pandas' display, or another HTML form, has that, with
the footer.
"""

from __future__ import annotations

import getpass
import sys
import weakref
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import StdinNotImplementedError
from IPython.display import display

from turso_sync_nb.errors import UsageError
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.displays import chosen_bundle, is_as_made, is_chosen
from turso_sync_nb.jupyter.rendering import (
    LINE_LENGTH_MAX,
    MimeBundle,
    frame_bundle,
    line_bundle,
    lines_bundle,
)
from turso_sync_nb.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from turso_sync_nb.jupyter.connections import Connections

LIVE_FROM_ROWS: Final = 6
"""Rows from which on a result is a table to page through; fewer are seen at a glance."""


@dataclass(frozen=True)
class Notebook:
    """The notebook that a subcommand or a cell works with.

    ``variables`` is what a ``:name`` may refer to: the user's namespace, under the local scope of the
    caller. ``rows_shown`` is the most rows that a table shows.
    """

    shell: Any
    variables: Mapping[str, Any]
    connections: Connections
    rows_shown: int
    rich: bool = False
    """Whether a result is a table to page through where widgets run."""

    def assign(self, name: str, value: object) -> None:
        """Set a variable of the notebook."""
        self.shell.user_ns[name] = value

    def say(self, line: str) -> None:
        """Show one line of text in the cell's output."""
        display(line_bundle(line), raw=True)

    def say_lines(self, lines: Sequence[str]) -> None:
        """Show several lines of text as one output."""
        display(lines_bundle(lines), raw=True)

    def show(self, value: object) -> None:
        """Show a value in the cell's output, before what the cell returns."""
        display(value)

    def warn(self, line: str) -> None:
        """Show one line on the error stream; the cell goes on."""
        print(f"warning: {visible(line, LINE_LENGTH_MAX)}", file=sys.stderr)  # noqa: T201 - the error stream

    def ask_secret(self, prompt: str) -> Secret | None:
        """Ask the user for something that is not shown; ``None`` where nobody can be asked."""
        if getattr(self.shell, "kernel", None) is None and not sys.stdin.isatty():
            return None
        try:
            return Secret.of(getpass.getpass(prompt))
        except (EOFError, StdinNotImplementedError):
            return None

    def shown(
        self, frame: pd.DataFrame, notes: Sequence[str] = (), seen: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return ``frame`` prepared to be shown, with ``notes`` under it, as the output of this cell.

        ``seen`` has the same rows in a form for a reader, and is shown in its place.

        IPython asks the instance for ``_repr_mimebundle_``; pandas neither copies nor saves the attribute.
        A display that the user registered for all frames goes before it.
        """
        view = _View(
            weakref.ref(frame),
            self.shell,
            self.shell.execution_count,
            self.rows_shown,
            tuple(notes),
            rows=len(frame),
            is_rich=self.rich and getattr(self.shell, "kernel", None) is not None,
            seen=seen,
        )
        object.__setattr__(frame, "_repr_mimebundle_", view)
        return frame


@dataclass(frozen=True)
class _View:
    """The display of a frame while its own cell runs; a weak reference, so the frame is freed at once."""

    frame: weakref.ref[pd.DataFrame]
    shell: Any
    execution_count: int
    rows_shown: int
    notes: tuple[str, ...]
    rows: int
    is_rich: bool = False
    seen: pd.DataFrame | None = None

    def __call__(self, include: object = None, exclude: object = None) -> MimeBundle | None:  # noqa: ARG002 - IPython's names
        frame = self.frame()
        if frame is None or self.shell.execution_count != self.execution_count:
            return None
        if not is_as_made(frame, self.rows):
            return None
        if is_chosen():
            return chosen_bundle(frame, self.notes)
        frame = frame if self.seen is None else self.seen
        least = LIVE_FROM_ROWS if self.seen is None else self.rows_shown + 1
        if self.is_rich and len(frame) >= least and len(frame.columns):
            _show_table(frame, self.rows_shown, self.notes)
            return frame_bundle(frame, self.rows_shown, self.notes, is_static_form=True)
        return frame_bundle(frame, self.rows_shown, self.notes)


def _show_table(frame: pd.DataFrame, rows_shown: int, notes: Sequence[str]) -> None:
    """Show the rows live, as an output before the static form."""
    from turso_sync_nb.jupyter.result_rows import ResultRows
    from turso_sync_nb.widgets.live import VIEW
    from turso_sync_nb.widgets.result_table import ResultTable

    widget = ResultTable(ResultRows(frame, rows_shown, notes).answer)
    weakref.finalize(frame, widget.close)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": ResultTable.title, VIEW: view}, raw=True)


def check_variable_name(name: str) -> str:
    """Return ``name``, which a result is to be assigned to.

    Raises:
        UsageError: it cannot be a variable.
    """
    if not name.isidentifier() or iskeyword(name):
        raise UsageError(
            f"assign the result to {name[:80]!r}: no name for a variable", hint="-o NAME, or NAME <<"
        )
    return name

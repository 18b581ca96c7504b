"""Show errors as one line with the next step, in place of a traceback.

Rules of this file: the exception itself goes on to the cell, with its own type, so that the cell
fails, "Run all" stops and ``except tsn.ReplicaBusyError`` works; only its rendering changes (IPython
asks an exception for ``_render_traceback_``). What is not an error of this package, of SQLite or a
stop keeps its traceback: it is a defect, and its place matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.errors import Error, SyncError
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.places import without_home

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_MAX: Final = 1_000
"""Characters of an error line; a longer one is cut, since it is no line any more."""


EXPECTED: Final = (Error, apsw.Error, KeyboardInterrupt)
"""Exceptions that leave a magic as one line."""


def ensure_line(error: BaseException) -> None:
    """Make ``error`` show as one line, unless the place that knows more about it has done so."""
    if "_render_traceback_" not in error.__dict__:
        render_as(error, line_of(error))


def render_as(error: BaseException, line: str, place: Sequence[str] = ()) -> None:
    """Make IPython show ``line`` for this exception, ``place`` below it, and nothing else.

    Its message is made showable too, since a kernel saves it in the notebook beside what is shown.
    """
    shown = _showable(line)
    error.args = tuple(_showable(each) if isinstance(each, str) else each for each in error.args)
    if isinstance(error, SyncError):
        error.hint = _showable(error.hint)
    error.__dict__["_render_traceback_"] = lambda: [shown, *place]


def line_of(error: BaseException, next_step: str = "") -> str:
    """Return ``"ReplicaBusyError: what happened — next step"``.

    ``next_step`` stands in when the error brings no hint of its own. Errors of SQLite are called
    ``SqlError``, whichever class they have.
    """
    if isinstance(error, SyncError):
        name, message, hint = type(error).__name__, str(error.args[0]), error.hint or next_step
    elif isinstance(error, KeyboardInterrupt):
        name, message, hint = "KeyboardInterrupt", ": ".join(["stopped", *map(str, error.args)]), next_step
    else:
        name = "SqlError" if isinstance(error, apsw.Error) else type(error).__name__
        message, hint = str(error), next_step
    return f"{name}: {message} — {hint}" if hint else f"{name}: {message}"


def _showable(text: str) -> str:
    return visible(without_home(text), LINE_MAX)

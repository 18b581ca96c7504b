"""Show errors as one line with the next step, in place of a traceback.

Rules of this file: the exception itself goes on to the cell, with its own type, so that the cell
fails, "Run all" stops and ``except tsn.ReplicaBusyError`` works; only its rendering changes (IPython
asks an exception for ``_render_traceback_``). What is not an error of this package, of SQLite or a
stop keeps its traceback: it is a defect, and its place matters. A token on the line is masked there: in
``%xmode Verbose`` frames of IPython itself show the line.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.errors import Error, SyncError
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.arguments import secrets_on
from turso_sync_nb.jupyter.places import without_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINE_MAX: Final = 1_000
"""Characters of an error line; a longer one is cut, since it is no line any more."""


SECRET_PART_MIN: Final = 8
"""Characters of a secret that are masked wherever they stand: a traceback cuts long values in the middle."""

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")

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


def mask_secrets(error: BaseException, line: str, variables: Mapping[str, Any], shell: Any) -> None:
    """Make IPython show the traceback of ``error`` without what may be a token on ``line``, if any is."""
    found = secrets_on(line, variables)
    if not found:
        return

    def masked(text: str) -> str:
        for secret in found:
            text = secret.use(partial(_without, text))
        return text

    error.args = tuple(masked(each) if isinstance(each, str) else each for each in error.args)

    def rendered() -> list[str]:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__, tb_offset=1)
        return [masked(_COLOURS.sub("", each)) for each in lines]

    error.__dict__["_render_traceback_"] = rendered


def _without(text: str, secret: str) -> str:
    """Return ``text`` with ``secret``, and each part of it of ``SECRET_PART_MIN`` characters, masked."""
    size = min(len(secret), SECRET_PART_MIN)
    if not size:
        return text
    parts = {secret[at : at + size] for at in range(len(secret) - size + 1)}
    shown: list[str] = []
    at = end = 0
    for start in range(len(text) - size + 1):
        if text[start : start + size] in parts:
            if start >= end:  # a run of parts begins
                shown += text[at:start], "***"
            at = end = start + size
    return "".join([*shown, text[at:]])


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

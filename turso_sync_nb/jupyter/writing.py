"""Write a DataFrame of the notebook into a table: ``%turso_sync write``.

Rules of this file: one line says what was written and that it waits; nothing is pushed unasked.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.arguments import Option, showable
from turso_sync_nb.jupyter.rendering import count_of, format_seconds, waiting
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from turso_sync_nb.connection.writing import Mode
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook

_MODES: Final[dict[Mode, str]] = {
    "append": "insert the rows (the default)",
    "upsert": "insert them, or update those with the same primary key",
    "replace": "delete every row of the table first",
}
WRITE_OPTIONS: Final = tuple(Option((f"--{mode}",), "", help_) for mode, help_ in _MODES.items())


def write(notebook: Notebook, arguments: Arguments) -> None:
    """Write a DataFrame into a table."""
    name, table = arguments.words
    modes = [mode for mode in _MODES if arguments.has(mode)]
    if len(modes) > 1:
        raise UsageError(f"write: --{modes[0]} and --{modes[1]} exclude each other", hint="keep one of them")
    frame = _frame(notebook, name)
    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    started_s = time.monotonic()
    count = db.write_frame(frame, table, modes[0] if modes else "append")
    parts = [f"write: {count_of(count, 'row')} into {table}", format_seconds(time.monotonic() - started_s)]
    if pending := db.pending_changes:
        parts.append(waiting(pending))
    if db.in_transaction:
        parts.append("transaction open until COMMIT or ROLLBACK")
    notebook.say(" · ".join(parts))


def _frame(notebook: Notebook, name: str) -> Any:
    """Return the DataFrame that the variable ``name`` holds.

    Raises:
        UsageError: no such variable, or it holds something else.
    """
    frames = [key for key, value in notebook.variables.items() if _is_frame(value) and key[:1] != "_"]
    value = notebook.variables.get(name)
    if _is_frame(value):
        return value
    known = name in notebook.variables
    what = f"it is a {type(value).__name__}, not a DataFrame" if known else "no variable has that name"
    hint = did_you_mean(name, frames) or (f"DataFrames here: {', '.join(frames[:5])}" if frames else "")
    raise UsageError(f"write {showable(name)}: {what}", hint=hint or "make one first")


def _is_frame(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)

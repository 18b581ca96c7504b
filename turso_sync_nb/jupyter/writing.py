"""Write a DataFrame of the notebook into a table: ``%turso_sync write``.

Rules of this file: one line says what was written and that it waits; nothing is pushed unasked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.frames import is_tabular
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.arguments import Option, showable
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.words import count_of, format_seconds, waits_to_be_pushed

if TYPE_CHECKING:
    from turso_sync_nb.connection.writing import Mode
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection

_TABLES: Final = (
    "SELECT name FROM pragma_table_list WHERE type = 'table' "
    "AND name COLLATE NOCASE NOT BETWEEN 'sqlite_' AND 'sqlite_~'"
)

_MODES: Final[dict[Mode, str]] = {
    "append": "insert the rows (the default)",
    "upsert": "insert them, or update those with the same key",
    "replace": "delete every row of the table first",
}
WRITE_OPTIONS: Final = (
    *(Option((f"--{mode}",), "", help_) for mode, help_ in _MODES.items()),
    Option(("--key",), "COLUMNS", "upsert by these columns (a,b), whatever keys the table has"),
    Option(("--create",), "", "make the table, also where the name is close to that of another one"),
)


def write(notebook: Notebook, arguments: Arguments) -> None:
    """Write a DataFrame into a table."""
    name, table = arguments.words
    modes = [mode for mode in _MODES if arguments.has(mode)]
    if len(modes) > 1:
        raise UsageError(f"write: --{modes[0]} and --{modes[1]} exclude each other", hint="keep one of them")
    frame = _frame(notebook, name)
    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    if not arguments.has("create"):
        _check_name(db, table)
    key = arguments.get("key")
    mode: Mode = modes[0] if modes else "append" if key is None else "upsert"
    started_s = time.monotonic()
    count = db.write_frame(frame, table, mode, key=[name.strip() for name in key.split(",")] if key else None)
    parts = [f"write: {count_of(count, 'row')} into {table}", format_seconds(time.monotonic() - started_s)]
    if pending := db.pending_changes:
        parts.append(waits_to_be_pushed(pending))
    if db.in_transaction:
        parts.append("transaction open until COMMIT or ROLLBACK")
    notebook.say(" · ".join(parts))


def _frame(notebook: Notebook, name: str) -> Any:
    """Return the DataFrame that the variable ``name`` holds.

    Raises:
        UsageError: no such variable, or it holds something else.
    """
    frames = [key for key, value in notebook.variables.items() if is_frame_variable(key, value)]
    value = notebook.variables.get(name)
    if is_tabular(value):
        return value
    known = name in notebook.variables
    what = f"it is a {type(value).__name__}, not a DataFrame" if known else "no variable has that name"
    hint = did_you_mean(name, frames) or (f"DataFrames here: {', '.join(frames[:5])}" if frames else "")
    raise UsageError(f"write {showable(name)}: {what}", hint=hint or "make one first")


def _check_name(db: Connection, table: str) -> None:
    """Refuse to make a table whose name is close to that of one that is there.

    Raises:
        UsageError: it is; the hint asks which is meant.
    """
    names = [str(name) for (name,) in db.run(_TABLES).rows]
    if table.lower() not in map(str.lower, names) and (meant := did_you_mean(table, names)):
        raise UsageError(f"write to {table}: there is no such table", hint=f"{meant} --create makes {table}")


def is_frame_variable(name: str, value: object) -> bool:
    """Return whether a variable holds a frame of pandas, polars or Arrow; not those that IPython keeps."""
    return is_tabular(value) and not isinstance(value, type) and not name.startswith("_")

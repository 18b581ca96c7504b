"""Show the widgets of the connection in use.

Rules of this file: nothing but the way from a line to the connection's method, or a cell's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from turso_sync_nb.connection.statements import is_blank
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter.arguments import Option
from turso_sync_nb.jupyter.schema import table_names
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection
    from turso_sync_nb.widgets.dashboard import Dashboard
    from turso_sync_nb.widgets.editor import TableEditor
    from turso_sync_nb.widgets.explore import Explore
    from turso_sync_nb.widgets.page_map import PageMap
    from turso_sync_nb.widgets.review import ReviewWidget


def pages(notebook: Notebook, arguments: Arguments) -> PageMap:
    """Return the page map."""
    return _db(notebook, arguments).page_map()


def dashboard(notebook: Notebook, arguments: Arguments) -> Dashboard:
    """Return the dashboard."""
    db = _db(notebook, arguments)
    return db.dashboard(remote=arguments.has("remote"), pull=arguments.has("pull"))


def explore(notebook: Notebook, arguments: Arguments) -> Explore:
    """Return the tables to look through."""
    return _db(notebook, arguments).explore()


def review(notebook: Notebook, arguments: Arguments) -> ReviewWidget:
    """Return the review."""
    return _db(notebook, arguments).review_widget()


EDIT_OPTIONS: Final = (Option(("--where",), "SQL", "show only rows that meet this condition, in quotes"),)


def edit(notebook: Notebook, arguments: Arguments) -> TableEditor:
    """Return the editor of a table.

    Raises:
        UsageError: there is no such table, and another one has nearly its name.
    """
    db, table = _db(notebook, arguments), arguments.words[0]
    known = table_names(db)
    if table.lower() not in map(str.lower, known) and (guess := did_you_mean(table, known)):
        raise UsageError(f"edit {table}: there is no such table", hint=guess)
    return db.edit(table, arguments.get("where") or "")


def watch(notebook: Notebook, arguments: Arguments) -> object:
    """Return the rows of a query, live: a cell with ``--watch`` on one line.

    Raises:
        UsageError: there is no SQL.
    """
    if is_blank(arguments.rest):
        raise UsageError("watch: no SQL was given", hint="%turso_sync watch SELECT ...")
    watched = replace(arguments, options=arguments.options | {"watch": ""})
    return cells.run(notebook, cells.make_cell(watched, None, arguments.rest))


def _db(notebook: Notebook, arguments: Arguments) -> Connection:
    return notebook.connections.get(arguments.get("on"), notebook.variables).db

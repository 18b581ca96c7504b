"""Dispatch ``%turso_sync`` and ``%%turso_sync`` to subcommands; a failure is one line.

Rules of this file: no thread, no timer, no polling. IPython's own expansion of ``{x}`` and ``$x`` is off,
since it would rewrite SQL; ``arguments`` expands ``{name}`` where a line holds no SQL.
"""

from __future__ import annotations

import atexit
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import Bool, Int

from turso_sync_nb.connection.statements import is_blank
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter.arguments import expanded, parse
from turso_sync_nb.jupyter.configuration import load_settings
from turso_sync_nb.jupyter.connections import Connections
from turso_sync_nb.jupyter.failures import EXPECTED, ensure_line, line_of, mask_secrets
from turso_sync_nb.jupyter.notebook import Notebook
from turso_sync_nb.jupyter.progress import progress_line
from turso_sync_nb.jupyter.rendering import ROWS_SHOWN_DEFAULT
from turso_sync_nb.jupyter.subcommands import details, find, short_help

if TYPE_CHECKING:
    from collections.abc import Mapping


@magics_class
class TursoSyncMagics(Magics):  # type: ignore[misc] # IPython's types do not pass strict
    """The magics of one IPython shell and the connections they opened."""

    rows_shown = Int(
        ROWS_SHOWN_DEFAULT, min=0, help="Most rows that a cell shows; the DataFrame itself has all of them."
    ).tag(config=True)

    rich = Bool(default_value=True, help="Show a result as a table to page through, where widgets run.").tag(
        config=True
    )

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.matcher: Any = None
        """The event that IPython's completer was given."""
        self.connections = Connections()
        self._configure()
        atexit.register(self.connections.close_all)

    def _configure(self) -> None:
        """Take the settings of the files; one that is wrong is said, and left out."""
        try:
            settings = load_settings()
        except UsageError as error:
            print(f"warning: {line_of(error)}", file=sys.stderr)  # noqa: T201 - the error stream
        else:
            configured = self.config.get("TursoSyncMagics", {})
            for name in ("rows_shown", "rich"):
                value = getattr(settings, name)
                if value is not None and name not in configured:
                    setattr(self, name, value)

    @no_var_expand  # type: ignore[untyped-decorator]
    @needs_local_scope  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def turso_sync(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Any:
        """Query a remote Turso database through a local replica; %turso_sync help says how."""
        variables = {**self.shell.user_ns, **(local_ns or {})}
        try:
            return self._run(line, cell, variables)
        except EXPECTED as error:
            ensure_line(error)
            raise
        except BaseException as error:
            mask_secrets(error, line, variables, self.shell)
            raise

    def _run(self, line: str, cell: str | None, variables: Mapping[str, Any]) -> Any:
        notebook = Notebook(self.shell, variables, self.connections, self.rows_shown, self.rich)
        if cell is None:
            return _run_line(notebook, line)
        head, mark, rest = line.partition("<<")
        # NAME << SELECT .., as other SQL magics have it; what begins with -- is options
        if rest.strip() and not rest.strip().startswith("--"):
            line, cell = f"{head}{mark}", f"{rest}\n{cell}"
        elif is_blank(cell) and (named := _SQL_OF_LINE.search(line)):  # %%turso_sync $query
            line, cell = line[: named.start()], named[0]
        arguments = expanded(parse(cells.CELL, line), variables)
        with progress_line("query"):
            return cells.run(notebook, cells.cell_of(arguments, cell))

    def close(self) -> None:
        """Close every connection and forget about the end of the process; may be repeated."""
        atexit.unregister(self.connections.close_all)
        self.connections.close_all()


_SQL_OF_LINE: Final = re.compile(r"(?:^|(?<=\s))(?:\$[^\W\d]\w*|\{\{\s*[^\W\d]\w*\s*\}\})\s*;?\s*$")


def _run_line(notebook: Notebook, line: str) -> object | None:
    name, *others = line.split(maxsplit=1)[:2] or [""]
    if not name:
        notebook.say_lines(short_help())
        return None
    if others and others[0].startswith("<<"):  # NAME << SELECT ..
        name, others = "sql", [line]
    subcommand = find(name)
    if others and others[0].strip() in ("--help", "-h"):
        notebook.say_lines(details(subcommand))
        return None
    arguments = subcommand.parse(others[0] if others else "")
    if not subcommand.takes_sql:
        arguments = expanded(arguments, notebook.variables)
    with progress_line(name):
        return subcommand.run(notebook, arguments)

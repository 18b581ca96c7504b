"""``%turso_sync alias sql``: the magics under a second name, which editors colour as SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import needs_local_scope, no_var_expand

from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook

_KINDS = ("line", "cell")


def alias(notebook: Notebook, arguments: Arguments) -> None:
    """Run SQL under ``%NAME`` and ``%%NAME`` as ``%turso_sync sql`` and ``%%turso_sync`` do.

    Raises:
        UsageError: another extension's magic has the name, or it is none.
    """
    name = arguments.word(0) or "sql"
    if not name.isidentifier() or name == "turso_sync":
        raise UsageError(f"make the alias {name[:60]!r}: no name for a magic", hint="%turso_sync alias sql")
    shell = notebook.shell
    for kind in _KINDS:
        known = shell.find_magic(name, kind)
        if known is not None and not hasattr(known, "is_turso_sync_alias"):
            raise UsageError(
                f"make the alias {name}: %{name} is another extension's magic",
                hint=f"choose another name: %turso_sync alias t{name}",
            )
    shell.register_magic_function(_aliased(shell), "line_cell", name)
    notebook.say(f"%{name} SQL and %%{name} run SQL here, as %turso_sync sql and %%turso_sync do")


def remove_aliases(shell: Any) -> None:
    """Take every alias away."""
    for kind in _KINDS:
        magics = shell.magics_manager.magics[kind]
        for name in [name for name, known in magics.items() if hasattr(known, "is_turso_sync_alias")]:
            del magics[name]


def _aliased(shell: Any) -> Any:
    @no_var_expand  # type: ignore[untyped-decorator]
    @needs_local_scope  # type: ignore[untyped-decorator]
    def run(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Run SQL on the replica in use; ``%turso_sync help sql`` has the options."""
        own = shell.find_magic("turso_sync")
        return own(f"sql {line}" if cell is None else line, cell, local_ns)

    run.is_turso_sync_alias = True
    return run

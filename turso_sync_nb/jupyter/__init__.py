"""The notebook layer, imported by ``%load_ext turso_sync_nb`` alone.

| file | responsibility |
| --- | --- |
| ``magics`` | ``%turso_sync`` and ``%%turso_sync``: one IPython shell's magics |
| ``subcommands`` | the table of subcommands, help |
| ``connecting`` | connect, use, close |
| ``describing`` | status, tables, schema, stats |
| ``syncing`` | pull, push, sync, checkpoint, waiting changes |
| ``offline``, ``doctor`` | tables taken along; what a replica needs |
| ``cells`` | a cell of SQL: parse, run, name, footer |
| ``schema`` | what the database holds, from SQLite's own copy of the schema |
| ``connections`` | connections by name |
| ``parameters`` | ``:name`` from the notebook's variables |
| ``identifiers`` | ``{name}`` as quoted identifiers, where asked for |
| ``arguments`` | options and words of a line |
| ``notebook`` | the shell as the other files see it: variables and output |
| ``progress`` | one line about long work |
| ``rendering`` | tables, lines, footer as MIME bundles, bounded in size |
| ``readable`` | changes and conflicts in a reader's words |
| ``result_rows`` | the rows that a result's table asks for |
| ``places`` | paths for readers: no user's name |
| ``completion`` | what Tab offers |
| ``configuration`` | settings from files |
| ``tokens`` | where a token comes from |
| ``writing`` | frames into tables |
| ``profiling`` | profile, explain |
| ``widgets`` | the widgets, by name |
| ``failures`` | errors as one line with the next step |
| ``error_places`` | the line and the caret of an SQL error |
| ``displays`` | a user's own choice of how frames are shown |
| ``alias`` | ``%sql`` and ``%%sql`` |
| ``suggestions`` | "did you mean" |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from IPython import get_ipython

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.alias import remove_aliases
from turso_sync_nb.jupyter.completion import matcher_of
from turso_sync_nb.jupyter.magics import TursoSyncMagics

if TYPE_CHECKING:
    from turso_sync_nb.public_connection import Connection

_MAGIC: Final = "turso_sync"


def load_ipython_extension(shell: Any) -> None:
    """Register the magics in ``shell``; doing it again changes nothing."""
    if _loaded(shell) is None:
        magics = TursoSyncMagics(shell)
        magics.matcher = matcher_of(magics)
        shell.register_magics(magics)
        shell.Completer.custom_matchers.append(magics.matcher)


def unload_ipython_extension(shell: Any) -> None:
    """Close the connections that the magics opened, and take the magics away."""
    magics = _loaded(shell)
    if magics is None:
        return
    try:
        magics.close()
    finally:
        remove_aliases(shell)
        shell.Completer.custom_matchers.remove(magics.matcher)
        del shell.magics_manager.registry[TursoSyncMagics.__name__]
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop(_MAGIC, None)
        shell.configurables.remove(magics)


def connection(name: str | None = None) -> Connection:
    """Return the connection that ``%turso_sync connect --as NAME`` opened (None: the one in use).

    Raises:
        UsageError: there is none of that name, or none in use.
    """
    shell = get_ipython()
    magics = _loaded(shell) if shell is not None else None
    if magics is None:
        raise UsageError("find a connection: the magics are not loaded", hint="%load_ext turso_sync_nb")
    return magics.connections.get(name, {}).db


def _loaded(shell: Any) -> TursoSyncMagics | None:
    magics: TursoSyncMagics | None = shell.magics_manager.registry.get(TursoSyncMagics.__name__)
    return magics

"""Describe without the network: status, tables, schema, stats.

Rules of this file: results are DataFrames, so that a notebook can go on with them; paths are shown relative
to the notebook or to the home folder, URLs without secrets.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.jupyter import schema as schema_of
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.jupyter.readable import plainly
from turso_sync_nb.units import PAGE_SIZE, format_ago, format_share, format_size
from turso_sync_nb.words import Figure

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.connections import Named
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection


def status(notebook: Notebook, arguments: Arguments) -> pd.DataFrame | None:  # noqa: ARG001 - a subcommand's shape
    """Return a row for each open connection; say so when there is none."""
    import pandas as pd

    rows = [
        _status_row(named, notebook.connections.current)
        for named in notebook.connections
        if not named.db.closed
    ]
    if not rows:
        notebook.say("no connection is open: %turso_sync connect PATH [URL] --as NAME")
        return None
    return notebook.shown(pd.DataFrame(rows))


def _status_row(named: Named, current: str | None) -> dict[str, Any]:
    stats = named.db.stats()
    return {
        "connection": named.name,
        "in use": "yes" if named.name == current else "",
        "changes waiting": stats.cdc_operations,
        "conflicts": named.db.conflicts_seen,
        "transaction": "open" if named.db.in_transaction else "",
        "network": _network(named.db),
        "last pull": format_ago(stats.last_pull_unix_time),
        "here": format_share(stats.pages_resident, stats.pages_total),
        "size": format_size(stats.pages_total * PAGE_SIZE),
        "replica": shown_path(named.db.path),
        "remote": named.db.remote_url or "none",
    }


def _network(db: Connection) -> str:
    """Return whether the remote answers, as far as it was asked: nothing is asked for it."""
    if db.remote_url is None:
        return "no remote"
    answered, silent_since = db.remote_answered
    if silent_since is not None:
        return f"offline since {format_ago(silent_since)}"
    return "not asked yet" if answered is None else f"online, asked {format_ago(answered)}"


def tables(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return tables and views of the database."""
    import pandas as pd

    frame = schema_of.tables(_db(notebook, arguments))
    seen = plainly(frame.drop(columns="counted"))
    counts = zip(frame["rows"], frame["counted"].fillna(value=True), strict=True)
    told = [
        "" if pd.isna(rows) else Figure(f"{int(rows):,}" if counted else f"about {int(rows):,}")
        for rows, counted in counts
    ]
    seen["rows"] = pd.Series(told, dtype=object)
    seen["size"] = pd.Series(map(Figure, seen["size"]), dtype=object)
    return notebook.shown(frame, seen=seen)


def schema(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return the columns of one table; its indexes and foreign keys are shown under them."""
    frame, lines = schema_of.columns(_db(notebook, arguments), arguments.words[0])
    return notebook.shown(frame, lines, plainly(frame))


def stats(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return the replica's figures, one a row: named as in ``db.stats()``, the value, and how it reads."""
    import pandas as pd

    figures = dataclasses.asdict(_db(notebook, arguments).stats())
    values = pd.Series(list(figures.values()), dtype=object)
    reads_as = [_read_as(name, value) for name, value in figures.items()]
    frame = pd.DataFrame({"figure": list(figures), "value": values, "reads as": reads_as})
    said = [(_FIGURES[name], text) for name, text in zip(figures, reads_as, strict=True) if name in _FIGURES]
    return notebook.shown(frame, seen=pd.DataFrame(said, columns=["figure", "value"]))


_FIGURES: Final = {
    "cdc_operations": "changes waiting",
    "last_pull_unix_time": "last pull",
    "last_push_unix_time": "last push",
    "pages_total": "size",
    "pages_resident": "of it here",
    "network_received_bytes": "downloaded",
    "network_sent_bytes": "uploaded",
    "network_requests": "requests",
    "main_wal_size": "in the log, not yet in the database file",
    "revert_wal_size": "kept so that a pull can undo",
}
"""Names that figures of ``db.stats()`` have on a screen; a revision is of use to programs."""


def _read_as(name: str, value: Any) -> str:
    """Return a figure of ``db.stats()`` for a reader, by the unit that its name ends with."""
    if name.endswith("_unix_time"):
        return format_ago(value)
    if name.endswith(("_size", "_bytes")):
        return format_size(value)
    if name.startswith("pages_"):
        return format_size(value * PAGE_SIZE)
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _db(notebook: Notebook, arguments: Arguments) -> Connection:
    return notebook.connections.get(arguments.get("on"), notebook.variables).db

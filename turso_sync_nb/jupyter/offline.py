"""Take tables along before the network is gone: the ``offline`` subcommand, and what an offline query lacks.

Rules of this file: nothing is downloaded but what is named, its indexes among it; sizes are told beforehand.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.connection.statements import split
from turso_sync_nb.errors import Error, UsageError
from turso_sync_nb.jupyter.arguments import Option, showable
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.progress import WORKING, report_progress
from turso_sync_nb.units import PAGE_SIZE, format_share_bar, format_size
from turso_sync_nb.words import Figure

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.engine.table_sizes import TableSize
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection

OFFLINE_OPTIONS: Final = (Option(("--all",), "", "download everything that is not here"),)

TABLES_MAX: Final = 1_000
"""Tables that one line names."""

ASKED_EVERY_S: Final = 0.2
"""Seconds between two looks at a hydration that is waited for; Ctrl-C acts within them."""

NAMED_MAX: Final = 3
"""Tables that an example names."""

_TREES: Final = "SELECT name FROM main.sqlite_schema WHERE rootpage > 0 AND tbl_name = ? COLLATE NOCASE"


def offline(notebook: Notebook, arguments: Arguments) -> pd.DataFrame | None:
    """Return what is missing, by table; download the tables that are named, or everything."""
    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    if arguments.has("all"):
        if arguments.words:
            raise UsageError("offline: tables and --all were given", hint="keep one of them")
        _everything(notebook, db)
    elif arguments.words:
        _named(notebook, db, arguments.words)
    else:
        return _missing(notebook, db)
    return None


def _missing(notebook: Notebook, db: Connection) -> pd.DataFrame:
    import pandas as pd

    found = sorted(db.table_sizes(), key=lambda each: -_absent(each))
    rows = [
        {
            "table": each.name,
            "size": _about(each, each.total_bytes),
            "here": format_share_bar(each.resident_bytes, each.total_bytes) if each.total_bytes else "",
            "missing": _about(each, _absent(each)) if each.total_bytes else "not known",
        }
        for each in found
    ]
    return notebook.shown(
        pd.DataFrame(rows, columns=["table", "size", "here", "missing"], dtype=object), [_sentence(db, found)]
    )


def _sentence(db: Connection, found: list[TableSize]) -> str:
    stats = db.stats()
    absent = stats.pages_total - stats.pages_resident
    if not absent:
        return "everything is here: all of it can be read offline"
    example = " ".join(each.name for each in found[:NAMED_MAX] if _absent(each) and each.name.isidentifier())
    return (
        f"{format_size(absent * PAGE_SIZE)} in all are not here, indexes among it · "
        f"%turso_sync offline {example or 'TABLE'} downloads tables, --all everything"
    )


def _named(notebook: Notebook, db: Connection, names: tuple[str, ...]) -> None:
    known = {each.name.lower(): each.name for each in db.table_sizes(looks=True)}
    for name in names:
        if name.lower() not in known:
            raise UsageError(
                f"offline: there is no table {showable(name)}",
                hint=did_you_mean(name, known.values()) or "%turso_sync offline lists them",
            )
    pages = 0
    for name in names:
        for (tree,) in db.run(_TREES, (name,)).rows:
            pages += db.fetch_owned(tree).pages
    chosen = ", ".join(known[name.lower()] for name in names)
    came = f"downloaded {format_size(pages * PAGE_SIZE)}" if pages else "nothing was missing"
    notebook.say(f"offline: {came} · {chosen} can be read and edited offline, as of the last pull")


def _everything(notebook: Notebook, db: Connection) -> None:
    hydration = db.hydrate()
    before = hydration.pages_left
    try:
        while not hydration.wait(ASKED_EVERY_S):
            report_progress(f"{format_size(hydration.pages_left * PAGE_SIZE)} to come")
            report_progress(WORKING)
    except KeyboardInterrupt:
        hydration.cancel()
        raise
    notebook.say(
        f"offline: downloaded {format_size(before * PAGE_SIZE)} · everything can be read and edited offline"
    )


def missing_for(db: Connection, sql: str) -> str:
    """Return which tables a cell's queries lack here, and how much; empty if nothing tells."""
    lacking: dict[str, int | None] = {}
    with suppress(apsw.Error, Error):
        for statement in split(sql):
            lacking |= db.missing_for(statement)
    told = [
        f"{name} ({format_size(size)} missing)" if size else f"{name} (how much is missing is not known)"
        for name, size in lacking.items()
    ]
    if not told:
        return ""
    names = " ".join(name for name in lacking if name.isidentifier())
    return (
        f"not all here: {', '.join(told)}; %turso_sync offline {names or 'TABLE'} takes it along beforehand"
    )


def _absent(size: TableSize) -> int:
    return size.missing_bytes or 0


def _about(size: TableSize, length: int | None) -> str:
    if length is None:
        return "not known"
    return Figure(format_size(length) if size.is_counted or not length else f"about {format_size(length)}")

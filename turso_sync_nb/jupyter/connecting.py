"""Open, choose and close connections: subcommands.

Rules of this file: a notebook never starts a large download unasked, so ``connect`` takes a prefix and lets
pages come later, unless told ``--whole``. A token is read from the environment at each request and is in no
variable, message or output of ours.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.api import LOG, connect, holds_secret, is_in_clear
from turso_sync_nb.errors import RemoteRefusedError, ReplicaError, UsageError
from turso_sync_nb.jupyter.arguments import TOKEN_OPTION, Arguments, Option
from turso_sync_nb.jupyter.configuration import load_settings
from turso_sync_nb.jupyter.connections import Named
from turso_sync_nb.jupyter.failures import render_as
from turso_sync_nb.jupyter.places import shown_path, without_home
from turso_sync_nb.jupyter.tokens import VARIABLE, asked_for, token_of
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap, PartialSyncQueryBootstrap
from turso_sync_nb.units import PAGE_SIZE, format_share, format_size, parse_size
from turso_sync_nb.words import count_of, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection
    from turso_sync_nb.secret import Secret

PREFIX_DEFAULT_BYTES: Final = 128 * 1024
"""Bytes that a replica begins with unless told otherwise: schema and statistics, in one quick answer."""

CONNECT_OPTIONS: Final = (
    Option(("--as",), "NAME", "call the connection NAME (default: the file's name)"),
    Option(("--whole",), "", "download the whole database now"),
    Option(("--prefix",), "SIZE", "begin with the first SIZE of the file (default: 128KiB)"),
    Option(("--bootstrap-query",), "SQL", "begin with what SQL reads on the remote"),
    Option(("--max-resident",), "SIZE", "keep at most SIZE of it here; what was not read lately goes"),
    Option(("--read-only",), "", "read one that another kernel has, or that cannot be written, as it is now"),
    Option(("--parse-dates",), "", "days and moments of declared columns are datetime64 in frames"),
    Option(("--token-env",), "VARIABLE", f"read the token from this variable (default: {VARIABLE})"),
    Option((TOKEN_OPTION,), "TOKEN", "the token itself; it is saved in the notebook", is_secret=True),
)
AT_OPTIONS: Final = (Option(("--as",), "NAME", "call the connection NAME (default: the other's, and _at)"),)
CLOSE_OPTIONS: Final = (Option(("--all",), "", "close every connection"),)

_STOPPED_HINT: Final = "what has arrived is kept, run the cell again to go on"

_STRATEGIES: Final = ("whole", "prefix", "bootstrap_query")


def connect_replica(notebook: Notebook, arguments: Arguments) -> None:
    """Open a replica under a name and use it; one line says what is here now.

    Connecting again under a name opens anew and closes the connection that had the name, so a cell can be
    run again; a transaction that was open there is rolled back, and the line says so.
    """
    path, url, name, arguments = _configured(arguments)
    options = {
        "partial_sync": _partial(arguments),
        "max_resident": arguments.get("max_resident"),
        "read_only": arguments.has("read_only"),
    }
    token = token_of(notebook, arguments, url)
    if url is not None and holds_secret(url):
        notebook.warn(
            f"the URL holds a token or password, which is now saved in this notebook; remove it and set "
            f"{VARIABLE}, or use --token-env"
        )
    if url is not None and token is not None and is_in_clear(url):
        notebook.warn("the token goes to this address unencrypted: use https:// or libsql://")
    lost = _close_former(notebook, name)
    started_s = time.monotonic()
    try:
        db = _connect(notebook, path, url, token, **options)
    except KeyboardInterrupt as error:
        render_as(error, f"KeyboardInterrupt: stopped; {_STOPPED_HINT}")
        raise
    seconds = time.monotonic() - started_s
    db.parse_dates = arguments.has("parse_dates")
    notebook.connections.put(Named(name, db))
    notebook.say(_connected(name, db, seconds, arguments) + lost)


def _configured(arguments: Arguments) -> tuple[str, str | None, str, Arguments]:
    """Return path, URL, name and options: of the line, or of the connection that a file has by that name."""
    path, url = os.path.expanduser(arguments.words[0]), arguments.word(1)  # noqa: PTH111 - leaves ~ without a home
    name = arguments.get("as")
    configured = load_settings().connections.get(path) if url is None else None
    if configured is None:
        return path, url, name or _default_name(path), arguments
    options = configured.options()
    if any(arguments.has(key) for key in _STRATEGIES):
        options = {key: value for key, value in options.items() if key not in _STRATEGIES}
    options |= arguments.options
    return configured.path or path, configured.url, name or path, replace(arguments, options=options)


def _connect(
    notebook: Notebook, path: str, url: str | None, token: Secret | None, **options: Any
) -> Connection:
    """Connect; without a token the user is asked for one when the remote wants it."""
    with _unlogged():
        try:
            return connect(path, url, auth_token=token, **options)
        except RemoteRefusedError as error:
            if token is not None or error.status != HTTPStatus.UNAUTHORIZED:
                raise
            given = asked_for(notebook, url)
            if given is None:
                raise
        return connect(path, url, auth_token=given, **options)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep out of the log what the line of ``connect`` will say."""
    former, LOG.disabled = LOG.disabled, True
    try:
        yield
    finally:
        LOG.disabled = former


def at(notebook: Notebook, arguments: Arguments) -> None:
    """Open a connection that reads the remote at one revision, and use it; the others stay open."""
    former = notebook.connections.get(arguments.get("on"), notebook.variables)
    revision = arguments.words[0]
    db = former.db.at(revision)
    name = arguments.get("as") or f"{former.name}_at"
    _close_former(notebook, name)
    notebook.connections.put(Named(name, db))
    back = f"%turso_sync use {former.name} goes back"
    notebook.say(f"using {name}, which reads {former.name} at {revision} · {back}")


def use(notebook: Notebook, arguments: Arguments) -> None:
    """Make a connection the one for cells: an open one, or one that a variable holds."""
    named = notebook.connections.use(arguments.words[0], notebook.variables)
    notebook.say(f"using {named.name} · {shown_path(named.db.path)} · {named.db.remote_url or 'no remote'}")


def close(notebook: Notebook, arguments: Arguments) -> None:
    """Close one connection, or all; an open transaction is rolled back, and the line says so."""
    connections = notebook.connections
    if arguments.has("all"):
        if arguments.words:
            raise UsageError("close: a name and --all were given", hint="keep one of them")
        held = [named.name for named in connections if not named.owned]
        count = len(connections) - len(held)
        connections.close_all()
        kept = "".join(f"; forgot {name}, its variable keeps it open" for name in held)
        notebook.say(f"closed {count_of(count, 'connection')}{kept}")
        return
    named = connections.get(arguments.word(0), {})
    lost = _lost(named.db)
    connections.close(named.name)
    notebook.say(
        f"closed {named.name}{lost}" if named.owned else f"forgot {named.name}; its variable keeps it open"
    )


def _connected(name: str, db: Connection, seconds: float, arguments: Arguments) -> str:
    stats = db.stats()
    size = format_size(stats.pages_total * PAGE_SIZE)
    share = format_share(stats.pages_resident, stats.pages_total)
    here = f"{'all' if stats.pages_resident == stats.pages_total else share} of {size} is here"
    asked = db.bootstrap_report is not None
    way = "connected {} to {}" if asked else "opened {}" if db.opening_note else "opened {}, a replica of {}"
    parts = [
        way.format(name, db.remote_url or "no remote"),
        here,
        format_seconds(seconds),
    ]
    report = db.bootstrap_report
    if arguments.has("read_only"):
        parts.append("read only, as it is now: connect again for what is new")
    elif db.opening_note:
        parts.append(db.opening_note)
    elif report is None:
        unused = [_spelled(key) for key in _STRATEGIES if arguments.has(key)]
        parts.append(
            f"it was here already, so {unused[0]} changed nothing" if unused else "the remote was not asked"
        )
    if report is not None:
        parts.append(f"downloaded {format_size(report.received_bytes)}")
        parts += ["went on where it had stopped"] if report.resumed else []
        parts += [report.note] if report.note else []
    return " · ".join(parts)


def _close_former(notebook: Notebook, name: str) -> str:
    """Close the connection that has this name; return what to say about its transaction, or its folder."""
    former = notebook.connections.known(name)
    if former is None:
        return ""
    lost = _lost(former.db) if former.owned else ""
    try:
        notebook.connections.close(name)
    except ReplicaError as error:  # its folder is gone: it is forgotten, and the new one is opened
        return f"{lost} · the former connection ended: {without_home(error.args[0])}"
    return lost


def _lost(db: Connection) -> str:
    return " · its open transaction was rolled back" if db.in_transaction else ""


def _default_name(path: str) -> str:
    if path == ":memory:":
        return "memory"
    return Path(path).stem or path


def _partial(arguments: Arguments) -> PartialSyncOpts | None:
    """Return how much to fetch at the start; None is the whole database."""
    given = [key for key in _STRATEGIES if arguments.has(key)]
    if len(given) > 1:
        spelled = " and ".join(map(_spelled, given))
        raise UsageError(f"connect: {spelled} exclude each other", hint="keep one of them")
    if arguments.has("whole"):
        return None
    if query := arguments.get("bootstrap_query"):
        return PartialSyncOpts(PartialSyncQueryBootstrap(query))
    prefix = arguments.get("prefix")
    length = PREFIX_DEFAULT_BYTES if prefix is None else parse_size(prefix)
    return PartialSyncOpts(PartialSyncPrefixBootstrap(length))


def _spelled(key: str) -> str:
    return "--" + key.replace("_", "-")

"""Synchronize (pull, push, sync, checkpoint), show and revise waiting changes: subcommands.

Rules of this file: a verb says in one line what it did; pushing and pulling inside an open transaction is
refused with that transaction named. Nothing is pushed or pulled unasked.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import Error, RemoteUnreachableError, UsageError
from turso_sync_nb.jupyter.arguments import Option, showable
from turso_sync_nb.jupyter.notebook import check_variable_name
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.jupyter.readable import (
    changes_seen,
    conflicts_seen,
    differences_seen,
    history_seen,
    overwritten,
    row_of,
)
from turso_sync_nb.units import PAGE_SIZE, format_size
from turso_sync_nb.words import count_of, format_seconds, waits, waits_to_be_pushed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from turso_sync_nb.engine.reports import PullReport, PushReport
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection

LINES_SHOWN: Final = 20
"""Lines of a script that are shown."""

REPLAY_OPTIONS: Final = (Option(("-o", "--out"), "NAME", "put the script into this variable"),)
VERIFY_OPTIONS: Final = (
    Option(("--all",), "", "compare all that is here, not a sample"),
    Option(("--repair",), "", "fetch again what differs"),
)
PULL_OPTIONS: Final = (
    Option(("--same-database",), "", "take the remote for this database, whatever it lost"),
)
PUSH_OPTIONS: Final = (Option(("--skip-refused",), "", "go past transactions that the remote refused"),)


def pull(notebook: Notebook, arguments: Arguments) -> None:
    """Bring what is new on the remote."""
    db = _db(notebook, arguments)
    notebook.say_lines(_pulled_lines(db.pull(same_database=arguments.has("same_database")), db))


def push(notebook: Notebook, arguments: Arguments) -> None:
    """Send the changes made here."""
    db = _db(notebook, arguments)
    with _all_kept(db):
        report = db.push(skip_refused=arguments.has("skip_refused"))
    notebook.say(_pushed(report, db))


@contextmanager
def _all_kept(db: Connection) -> Iterator[None]:
    """Have an error about a remote that cannot be reached say that what waits is kept."""
    try:
        yield
    except RemoteUnreachableError as error:
        if count := db.pending_changes:
            error.hint = f"{error.hint}; nothing is lost, {waits(count)} here"
        raise


def sync(notebook: Notebook, arguments: Arguments) -> None:
    """Push, then pull."""
    db = _db(notebook, arguments)
    with _all_kept(db):
        pushed, pulled = db.sync()
    notebook.say_lines([_pushed(pushed, db), *_pulled_lines(pulled, db)])


def verify(notebook: Notebook, arguments: Arguments) -> None:
    """Compare with the remote."""
    chosen = {"sample": None} if arguments.has("all") else {}
    report = _db(notebook, arguments).verify(arguments.has("repair"), **chosen)
    found = len(report.differences) + report.more
    parts = [
        f"verify: {count_of(found, 'difference') if found else 'nothing differs'}",
        f"{_size(report.pages)} of {_size(report.pages_total)} compared",
        *([f"{count_of(report.rows, 'row')} in {count_of(report.tables, 'table')}"] if report.tables else []),
        *([f"{_size(report.repaired)} fetched again"] if report.repaired else []),
        f"downloaded {format_size(report.received_bytes)} in {format_seconds(report.seconds)}",
    ]
    lines = [" · ".join(parts)]
    for one in report.differences[:LINES_SHOWN]:
        where = f"{one.table} {row_of(one.key)}".strip()
        lines.append(f"  {where}: {one.detail}" if where else f"  {one.detail}")
    lines += [f"  not compared: {text}" for text in report.not_compared]
    notebook.say_lines(lines)


def checkpoint(notebook: Notebook, arguments: Arguments) -> None:
    """Move the log into the database file."""
    db = _db(notebook, arguments)
    report = db.checkpoint()
    stats = db.stats()
    notebook.say(
        f"checkpoint: {_size(report.pages)} moved from the log into the database file in "
        f"{format_seconds(report.seconds)} · {format_size(stats.main_wal_size)} left in the log · "
        f"{format_size(stats.revert_wal_size)} kept so that a pull can undo it"
    )


def changes(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return what a push would send, and what was refused."""
    frame = _db(notebook, arguments).changes()
    waiting = frame.loc[frame["state"].isin(["pending", "refused"])]
    transactions = count_of(waiting["transaction"].nunique(), "transaction")
    note = waits_to_be_pushed(len(waiting)) + (f" in {transactions}" if len(waiting) else "")
    return notebook.shown(frame, [note], changes_seen(frame))


def diff(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return what a push would send and what a pull would change, or what two revisions differ in."""
    if arguments.words:
        frame = _db(notebook, arguments).diff(arguments.words[0], arguments.word(1))
        return notebook.shown(frame, [count_of(len(frame), "difference")], differences_seen(frame))
    db = _db(notebook, arguments)
    try:
        frame = db.diff()
    except RemoteUnreachableError as error:
        frame, said = db.diff_offline(), f"offline: {error.args[0]}"
        notes = [f"push: {count_of(len(frame), 'difference')} · what a pull would bring is not known", said]
        return notebook.shown(frame, notes, differences_seen(frame))
    counts = [f"{by}: {count_of(int((frame['by'] == by).sum()), 'difference')}" for by in ("push", "pull")]
    if both := int(frame.loc[frame["by"] == "pull", "meets"].sum()):
        counts.append(f"{count_of(both, 'row')} changed on both sides")
    if pages := frame.attrs["unplaced_pages"]:
        counts.append(f"{_size(pages)} of long values changed in rows that are not here")
    return notebook.shown(frame, [" · ".join(counts)], differences_seen(frame))


def arrived(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return what the last pull changed here, by table, or the rows of one table."""
    db, table = _db(notebook, arguments), arguments.word(0)
    frame = db.pulled() if table is None else db.pulled_rows(table)
    overwrote = count_of(int(frame["overwrote"].sum()), "row")
    seen = None if table is None else differences_seen(frame)
    return notebook.shown(frame, [f"{overwrote} overwrote what had been pushed from here"], seen)


def history(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return the revisions at which the replica was."""
    frame = _db(notebook, arguments).history()
    return notebook.shown(frame, (), history_seen(frame))


def conflicts(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return the conflicts seen so far."""
    frame = _db(notebook, arguments).conflicts()
    return notebook.shown(
        frame, [count_of(len(frame), "conflict") if len(frame) else "no conflicts"], conflicts_seen(frame)
    )


def replay(notebook: Notebook, arguments: Arguments) -> None:
    """Show what this session wrote as an SQL script, or put it into a file.

    Raises:
        UsageError: the file is there, or cannot be written.
    """
    text = _db(notebook, arguments).script()
    lines = text.splitlines()
    count = lines.count("BEGIN;")
    said = f"replay: {count_of(count, 'transaction')} in {count_of(len(lines), 'line')}"
    if name := arguments.get("out"):
        notebook.assign(check_variable_name(name), text)
        said += f" · in {name}"
    if target := arguments.word(0):
        path = Path(target).expanduser()
        try:
            with path.open("x", encoding="utf-8", errors="surrogatepass") as file:
                file.write(text)
        except OSError as error:
            reason = "it is there already" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"write {shown_path(path)}: {reason}", hint="name a new file") from error
        said += f" · in {shown_path(path)}"
    elif len(lines) > LINES_SHOWN:
        said += f" · showing {LINES_SHOWN}: %turso_sync replay FILE.sql puts all of it into a file"
    notebook.say_lines([*([] if target or name else lines[:LINES_SHOWN]), said])


def skip(notebook: Notebook, arguments: Arguments) -> None:
    """Give up a transaction."""
    number = _number(arguments)
    _db(notebook, arguments).skip(number)
    notebook.say(
        f"skip: transaction {number} is undone here and will not be pushed (retry {number} takes it up)"
    )


def undo(notebook: Notebook, arguments: Arguments) -> None:
    """Undo a transaction that waits or was pushed."""
    number = _number(arguments)
    db = _db(notebook, arguments)
    rows = db.undo(number)
    left = f" · {waits_to_be_pushed(db.pending_changes)}" if db.pending_changes else ""
    notebook.say(f"undo: transaction {number} is undone here, {count_of(rows, 'row')}{left}")


def retry(notebook: Notebook, arguments: Arguments) -> None:
    """Take a transaction up again."""
    number = _number(arguments)
    _db(notebook, arguments).retry(number)
    notebook.say(f"retry: transaction {number} is done here again and waits to be pushed")


def _number(arguments: Arguments) -> int:
    word = arguments.words[0]
    if not word.isdecimal():
        raise UsageError(
            f"find transaction {showable(word)}: not a number", hint="%turso_sync changes lists them"
        )
    return int(word)


def _size(pages: int) -> str:
    return format_size(pages * PAGE_SIZE)


def _db(notebook: Notebook, arguments: Arguments) -> Connection:
    return notebook.connections.get(arguments.get("on"), notebook.variables).db


def _pulled_lines(report: PullReport, db: Connection) -> list[str]:
    """Return a line about a pull, and what others wrote over of this notebook's work."""
    lines = [_pulled(report)]
    if report:
        with suppress(Error):  # what cannot be told without fetching is not told here
            lines += overwritten(db)
    return lines


def _pulled(report: PullReport) -> str:
    if not report:
        parts = ["pull: nothing new"]
    else:
        parts = ["pull: now up to date"]
        if report.replayed:
            parts.append(f"{count_of(report.replayed, 'transaction')} of yours kept on top")
    if report.set_aside:
        does = "does" if report.set_aside == 1 else "do"
        parts.append(f"{report.set_aside} of yours {does} not fit what was pulled: %turso_sync changes")
    if report.conflicts:
        parts.append(f"{count_of(report.conflicts, 'conflict')}: %turso_sync conflicts")
    return _line(parts, report)


def _pushed(report: PushReport, db: Connection) -> str:
    if not report:
        parts = ["push: nothing to send"]
    else:
        transactions = count_of(report.transactions, "transaction")
        parts = [f"push: {count_of(report.changes, 'change')} in {transactions} sent"]
    if report.skipped:
        parts.append(f"{count_of(report.skipped, 'change')} skipped by the transform")
    if report.conflicts:
        parts.append(f"{count_of(report.conflicts, 'conflict')}: %turso_sync conflicts")
    if left := db.pending_changes:
        parts.append(f"{waits_to_be_pushed(left)}: %turso_sync changes")
    return _line(parts, report)


def _line(parts: list[str], report: PullReport | PushReport) -> str:
    parts.append(format_seconds(report.seconds))
    if report.sent_bytes + report.received_bytes:
        way, size = (
            ("downloaded", report.received_bytes)
            if report.received_bytes >= report.sent_bytes
            else ("uploaded", report.sent_bytes)
        )
        parts.append(f"{way} {format_size(size)} in {count_of(report.requests, 'request')}")
    return " · ".join([*parts, report.note] if report.note else parts)

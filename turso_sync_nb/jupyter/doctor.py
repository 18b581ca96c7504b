"""Check what a replica needs, and say what to do about each thing that is missing: ``%turso_sync doctor``.

Rules of this file: a check is one function of :class:`Patient` that returns what it found, or raises
:class:`FindingError` with the remedy; no check changes anything. The remote is asked one question.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.errors import SyncError
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.units import format_size
from turso_sync_nb.version import VERSION
from turso_sync_nb.words import waits_to_be_pushed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection

FREE_BYTES_MIN: Final = 200 * 1024 * 1024
"""Free bytes of a disk below which a pull may fail: it needs room for the pages that changed."""

CLOCK_SECONDS_MAX: Final = 120
"""Seconds by which files may be newer than now: file systems on a network run a little ahead."""


class FindingError(Exception):
    """Something is wrong; ``remedy`` says what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.remedy = remedy


@dataclass(frozen=True)
class Patient:
    """The notebook that is checked, and its connection in use, or None."""

    notebook: Notebook
    db: Connection | None


def doctor(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return one row for each check: its name, the finding, and what to do."""
    import pandas as pd

    wanted = arguments.get("on")
    has_any = wanted is not None or any(not named.db.closed for named in notebook.connections)
    db = notebook.connections.get(wanted, notebook.variables).db if has_any else None
    rows = list(_rows(Patient(notebook, db)))
    wrong = sum(bool(row["what to do"]) for row in rows)
    notes = [f"{wrong} of {len(rows)} checks found something to do" if wrong else "nothing is wrong"]
    if db is None:
        notes.append("no connection is open: its files and its remote were not checked")
    frame = pd.DataFrame(rows)
    return notebook.shown(frame, notes, seen=frame)


def _rows(patient: Patient) -> Iterator[dict[str, str]]:
    for name, check in _checks(patient):
        try:
            found, remedy = check(patient), ""
        except FindingError as finding:
            found, remedy = str(finding), finding.remedy
        yield {"check": name, "found": found, "what to do": remedy}


def _checks(patient: Patient) -> Iterator[tuple[str, Callable[[Patient], str]]]:
    yield "versions", versions
    yield "kernel", kernel
    yield "widgets", widgets
    if patient.db is not None:
        yield "folder", folder
        yield "disk", disk
        yield "clock", clock
        yield "remote", remote
        yield "waiting", waiting


def versions(_: Patient) -> str:
    """Return the versions of Python, SQLite and ours."""
    return f"turso_sync_nb {VERSION}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}"


def kernel(patient: Patient) -> str:
    """Return whether this is a kernel, where widgets and live results work."""
    if getattr(patient.notebook.shell, "kernel", None) is None:
        raise FindingError(
            f"IPython {_version('ipython')} without a kernel: no widgets, no live results",
            "open a notebook in Jupyter; SQL works here as it is",
        )
    return f"ipykernel {_version('ipykernel')}, IPython {_version('ipython')}"


def widgets(_: Patient) -> str:
    """Return the versions of the widget libraries."""
    missing = [name for name in ("ipywidgets", "anywidget") if _version(name) == "missing"]
    if missing:
        raise FindingError(f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return f"ipywidgets {_version('ipywidgets')}, anywidget {_version('anywidget')}"


def folder(patient: Patient) -> str:
    """Return the replica's folder, if it can be written to."""
    path = _connection(patient).path
    if not path.is_dir():
        raise FindingError(
            f"{shown_path(path)} is gone", "close the connection and connect again; the folder was removed"
        )
    if not os.access(path, os.W_OK):
        raise FindingError(f"{shown_path(path)} cannot be written to", f"chmod u+w {shown_path(path)}")
    return f"{shown_path(path)}, locked by this process"


def disk(patient: Patient) -> str:
    """Return the free room beside the replica."""
    free = shutil.disk_usage(_existing(_connection(patient).path)).free
    if free < FREE_BYTES_MIN:
        raise FindingError(
            f"{format_size(free)} are free: a pull may not fit",
            "make room, or connect with max_resident= to keep fewer pages",
        )
    return f"{format_size(free)} free"


def clock(patient: Patient) -> str:
    """Compare the clock with the times of the replica's files."""
    path = _existing(_connection(patient).path)
    newest = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
    if newest > time.time() + CLOCK_SECONDS_MAX:
        raise FindingError(
            "files of the replica are from the future: the clock went back",
            "set the clock; certificates and tokens are judged by it",
        )
    return time.strftime("%Y-%m-%d %H:%M %Z")


def remote(patient: Patient) -> str:
    """Ask the remote whether it has news: address, token and database in one question."""
    db = _connection(patient)
    if db.remote_url is None:
        raise FindingError("no remote: nothing is pushed", "connect with a URL to have one")
    began = time.perf_counter()
    try:
        has_news = db.has_news()
    except SyncError as error:
        raise FindingError(str(error.args[0]), error.hint or "connect again with another address") from error
    took_ms = (time.perf_counter() - began) * 1000
    return f"{db.remote_url} answers in {took_ms:.0f} ms" + ("; it has news: pull" if has_news else "")


def waiting(patient: Patient) -> str:
    """Return the changes that wait and whether some cannot be pushed."""
    db = _connection(patient)
    changes = db.changes()
    held = changes[changes["state"].isin(["refused", "aside"])]
    if len(held):
        raise FindingError(
            f"{len(held)} changes cannot be pushed as they are",
            "%turso_sync changes shows the reasons; skip N or retry N",
        )
    return waits_to_be_pushed(len(changes))


def _connection(patient: Patient) -> Connection:
    assert patient.db is not None  # noqa: S101 - _checks asks only with a connection
    return patient.db


def _existing(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _version(name: str) -> Any:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"

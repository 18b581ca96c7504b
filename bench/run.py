"""``make bench``: one table, ours beside pyturso on one ``tursodb``, and beside native SQLite.

After the folder's flights come the parts to run; without any, all of them run and ``docs/bench.md`` and its
chart are written anew. The exit status is 1 when a figure is beyond its limit, unless a reason for that is
written down (``document.py``) and it is not further beyond than that.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bootstrap
import browsing
import capture
import cells
import distance
import document
import lazy
import lookup
import memory
import push_pull
import scan
import server as serving
import start
import triggers
import workbench
from data import without_an_index
from figures import table
from peers import ServerProcess, tursodb_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from figures import Figure

PARTS: Final[dict[str, Callable[[ServerProcess, Path], list[Figure]]]] = {
    "bootstrap": lambda server, database: bootstrap.figures(server.url, database),
    "wire": lambda server, _: [*lookup.figures(server.port), *lazy.figures(server.port)],
    "distance": lambda server, database: distance.figures(server.port, database),
    "scan": lambda server, database: scan.figures(server.url, database),
    "capture": lambda *_: capture.figures(),
    "triggers": lambda *_: triggers.figures(),
    "sync": lambda *_: push_pull.figures(),
    "server": lambda *_: serving.figures(),
    "cells": lambda *_: cells.figures(),
    "workbench": lambda *_: workbench.figures(),
    "browsing": lambda _, database: browsing.figures(database.parent),
    "start": lambda *_: start.figures(),
    "memory": lambda server, _: memory.figures(server.url),
}
"""Parts of the bench, given the server of the flights and the file that it serves."""


def main(flights: Path, wanted: list[str]) -> int:
    """Measure the ``wanted`` parts and print the table."""
    if unknown := set(wanted) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs behind it
    started_s = time.perf_counter()
    parts: dict[str, list[Figure]] = {}
    database = without_an_index(flights)
    with (
        tempfile.TemporaryDirectory() as folder,
        tursodb_server(Path(folder), database) as server,
    ):
        for name in wanted or PARTS:
            parts[name] = PARTS[name](server, database)
            print(
                f"{name}, {time.perf_counter() - started_s:.0f} s so far\n{table(parts[name])}\n", flush=True
            )
    if not wanted:
        document.write(parts, time.perf_counter() - started_s)
    return int(not all(document.is_right(figure) for found in parts.values() for figure in found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

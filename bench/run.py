"""``make bench``: one table, ours beside pyturso on one ``tursodb``, and beside native SQLite.

The exit status is 1 when a figure is beyond its limit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bootstrap
import capture
import cells
import lookup
import push_pull
import scan
from data import without_an_index
from figures import table
from peers import tursodb_server


def main(flights: Path) -> int:
    """Measure everything and print the table."""
    database = without_an_index(flights)
    with (
        tempfile.TemporaryDirectory() as folder,
        tursodb_server(Path(folder), database) as server,
    ):
        found = [
            *bootstrap.figures(server.url, database),
            *lookup.figures(server.port),
            *scan.figures(server.url, database),
        ]
    found += [*capture.figures(), *push_pull.figures(), *cells.figures()]
    print(table(found))
    return int(any(figure.within is False for figure in found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

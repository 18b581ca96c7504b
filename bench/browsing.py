"""What looking around takes: a profile beside pandas' own, requests of a diff, a cell beside a page map."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
from data import large
from figures import Figure, compared, in_turns, timed
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from lookup import our_connect
from million import ROWS, million_rows
from peers import embedded_process
from push_pull import execute

import turso_sync_nb as tsn
from turso_sync_nb.connection.profiling import profile_table
from turso_sync_nb.remote.http import HttpRemote

PROFILE_PAIRS: Final = 5
PROFILE_LIMIT: Final = 1.0
"""Of the time that pandas takes for its description: the median of the pairs."""

DIFF_REQUESTS_MAX: Final = 8
DIFF_BYTES_MAX: Final = 500_000
"""For one changed row, whatever the table's size."""

MAP_BYTES: Final = 300 * 10**6
CELLS: Final = 50
CELL_LIMIT_S: Final = 0.005
"""The median of so many empty cells, beside the map of a database of that size."""

WITHOUT_ROWID: Final = f"""
CREATE TABLE small (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO small VALUES (1, 'a'), (2, 'b');
CREATE TABLE item (a INTEGER, b INTEGER, t TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO item SELECT i, 1, 'item ' || i FROM n;
"""


def figures(folder: Path) -> list[Figure]:
    """Return the lines; large databases are kept in ``folder``."""
    return [profiled(), *differed(), beside_a_map(large(folder, MAP_BYTES))]


def profiled() -> Figure:
    """Profile a table, and have pandas describe what a query of it returns."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tsn.server.LocalServer(million_rows(Path(folder) / "source.db")) as server,
        closing(tsn.connect(Path(folder) / "replica", server.url)) as db,
    ):
        listed = db.run("SELECT name, type FROM pragma_table_info('large')").rows
        columns = [(str(name), str(kind)) for name, kind in listed]
        mine, other = in_turns(
            lambda: timed(lambda: profile_table(db, "large", columns)),
            lambda: timed(lambda: db.query("SELECT * FROM large").describe(include="all")),
            pairs=PROFILE_PAIRS,
        )
    what = f"profile of {ROWS:,} rows"
    return compared(what, mine, other, peer="query and describe(include='all')", limit=PROFILE_LIMIT)


def differed() -> list[Figure]:
    """Change one row, of a small table and of the large one beside it, and count what ``diff()`` fetches.

    Of the embedded server: ``tursodb`` updates no table without rowids.
    """
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source.db"
        with closing(apsw.Connection(str(source))) as raw:
            raw.execute(WITHOUT_ROWID)
        with (
            embedded_process(Path(name), source) as server,
            closing(our_connect(f"{name}/replica", server.url)) as db,
            closing(HttpRemote(server.url)) as remote,
        ):
            found = []
            for what, sql in (
                ("beside", "UPDATE small SET v = v || 'x' WHERE id = 1"),
                ("in", f"UPDATE item SET t = t || 'x' WHERE a = {ROWS // 2}"),
            ):
                execute(remote, sql)
                found += _diff_lines(what, db)
                db.pull()
            return found


def _diff_lines(what: str, db: tsn.Connection) -> list[Figure]:
    before = db.stats()
    assert len(db.diff()) == 1
    after = db.stats()
    requests = after.network_requests - before.network_requests
    received = after.network_received_bytes - before.network_received_bytes
    title = f"diff of a row {what} a WITHOUT ROWID table of {ROWS:,} rows"
    return [
        Figure(f"{title}: {name}", f"{count:,}", "", limit=f"<= {most:,}", within=count <= most)
        for name, count, most in (
            ("requests", requests, DIFF_REQUESTS_MAX),
            ("bytes received", received, DIFF_BYTES_MAX),
        )
    ]


def beside_a_map(database: Path) -> Figure:
    """Run empty cells beside an open page map, and without one."""
    shell = InteractiveShell.instance()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_process(Path(folder), database) as server,
        closing(tsn.connect(Path(folder) / "replica", server.url)) as db,
        capture_output(),
    ):
        alone = _cells(shell)
        page_map: Any = db.page_map()
        page_map._handle_custom_msg({"type": "open", "view": "one"}, [])  # noqa: SLF001 - as the browser does
        shell.run_cell("1 + 1")
        beside = _cells(shell)
        page_map._handle_custom_msg({"type": "close", "view": "one"}, [])  # noqa: SLF001 - as the browser does
        pages = db.stats().pages_resident
    own = statistics.median(beside)
    return Figure(
        f"an empty cell beside a page map of {pages:,} pages",
        f"{own * 1000:.1f} ms",
        f"{statistics.median(alone) * 1000:.1f} ms without",
        limit=f"<= {CELL_LIMIT_S * 1000:.0f} ms",
        within=own <= CELL_LIMIT_S,
    )


def _cells(shell: Any) -> list[float]:
    return [timed(lambda: shell.run_cell("1 + 1")) for _ in range(CELLS)]

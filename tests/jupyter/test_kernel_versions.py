"""The magics on every kernel that people have, and beside other SQL magics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from kernels import DEADLINE_S, Kernel, error_line
from overlays import overlay
from stalling import StallingRemote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOAD = "%load_ext turso_sync_nb"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
TELL = """
from turso_sync_nb.jupyter import connection
db = connection()
def started():
    print("started", flush=True)
    return 1
db.create_function("started", 0, started)
"""
OTHERS = {
    "sql": (
        ("jupysql==0.11.1", "jupysql-plugin==0.4.5", "ploomber-core==0.2.27", "posthog==7.91.1",
         "backoff==2.2.1", "distro==1.9.0", "prettytable==3.18.0", "sqlalchemy==2.1.9", "sqlglot==30.30.0",
         "sqlparse==0.6.1", "ipython-genutils==0.2.0"),
        "%%sql sqlite://\nSELECT 6 * 7 AS answer",
    ),
    "magic_duckdb": (("magic-duckdb==0.2.4", "duckdb"), "%%dql\nSELECT 6 * 7 AS answer"),
}  # fmt: skip
"""By the name of the extension: its packages, and a cell of it."""


@pytest.fixture
def kernel_with(wheel_path_env, tmp_path) -> Callable[[Path], Kernel]:
    """Give kernels that find a folder of packages before any other."""

    def kernel(packages: Path) -> Kernel:
        env = {name: value for name, value in wheel_path_env.items() if name != "TURSO_AUTH_TOKEN"}
        return Kernel(tmp_path, env | {
            "PYTHONPATH": os.pathsep.join([str(packages), env["PYTHONPATH"]]),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "HOME": str(tmp_path),
            "PLOOMBER_STATS_ENABLED": "false",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        })  # fmt: skip

    return kernel


@pytest.mark.parametrize("version", ["6.31.0", "7.0.1", "7.3.0", "7.4.0"])
def test_a_notebook_s_work(version, kernel_with, embedded, flights_file):
    """Frames, errors in a line, writing, the stop button in a query, a fetch and an await, "Run all"."""
    packages = overlay(f"ipykernel-{version}", f"ipykernel=={version}")
    url = embedded(flights_file).url
    with StallingRemote(url) as remote, kernel_with(packages) as kernel:
        (said,) = kernel.good("import ipykernel; print(ipykernel.__version__)")
        assert said["text"].strip() == version
        kernel.good(LOAD)
        kernel.good(f"%turso_sync connect flights.db {remote.url}")
        (frame,) = kernel.good("%%turso_sync\nSELECT carrier, name FROM carriers ORDER BY 1")
        assert "JetBlue" in frame["data"]["text/html"]
        assert "did you mean carriers?" in error_line(kernel.run("%turso_sync sql SELECT * FROM cariers"))
        kernel.good("%turso_sync sql UPDATE carriers SET name = 'x' WHERE carrier = 'UA'")
        kernel.good(TELL)
        for cell in (f"%%turso_sync\n{ENDLESS}", f'await db.aio.query("{ENDLESS}")'):
            running = kernel.begin(cell)
            stopped: list[object] = []

            def stop(output, stopped=stopped):
                if not stopped and "started" in output.get("text", ""):
                    stopped.append(kernel.interrupt())

            assert kernel.finish(running, stop)[-1]["kind"] == "error"
            assert stopped
            kernel.good("%turso_sync sql SELECT 1")
        remote.stalled.set()
        cell = kernel.begin("%turso_sync sql SELECT sum(length(remarks)) FROM flights")
        assert remote.asked.wait(DEADLINE_S)
        kernel.interrupt()
        assert error_line(kernel.finish(cell)).startswith("KeyboardInterrupt: stopped after ")
        remote.stalled.clear()
        (pushed,) = kernel.good("%turso_sync push")
        assert "1 change in 1 transaction sent" in pushed["data"]["text/plain"]


@pytest.mark.parametrize("others", list(OTHERS))
@pytest.mark.parametrize("ours_first", [True, False])
def test_beside_other_sql_magics(others, ours_first, kernel_with, flights_url):
    """Loaded before or after, each runs its own cells; completion offers ours."""
    packages, cell = OTHERS[others]
    loads = [LOAD, f"%load_ext {others}"]
    with kernel_with(overlay(others, *packages)) as kernel:
        for load in loads if ours_first else reversed(loads):
            kernel.good(load)
        kernel.good(f"%turso_sync connect flights.db {flights_url}")
        for _ in range(2):
            assert "42" in str(kernel.good(cell))
            (frame,) = kernel.good("%%turso_sync\nSELECT name FROM carriers ORDER BY 1")
            assert "JetBlue" in frame["data"]["text/html"]
        line = "%%turso_sync\nSELECT na FROM carriers"
        at = line.index(" FROM")
        offered = f"print([one.text for one in get_ipython().Completer.completions({line!r}, {at})])"
        (said,) = kernel.good(f"import warnings; warnings.simplefilter('ignore'); {offered}")
        assert "'name'" in said["text"]


def test_jupysql_on_a_replica(kernel_with, embedded, flights_file):
    """``%sql`` takes an engine of the replica by its URL alone; what it writes waits to be pushed."""
    flights_url = embedded(flights_file).url  # its own: it is written to
    with kernel_with(overlay("sql", *OTHERS["sql"][0])) as kernel:
        kernel.good(LOAD)
        kernel.good(f"%turso_sync connect flights.db {flights_url}")
        kernel.good("%load_ext sql")
        kernel.good("%sql sqlite+turso_sync_nb:///flights.db")
        assert "JetBlue" in str(kernel.good("%%sql\nSELECT name FROM carriers ORDER BY 1"))
        kernel.good("%%sql\nUPDATE carriers SET name = 'Blue' WHERE name LIKE 'JetBlue%'")
        (said,) = kernel.good("%turso_sync push")
        assert "1 change in 1 transaction sent" in said["data"]["text/plain"]


def test_a_polars_frame(kernel_with, flights_url):
    """Polars' own frame, its types by the rules of Arrow tables."""
    with kernel_with(overlay("polars", "polars==1.35.1", "polars-runtime-32==1.35.1")) as kernel:
        kernel.good(LOAD)
        kernel.good(f"%turso_sync connect flights.db {flights_url}")
        kernel.good("%turso_sync sql CREATE TABLE one (day DATE, yes BOOLEAN, n)")
        kernel.good(
            "%turso_sync sql INSERT INTO one VALUES ('2024-02-29', 1, 9007199254740993), (NULL, NULL, 1)"
        )
        kernel.good("%%turso_sync --polars frame <<\nSELECT * FROM one")
        (said,) = kernel.good("print(type(frame).__module__.split('.')[0], frame.dtypes, frame.rows())")
        assert said["text"].strip() == (
            "polars [Date, Boolean, Int64] "
            "[(datetime.date(2024, 2, 29), True, 9007199254740993), (None, None, 1)]"
        )

"""The magics in a real Jupyter kernel that imports the built wheel: outputs, the stop button, "Run all"."""

from __future__ import annotations

import re

import nbformat
import pytest
from kernels import DEADLINE_S, Kernel, error_line
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from stalling import StallingRemote

LOAD = "%load_ext turso_sync_nb"

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
TELL = """
from turso_sync_nb.jupyter import connection
def started():
    print("started", flush=True)
    return 1
connection().create_function("started", 0, started)
"""


@pytest.fixture(scope="session")
def kernel_env(wheel_path_env, tmp_path_factory):
    """The environment of a kernel that imports the wheel: no token, no history of the user."""
    env = {name: value for name, value in wheel_path_env.items() if name != "TURSO_AUTH_TOKEN"}
    return env | {
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@pytest.fixture
def kernel(kernel_env, tmp_path):
    """A kernel in an empty folder."""
    with Kernel(tmp_path, kernel_env) as kernel:
        yield kernel


@pytest.fixture
def stalling(embedded, flights_file):
    """A remote with flights that can stop answering."""
    with StallingRemote(embedded(flights_file).url) as remote:
        yield remote


def interrupt_when(kernel, code, started):
    """Run a cell, press stop once ``started`` is true of an output, and return all outputs."""
    pressed = []

    def press(output):
        if not pressed and started(output):
            pressed.append(True)
            kernel.interrupt()

    outputs = kernel.finish(kernel.begin(code), press)
    assert pressed, outputs
    return outputs


def has_started(output):
    """Tell the output of the SQL function ``started()``."""
    return output["kind"] == "stream" and "started" in output["text"]


def test_outputs_are_mime_bundles_with_a_footer(kernel, flights_url, installed_wheel):
    """A cell is an execute_result of text and HTML; connect and << say one line of text."""
    where = kernel.good("import turso_sync_nb; print(turso_sync_nb.__file__)")
    assert str(installed_wheel) in where[0]["text"]
    kernel.good(LOAD)
    (connected,) = kernel.good(f"%turso_sync connect flights.db {flights_url}")
    assert connected["kind"] == "display_data"
    assert list(connected["data"]) == ["text/plain"]
    (frame,) = kernel.good("%%turso_sync -o df\nSELECT carrier, name FROM carriers ORDER BY 1")
    assert frame["kind"] == "execute_result"
    assert set(frame["data"]) == {"text/plain", "text/html"}
    for part in frame["data"].values():
        assert "JetBlue" in part
        assert "2 rows · " in part
    (footer,) = kernel.good("%%turso_sync df2 <<\nSELECT 1")
    assert footer["kind"] == "display_data"
    (own,) = kernel.good("df")
    assert "2 rows · " not in own["data"]["text/plain"]
    assert "JetBlue" in own["data"]["text/html"]


def test_stop_ends_a_query_and_the_connection_goes_on(kernel, flights_url):
    """The stop button ends an endless query in one line; a transaction stays open; the next cell works."""
    kernel.good(LOAD)
    kernel.good(f"%turso_sync connect flights.db {flights_url}")
    kernel.good(TELL)
    line = error_line(interrupt_when(kernel, f"%%turso_sync\n{ENDLESS}", has_started))
    assert line.startswith("KeyboardInterrupt: stopped after ")
    assert "no transaction was open" in line
    (frame,) = kernel.good("%turso_sync sql SELECT count(*) AS n FROM carriers")
    assert "2" in frame["data"]["text/plain"]
    kernel.good("%turso_sync sql BEGIN")
    line = error_line(interrupt_when(kernel, f"%%turso_sync\n{ENDLESS}", has_started))
    assert "the transaction is still open" in line
    kernel.good("%turso_sync sql COMMIT")


def test_stop_ends_a_fetch_from_a_remote_that_stalls(kernel, stalling):
    """The stop button ends a fetch that nobody answers; once the remote answers again, so does the cell."""
    kernel.good(LOAD)
    kernel.good(f"%turso_sync connect flights.db {stalling.url}")
    stalling.stalled.set()
    scan = "%%turso_sync\nSELECT sum(length(remarks)) AS n FROM flights"
    cell = kernel.begin(scan)
    assert stalling.asked.wait(DEADLINE_S)
    kernel.interrupt()
    assert error_line(kernel.finish(cell)).startswith("KeyboardInterrupt: stopped after ")
    kernel.good("%turso_sync sql SELECT count(*) FROM carriers")
    stalling.stalled.clear()
    (frame,) = kernel.good(scan)
    assert str(4000 * 500) in frame["data"]["text/plain"]


def test_stop_ends_a_pull_and_a_push_which_says_whether_it_arrived(kernel, stalling):
    """Both in one line; once the remote answers again, both work, and nothing was lost."""
    kernel.good(LOAD)
    kernel.good(f"%turso_sync connect flights.db {stalling.url}")
    kernel.good("%turso_sync sql UPDATE carriers SET name = 'United Airlines' WHERE carrier = 'UA'")
    stalling.stalled.set()
    for verb, said in (
        ("pull", "stopped: nothing was pulled, and nothing moved"),
        ("push", "stopped: whether all of it arrived is not known, the next push finds out"),
    ):
        stalling.asked.clear()
        cell = kernel.begin(f"%turso_sync {verb}")
        assert stalling.asked.wait(DEADLINE_S)
        kernel.interrupt()
        assert error_line(kernel.finish(cell)) == f"KeyboardInterrupt: {said}"
    stalling.stalled.clear()
    (pulled,) = kernel.good("%turso_sync pull")
    assert "nothing new" in pulled["data"]["text/plain"]
    (pushed,) = kernel.good("%turso_sync push")
    assert "1 change in 1 transaction sent" in pushed["data"]["text/plain"]


def test_await_in_a_cell_and_stop(kernel, flights_url):
    """A cell awaits a query; stop cancels it; the connection goes on."""
    kernel.good(LOAD)
    kernel.good(f"%turso_sync connect flights.db {flights_url}")
    kernel.good("from turso_sync_nb.jupyter import connection; db = connection()")
    (frame,) = kernel.good("await db.aio.query('SELECT count(*) AS n FROM flights')")
    assert "4000" in frame["data"]["text/plain"]
    kernel.good("import asyncio, threading; begun = threading.Event()")
    kernel.good("db.create_function('tell', 0, lambda: begun.set() or 1)")
    cell = (
        "task = asyncio.create_task(db.aio.query(f'SELECT tell(); "
        + ENDLESS.replace("started()", "1")
        + "'))\n"
        "await asyncio.to_thread(begun.wait); print('started', flush=True); await task"
    )
    outputs = interrupt_when(kernel, cell, has_started)
    assert outputs[-1]["kind"] == "error"
    assert outputs[-1]["ename"] in ("CancelledError", "KeyboardInterrupt")
    kernel.good("task.cancel(); await asyncio.wait([task])")
    (again,) = kernel.good("%turso_sync sql SELECT count(*) AS n FROM carriers")
    assert "2" in again["data"]["text/plain"]


def test_stop_ends_a_connect_and_connect_again_goes_on(kernel, stalling):
    """A bootstrap that stalls can be stopped; the same cell run again finishes it."""
    kernel.good(LOAD)
    stalling.stalled.set()
    connect = f"%turso_sync connect flights.db {stalling.url} --whole"
    cell = kernel.begin(connect)
    assert stalling.asked.wait(DEADLINE_S)
    kernel.interrupt()
    assert "run the cell again to go on" in error_line(kernel.finish(cell))
    stalling.stalled.clear()
    kernel.good(connect)
    (frame,) = kernel.good("%turso_sync sql SELECT count(*) AS n FROM flights")
    assert "4000" in frame["data"]["text/plain"]


def test_an_error_is_one_line_and_stops_run_all(kernel_env, flights_url, tmp_path):
    """Nbclient raises at the failing cell, whose output is one line, and the next cell does not run."""
    cells = [
        LOAD,
        f"%turso_sync connect flights.db {flights_url}",
        "%%turso_sync\nSELECT * FROM flihgts",
        "open('ran', 'w').close()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, resources={"metadata": {"path": str(tmp_path)}}, timeout=int(DEADLINE_S)
    )
    with pytest.raises(CellExecutionError, match=r"did you mean flights\?"):
        client.execute(env=kernel_env)
    (output,) = notebook.cells[2].outputs
    assert output.traceback == ["SqlError: no such table: flihgts — did you mean flights?"]
    assert not (tmp_path / "ran").exists()


def test_hostile_data_leaves_no_markup_and_no_control_character(kernel, flights_url):
    """Values, column names and error texts with markup and controls arrive as text."""
    kernel.good(LOAD)
    kernel.good(f"%turso_sync connect flights.db {flights_url}")
    kernel.good("evil = '<script>alert(1)</script>\\x1b[31m\\u202e\\x00' * 100_000")
    name = '"<img src=x onerror=alert(1)>\x1b[2J"'
    (frame,) = kernel.good(f"%%turso_sync\nSELECT :evil AS {name}, 1 AS [<b>]")
    assert not re.search(r"<script|<img|<b>", frame["data"]["text/html"])
    assert sum(len(part.encode()) for part in frame["data"].values()) < 200_000
    for part in frame["data"].values():
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", part)
    outputs = kernel.run(f"%%turso_sync\nSELECT * FROM {name}")
    error_line(outputs)
    assert "\x1b" not in outputs[-1]["evalue"]


def test_a_restarted_kernel_connects_to_its_replica_again(kernel, flights_url):
    """A restart kills the kernel with the replica open; the new one opens it, and nothing is lost."""
    for _ in range(2):
        kernel.good(LOAD)
        kernel.good(f"%turso_sync connect flights.db {flights_url}")
        (frame,) = kernel.good("%turso_sync sql SELECT count(*) AS n FROM flights")
        assert "4000" in frame["data"]["text/plain"]
        kernel.restart()


def test_two_notebooks_on_one_replica(kernel, kernel_env, flights_url, tmp_path):
    """The second gets one line that says who has it; after the first closes, it connects."""
    connect = f"%turso_sync connect flights.db {flights_url}"
    with Kernel(tmp_path, kernel_env) as second:
        for each in (kernel, second):
            each.good(LOAD)
        kernel.good(connect)
        assert error_line(second.run(connect)).startswith("ReplicaBusyError: ")
        kernel.good("%turso_sync close")
        second.good(connect)

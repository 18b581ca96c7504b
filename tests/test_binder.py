"""What Binder builds from ``binder/``: files that repo2docker takes, a server, notebooks that run.

No Docker here: the files are read for what repo2docker would refuse, and the notebooks run in an environment
with the versions that ``binder/requirements.txt`` pins, all but the loopback refused, in 1 GB of memory.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import apsw
import nbformat
import pytest
from binder_env import BINDER, MEMORY_BYTES, requirements
from skips import miss

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
PINNED = ("jupyterlab==4.4.9", "notebook==7.4.7", "ipykernel==7.0.1")

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
nbformat.write(notebook, path)
"""
PROBE = """
import os, sys, time
import turso_sync_nb as tsn
for _ in range(100):
    try:
        db = tsn.connect(sys.argv[1], os.environ["TSN_DEMO_URL"], auth_token=os.environ["TURSO_AUTH_TOKEN"])
        break
    except tsn.RemoteUnreachableError:
        time.sleep(0.1)
print(db.execute("SELECT * FROM t").fetchall())
db.close()
try:
    tsn.connect(sys.argv[1] + "2", os.environ["TSN_DEMO_URL"])
except tsn.RemoteRefusedError:
    print("a token is wanted")
"""


def test_the_files_are_what_repo2docker_takes() -> None:
    """Names that it knows, scripts that run and stop at an error, a Python that it has, the package."""
    assert {path.name for path in BINDER.iterdir()} == {
        "requirements.txt",
        "runtime.txt",
        "postBuild",
        "start",
    }
    assert re.fullmatch(r"python-3\.1[1-9]\n", (BINDER / "runtime.txt").read_text())
    for name in ("postBuild", "start"):
        text = (BINDER / name).read_text()
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "\nset -euo pipefail\n" in text
        assert "\r" not in text
        assert os.access(BINDER / name, os.X_OK)
        subprocess.run(["/bin/bash", "-n", str(BINDER / name)], check=True)
    assert (BINDER / "start").read_text().endswith('\nexec "$@"\n')
    assert requirements()[0] == "."
    assert set(PINNED) < set(requirements())


def test_start_serves_under_a_random_token(tmp_path: Path) -> None:
    """The command that it is given finds the address and the token in its environment; others are refused."""
    (tmp_path / "notebooks").mkdir()
    raw = apsw.Connection(str(tmp_path / "notebooks" / "nycflights.db"))
    raw.execute("CREATE TABLE t(a); INSERT INTO t VALUES (42)")
    raw.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [str(BINDER / "start"), sys.executable, "-c", PROBE, str(tmp_path / "replica")],
        cwd=tmp_path,
        env={**os.environ, **here, "TSN_DEMO_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as started:
        try:
            said, _ = started.communicate(timeout=60)
        finally:
            os.killpg(started.pid, 15)
    assert said.splitlines() == ["[(42,)]", "a token is wanted"]


def test_the_environment_is_closed(binder_python: Path) -> None:
    """The guard that the notebooks run under is one: no network, no more memory, Binder's versions."""
    probe = """
import socket, ipykernel, jupyterlab, notebook
print(ipykernel.__version__, jupyterlab.__version__, notebook.__version__)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError as error:
    print(error)
try:
    bytearray(2 * 10**9)
except MemoryError:
    print("no more memory")
"""
    ran = subprocess.run(
        [str(binder_python), "-c", probe],
        env={**os.environ, "TSN_MEMORY": str(MEMORY_BYTES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == ["7.0.1 4.4.9 7.4.7", "refused: 192.0.2.1", "no more memory"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what postBuild makes: the names are left out where npm is missing."""
    folder: Path = tmp_path_factory.mktemp("data")
    for name in ("nycflights", "babynames") if shutil.which("npm") else ("nycflights",):
        command = [sys.executable, str(NOTEBOOKS / f"{name}.py"), str(folder / f"{name}.db")]
        subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_as_on_binder(path: Path, binder_python: Path, data: Path, tmp_path: Path) -> None:
    """Each runs there without the network, in bounded memory; what is saved leaks nothing."""
    for file in (path, *NOTEBOOKS.glob("*.py"), *data.iterdir()):
        shutil.copy(file, tmp_path)
    if "babynames" in path.read_text() and not (tmp_path / "babynames.db").exists():
        miss("npm: not installed, and it brings the names")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TSN_"))
    }
    ran = subprocess.run(
        [str(binder_python), "-c", EXECUTE, path.name],
        cwd=tmp_path,
        env={**environment, "TURSO_AUTH_TOKEN": "s3cret-of-binder", "TSN_MEMORY": str(MEMORY_BYTES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    saved = (tmp_path / path.name).read_text()
    assert "s3cret-of-binder" not in saved
    assert f"{Path.home()}/" not in saved
    for cell in nbformat.reads(saved, as_version=4).cells:
        assert all(len(str(output)) < 200_000 for output in cell.get("outputs", []))

"""Every command of the README runs as written, in a copy of the tree without an environment."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text()
COMMANDS: Final = [line.split("  #")[0].strip() for line in re.findall(r"^ {4}(\S.*)$", README, re.MULTILINE)]
CELLS: Final = re.findall(r"^```(python|sql)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SERVE_TIMEOUT_S: Final = 30
PORT: Final = 8080
UNTRACKED: Final = shutil.ignore_patterns(
    ".git", ".venv", ".demo", ".site", ".*_cache", "node_modules", "__pycache__", "*.db"
)
TAKEN: Final = "make test"
"""Run by whoever runs this."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree and run the README's commands there, up to the one that serves."""
    folder: Path = tmp_path_factory.mktemp("readme") / "turso_sync_nb"
    shutil.copytree(ROOT, folder, ignore=UNTRACKED)
    for command in COMMANDS[: COMMANDS.index(_serving())]:
        if command != TAKEN:
            ran = subprocess.run(
                ["/bin/bash", "-c", command],
                cwd=folder,
                env=_env(folder),
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return folder


@pytest.fixture(scope="module")
def served(clone: Path) -> Iterator[int]:
    """Run the command that serves; give a port that is free, in place of the README's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = _serving().replace(str(PORT), str(port)).split()
    with subprocess.Popen(command, cwd=clone, env=_env(clone)) as server:
        try:
            until = time.monotonic() + SERVE_TIMEOUT_S
            while not _answers(port):
                assert time.monotonic() < until
                assert server.poll() is None
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def test_readme_begins_with_the_two_commands() -> None:
    """Demo and test stand at the top, and nothing else is indented like a command by accident."""
    assert COMMANDS[:2] == ["make demo", TAKEN]
    assert len(COMMANDS) == 5


@pytest.mark.timeout(600)
def test_cells_run_in_a_notebook(clone: Path, served: int) -> None:
    """The cells run in a kernel of the environment that the commands made."""
    cells = [text.replace(str(PORT), str(served)) for language, text in CELLS if "import" not in text]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, clone / "five_minutes.ipynb")
    _run(clone, ".venv/bin/jupyter", "execute", "--inplace", "five_minutes.ipynb")
    ran = nbformat.read(clone / "five_minutes.ipynb", as_version=4)
    assert len(ran.cells) == 3
    assert "rows" in str(ran.cells[1].outputs)
    assert all(output.output_type != "error" for cell in ran.cells for output in cell.outputs)


def test_program_runs(clone: Path, served: int) -> None:
    """The program runs outside a notebook, on the replica that the cells made or on a new one."""
    (program,) = (text for language, text in CELLS if "import" in text)
    _run(clone, ".venv/bin/python", "-W", "error", "-c", program.replace(str(PORT), str(served)))


def _serving() -> str:
    (command,) = (each for each in COMMANDS if " serve " in each)
    return command


def _env(folder: Path) -> dict[str, str]:
    """Return an environment without one of Python's: only what finds programs and packages.

    What is installed is compiled when it is imported: a third of the time.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "LANG", "SSL_"))}
    return {**kept, "PATH": os.defpath + ":/usr/local/bin", "HOME": str(folder.parent), "PIP_COMPILE": "0"}


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _run(folder: Path, *command: str) -> None:
    ran = subprocess.run(
        command, cwd=folder, env=_env(folder), capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

"""Run the first notebook, or open JupyterLab, against the flights on a server of our own.

``python notebooks/demo.py run DATABASE`` executes ``01_first_replica.ipynb`` top to bottom and prints what
its cells show; ``python notebooks/demo.py lab DATABASE`` serves until JupyterLab ends. The notebook learns
the server's address from the environment variable TSN_DEMO_URL.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS: Final = Path(__file__).resolve().parent
CELL_TIMEOUT_S: Final = 120
LINES_SHOWN_MAX: Final = 16
"""Most lines of one cell's output that are printed; the notebook itself shows everything."""


@contextmanager
def serving(database: Path) -> Iterator[str]:
    """Serve ``database`` on a free port of the loopback and give the address.

    Raises:
        ChildProcessError: the server did not start; what it said is on stderr.
    """
    command = [sys.executable, "-m", "turso_sync_nb", "serve", str(database), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline() if server.stdout else ""
            url = next((word for word in said.split() if word.startswith("http://")), None)
            if url is None:
                raise ChildProcessError(f"serve {database}: the server said {said!r}")
            print(said.strip(), flush=True)
            yield url
        finally:
            server.terminate()


def run(database: Path) -> None:
    """Execute the notebook on a fresh replica beside ``database`` and print its results."""
    path = NOTEBOOKS / "01_first_replica.ipynb"
    work = database.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # it has no types
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    with serving(database) as url:
        os.environ["TSN_DEMO_URL"] = url
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(NOTEBOOKS), os.environ.get("PYTHONPATH")))
        )
        try:
            client.execute()
        finally:
            for cell in notebook.cells:
                show(cell)
    print(f"\n{path.name} ran to its end. To go on by hand, in JupyterLab:\n\n    make lab\n")


def show(cell: nbformat.NotebookNode) -> None:
    """Print a heading, or a code cell and what it showed as text; one that showed nothing is left out."""
    if cell.cell_type != "code":
        print("".join(f"\n{line}\n" for line in cell.source.splitlines() if line.startswith("#")), end="")
        return
    if not cell.outputs:
        return
    print("\n".join(f"  > {line}" for line in cell.source.splitlines()))
    for output in cell.outputs:
        lines = text_of(output).rstrip().splitlines()
        shown = lines if len(lines) <= LINES_SHOWN_MAX else [*lines[: LINES_SHOWN_MAX - 2], "...", lines[-1]]
        print("\n".join(f"    {line}" for line in shown))


def text_of(output: nbformat.NotebookNode) -> str:
    """Return the text of one output, an error's last line included."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return str(output.data.get("text/plain", ""))


def lab(database: Path) -> None:
    """Open JupyterLab on the notebooks; returns when it is closed."""
    as_root = ["--allow-root"] if os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={NOTEBOOKS}", *as_root]
    with serving(database) as url:
        lab_env = {**os.environ, "TSN_DEMO_URL": url}
        subprocess.run([*command, str(NOTEBOOKS / "01_first_replica.ipynb")], env=lab_env, check=False)


def main(verb: str, database: str) -> int:
    """Run or open; return the exit status."""
    try:
        {"run": run, "lab": lab}[verb](Path(database).resolve())
    except CellExecutionError as error:
        print(f"\nthe notebook failed:\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Programs that use the package, each in a process of its own that need not import it first.

One process imports the package and opens nothing. Each program runs in a fork of it, which takes 10 ms where
a new interpreter takes 400. As a program this file is that process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

TIMEOUT_S = 60
"""Seconds that a program may run, after which SIGALRM ends it."""


IMPORTED = ("turso_sync_nb.public_connection", "turso_sync_nb.remote.http")
"""Modules that import all that a connection needs, whenever it would import it."""


def run_forked(program: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program, given by its file or its text, and wait for its end; its output is kept."""
    starter = _starter()
    assert starter.stdin is not None
    assert starter.stdout is not None
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        asked = {"program": str(program), "is_file": isinstance(program, Path), "arguments": arguments}
        starter.stdin.write(json.dumps({**asked, "out": str(out), "err": str(err)}) + "\n")
        starter.stdin.flush()
        code = int(starter.stdout.readline())
        return subprocess.CompletedProcess([str(program), *arguments], code, out.read_text(), err.read_text())


@cache
def _starter() -> subprocess.Popen[str]:
    """Return the process that forks; it ends with this one, when its input does."""
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _start_programs() -> None:
    """Fork for each line of the input; answer with how the program ended."""
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _run(**asked)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def _run(program: str, arguments: list[str], out: str, err: str, *, is_file: bool) -> None:
    """Be the program; does not return."""
    signal.alarm(TIMEOUT_S)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    code = 0
    try:
        sys.argv = [program if is_file else "-c", *arguments]
        if is_file:
            sys.path[0] = str(Path(program).parent)
        text = Path(program).read_text() if is_file else program
        exec(compile(text, sys.argv[0], "exec"), {"__name__": "__main__"})  # noqa: S102 - a program of the tests
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - told, as an interpreter tells it
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _start_programs()

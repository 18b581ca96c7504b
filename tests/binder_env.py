"""An environment as Binder builds it: the pinned versions, and nothing but the loopback to be reached."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

BINDER = Path(__file__).parent.parent / "binder"
MEMORY_BYTES = 10**9
"""What a process may have where TSN_MEMORY says so."""

GUARD = """
import os, resource, socket
if os.environ.get("TSN_MEMORY"):
    resource.setrlimit(resource.RLIMIT_DATA, (int(os.environ["TSN_MEMORY"]),) * 2)
real = socket.socket.connect
def connect(self, address):
    host = address[0] if isinstance(address, tuple) else ""
    if self.family != socket.AF_UNIX and not host.startswith("127.") and host not in ("localhost", "::1"):
        raise OSError(f"refused: {host}")
    return real(self, address)
socket.socket.connect = connect
"""


def requirements() -> list[str]:
    """Return the lines of the file that are requirements."""
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def make_environment(folder: Path, wheel: Path) -> Path:
    """Make an environment with Binder's versions and the package from its wheel; return its Python.

    It takes this environment's pip, and compiles what is imported when it is: a third of the time.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    wanted = [str(wheel) if line == "." else line for line in requirements()]
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    install = [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    ran = subprocess.run(
        [*install, *wanted, "nbclient"], capture_output=True, text=True, check=False, timeout=280
    )
    assert ran.returncode == 0, ran.stderr
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "guard.py").write_text(GUARD)
    (site / "guard.pth").write_text("import guard\n")
    return python

"""Packages that some kernels find before the environment's: other versions, and other magics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def overlay(name: str, *requirements: str) -> Path:
    """Return a folder with just ``requirements``, installed once; what they need is the environment's."""
    folder = Path(sys.prefix) / "overlays" / name
    done = folder / ".installed"
    wanted = "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--upgrade", "--target", str(folder), *requirements],
            check=True,
        )  # fmt: skip
        done.write_text(wanted)
    return folder

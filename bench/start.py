"""Seconds that ``%load_ext turso_sync_nb`` adds to the start of a kernel; nothing is connected.

A process of its own each time; who begins alternates.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Final

from figures import Figure, beside_limit, in_turns, seconds, timed

PAIRS: Final = 9

LIMIT_S: Final = 0.25

_SHELL: Final = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"
_WHAT: Final = "import and %load_ext, beyond IPython's start"
LIBRARIES: Final = "IPython and the libraries alone"
_LIBRARIES: Final = f"{_SHELL}; import apsw, google.protobuf.descriptor_pool, msgspec, pyroaring, zstandard"
_LOADED: Final = f"{_SHELL}; s.run_line_magic('load_ext', 'turso_sync_nb')"


def figures() -> list[Figure]:
    """Return the line for what it takes beyond IPython's own start."""
    with_ours, without = in_turns(lambda: _started(_LOADED), lambda: _started(_SHELL), pairs=PAIRS)
    beyond = statistics.median(one - other for one, other in zip(with_ours, without, strict=True))
    ours, libraries = in_turns(lambda: _started(_LOADED), lambda: _started(_LIBRARIES), pairs=PAIRS)
    return [
        Figure(
            _WHAT,
            seconds(beyond),
            f"{seconds(statistics.median(without))} IPython alone",
            limit=f"<= {seconds(LIMIT_S)}",
            within=beyond <= LIMIT_S,
        ),
        beside_limit(_WHAT, ours, libraries, peer=LIBRARIES),
    ]


def _started(code: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))

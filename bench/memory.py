"""The most memory that a client's process holds: a whole bootstrap, and a cold scan of a partial replica.

Each runs in a process of its own, with all that it imports. The figure is the kernel's peak of its resident
memory (``VmHWM``: ``ru_maxrss`` begins with that of the process which made it).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from figures import Figure

OURS: Final = "import turso_sync_nb as tsn; tsn.connect(path, url).close()"
PYTURSO: Final = "import turso.sync; turso.sync.connect(path, remote_url=url).close()"

_PREFIX: Final = "bootstrap_strategy={0}.PartialSyncPrefixBootstrap(length=131072)"
_SCAN: Final = "db.execute('SELECT count(*) FROM flights NOT INDEXED').fetchall(); db.close()"
OUR_SCAN: Final = (
    "import turso_sync_nb as tsn; "
    f"few = tsn.PartialSyncOpts({_PREFIX.format('tsn')}); "
    f"db = tsn.connect(path, url, partial_sync=few); {_SCAN}"
)
PYTURSO_SCAN: Final = (
    "import turso.sync as ts; "
    f"few = ts.PartialSyncOpts({_PREFIX.format('ts')}); "
    f"db = ts.connect(path, remote_url=url, partial_sync_experimental=few); {_SCAN}"
)
CLIENT: Final = """
import json, pathlib, sys, time
path, url = sys.argv[1:]
started_s = time.perf_counter()
{connect}
took_s = time.perf_counter() - started_s
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps([took_s, int(status["VmHWM"].split()[0]) * 1024]))
"""


def figures(url: str) -> list[Figure]:
    """Return the lines for both."""
    cases = (("whole bootstrap of 46 MB", OURS, PYTURSO), ("cold scan of 28 MB", OUR_SCAN, PYTURSO_SCAN))
    return [_compared(f"{what}: peak memory", url, ours, theirs) for what, ours, theirs in cases]


def _compared(what: str, url: str, ours: str, theirs: str) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        _, mine = client(ours, Path(folder) / "ours", url)
        _, other = client(theirs, Path(folder) / "pyturso.db", url)
    return Figure(what, f"{mine / 1e6:.0f} MB", f"{other / 1e6:.0f} MB pyturso", f"{mine / other:.2f}")


def client(connect: str, path: Path, url: str) -> tuple[float, int]:
    """Run one client in a process of its own; return its seconds and its peak bytes."""
    command = [sys.executable, "-c", CLIENT.format(connect=connect), str(path), url]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    took, peak = json.loads(ran.stdout)
    return took, peak

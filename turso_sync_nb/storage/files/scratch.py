"""Private folders in the system's temporary folder, for what is needed for a while.

One that cannot be made is an error of ours. One that cannot be removed is left: what it was for is done.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turso_sync_nb.storage.files.durable import mapped_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX: Final = "turso-sync-nb-"


def new_scratch() -> Path:
    """Make a folder and return it; :func:`remove_scratch` removes it.

    Raises:
        ReplicaError: it cannot be made: no room, too many open files, no temporary folder.
    """
    with mapped_os_errors("make a temporary folder"):
        return Path(tempfile.mkdtemp(prefix=_PREFIX))


def remove_scratch(folder: Path) -> None:
    """Remove a folder of :func:`new_scratch` with all that is in it, as far as that can be done."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for the block.

    Raises:
        ReplicaError: as :func:`new_scratch`.
    """
    folder = new_scratch()
    try:
        yield folder
    finally:
        remove_scratch(folder)

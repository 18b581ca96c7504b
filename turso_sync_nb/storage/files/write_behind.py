"""Have the disk write a file while more of it arrives.

A hint: durable is what the file's own writer syncs afterwards, which then finds little left to write, and is
told of an error that came meanwhile (the kernel tells each open file). That sync keeps Python's lock, and
this one does not.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from turso_sync_nb.platforms import sync_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAUSE_S: Final = 0.01
"""Seconds between two syncs: nothing is written behind for what arrives sooner."""


@contextmanager
def write_behind(path: Path) -> Iterator[None]:
    """Sync the file ``path`` over and over in the block, in a thread of its own.

    No SQLite connection of this process may have it open: closing it would drop that one's locks.
    """
    descriptor = os.open(path, os.O_RDWR)
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(PAUSE_S):
            with suppress(OSError):
                sync_descriptor(descriptor)

    thread = threading.Thread(target=work, name="turso-sync-nb-write-behind", daemon=True)
    try:
        with suppress(RuntimeError):  # no thread begins as the process ends: all is synced at the end
            thread.start()
        yield
    finally:
        ended.set()
        with suppress(RuntimeError):  # it did not begin
            thread.join()
        os.close(descriptor)

"""Close connections that a program left open when the interpreter ends, while modules are still there."""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from turso_sync_nb.connection.sql import SqlConnection

_OPEN: Final[WeakSet[SqlConnection]] = WeakSet()


def close_at_exit(connection: SqlConnection) -> None:
    """Have ``connection`` closed at the end unless it is closed before."""
    _OPEN.add(connection)


@atexit.register
def _close_all() -> None:
    """Close each; one that cannot be closed is left to the next open, which recovers as after a crash."""
    for connection in list(_OPEN):
        with suppress(Exception):
            connection.close()

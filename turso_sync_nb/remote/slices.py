"""Wait in slices, so that a Ctrl-C is heard that comes as a wait begins.

Python looks for signals between its own steps. One that arrives after the last look and before the system
begins to wait is noted, and looked at when the wait ends: after 60 s of a server that does not answer.
Signals reach the main thread alone.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_S: Final = 0.5
"""Seconds after which Python looks for a Ctrl-C again."""


def in_slices(read: Callable[[float | None], bytes], timeout_s: float | None, late: type[Exception]) -> bytes:
    """Return what ``read`` gives, which waits for so many seconds as it is told and then raises ``late``."""
    if threading.current_thread() is not threading.main_thread():
        return read(timeout_s)
    left_s = math.inf if timeout_s is None else timeout_s
    while left_s > SLICE_S:
        try:
            return read(SLICE_S)
        except late:
            left_s -= SLICE_S
    return read(left_s)

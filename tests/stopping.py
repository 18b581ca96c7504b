"""Tell the moments at which a Ctrl-C cannot come out of the statement that it stops."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def is_finalizing(frame: FrameType | None) -> bool:
    """Return whether a finalizer or a ``__del__`` runs: Python prints what is raised in one, and goes on."""
    while frame is not None:
        if frame.f_code.co_filename == weakref.__file__ or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False

"""Holes in a file: bytes that read as zeros and take no room on the disk."""

from __future__ import annotations

import ctypes
import os
from typing import Final

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_fallocate: Final = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)


def punch(descriptor: int, offset: int, length: int) -> None:
    """Give ``length`` bytes from ``offset`` on back to the file system; the file's size stays.

    Not durable by itself: after a power cut the old bytes may be there again.

    Raises:
        OSError: the file system cannot do that (``ENOTSUP``), or failed.
    """
    if _fallocate is None:
        raise OSError(os.strerror(95), "fallocate")
    mode = ctypes.c_int(_KEEP_SIZE | _PUNCH_HOLE)
    if _fallocate(ctypes.c_int(descriptor), mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

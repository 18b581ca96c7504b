"""Do what differs between operating systems: durable writes, reads at an offset, holes, forks, tags of files.

Linux has everything and is what is tested. macOS syncs with ``F_FULLFSYNC`` and makes no holes, so it has no
``max_resident``. Windows has no reads at an offset: the package is imported there, and
:func:`check_supported` says in one line what to do. Nothing else in the package asks which system it runs on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Buffer

try:
    import fcntl
    import resource
except ImportError:
    fcntl = None  # type: ignore[assignment]
    resource = None  # type: ignore[assignment]

_SUPPORTED: Final = fcntl is not None and all(hasattr(os, name) for name in ("pread", "pwrite"))
_FULL_SYNC: Final = getattr(fcntl, "F_FULLFSYNC", None)
"""macOS alone: its fsync leaves data in the disk's own cache."""

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_fallocate: Final = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None) if _SUPPORTED else None

_WRITE_RANGE: Final = 2
_sync_file_range: Final = getattr(ctypes.CDLL(None), "sync_file_range", None) if _SUPPORTED else None


def check_supported(doing: str) -> None:
    """Raise unless this system can hold a replica or serve one.

    Raises:
        UsageError: it is one such as Windows.
    """
    if not _SUPPORTED:
        raise UsageError(
            f"{doing}: not supported on this system ({sys.platform}), whose files are not those of POSIX",
            hint="use Linux or macOS; on Windows, WSL",
        )


def open_files_max() -> int:
    """Return how many files and connections this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def allow_open_files(count: int) -> None:
    """Let this process have up to ``count`` files open, as far as the system lets it ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Return up to ``length`` bytes from ``offset`` on; the descriptor's own place stays."""
    return os.pread(descriptor, length, offset)


def write_at(descriptor: int, data: Buffer, offset: int) -> int:
    """Write ``data`` from ``offset`` on and return how many bytes were written."""
    return os.pwrite(descriptor, data, offset)


def sync_descriptor(descriptor: int) -> None:
    """Make a file durable, down to the disk itself.

    Raises:
        OSError: it cannot be done.
    """
    if _FULL_SYNC is not None:
        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fsync(descriptor)


def start_writing(descriptor: int, length: int, offset: int) -> None:
    """Have the disk begin with what was written there, where the system takes the hint; nothing is durable.

    :func:`sync_descriptor` then has less to wait for, and tells of errors.
    """
    if _sync_file_range is not None:
        _sync_file_range(
            ctypes.c_int(descriptor),
            ctypes.c_int64(offset),
            ctypes.c_int64(length),
            ctypes.c_uint(_WRITE_RANGE),
        )


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Give ``length`` bytes from ``offset`` on back to the file system: they read as zeros, the size stays.

    Not durable by itself: after a power cut the old bytes may be there again.

    Raises:
        OSError: the file system cannot do that (``ENOTSUP``), or failed.
    """
    if _fallocate is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    mode = ctypes.c_int(_KEEP_SIZE | _PUNCH_HOLE)
    if _fallocate(ctypes.c_int(descriptor), mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def after_fork_in_child(function: Callable[[], None]) -> None:
    """Have ``function`` called in each child that is forked, where processes fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def never_freed(thing: object) -> None:
    """Have ``thing`` live as long as the process, past the end of the interpreter."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def read_tag(path: Path, name: str) -> str:
    """Return the extended attribute ``name`` of a file, empty where there is none or no such thing.

    Raises:
        OSError: the file has none, or its file system cannot have any.
    """
    return os.getxattr(path, name).decode(errors="replace") if hasattr(os, "getxattr") else ""


def write_tag(path: Path, name: str, text: str) -> None:
    """Set the extended attribute ``name`` of a file, where there is such a thing.

    Raises:
        OSError: its file system cannot have any.
    """
    if hasattr(os, "setxattr"):
        os.setxattr(path, name, text.encode())

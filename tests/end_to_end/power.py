"""A disk that forgets: what a folder may look like after the power went.

A :class:`Recorder` notes every write, truncation, sync, creation, renaming and removal that this process does
in a folder: Python's by wrapped functions, SQLite's by a VFS around the real one. :func:`left_on_disk` makes
of them a folder as it may be found: content as of each file's last sync, and of what came later any part,
in any order, torn at sectors; names as of the folder's last sync, and of what was done to them later the
first few.
"""

from __future__ import annotations

import os
import pathlib
import pickle
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import apsw

from turso_sync_nb.storage.pages import eviction

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SECTOR: Final = 512
_PASSING: Final = ("-shm", "lock")
"""Ends of names whose content nobody relies on after a power cut."""


@dataclass(frozen=True)
class Event:
    """One thing done; ``mtime_ns`` is the file's afterwards."""

    kind: str
    file: int = 0
    name: str = ""
    to: str = ""
    offset: int = 0
    data: bytes = b""
    mtime_ns: int = 0


class Recorder:
    """Notes what happens in ``folder``; at event ``stop`` it writes its notes and ends the process."""

    def __init__(self, folder: Path, notes: Path, stop: int) -> None:
        self.folder = folder.resolve()
        self.notes = notes
        self.stop = stop
        self.events: list[Event] = []
        self.files: dict[str, int] = {}
        self._numbers = 0
        self._descriptors: dict[int, str] = {}
        for path in sorted(self.folder.glob("*")):
            if self.known(path):
                self._found(path)

    def _found(self, path: Path) -> None:
        data, mtime_ns = path.read_bytes(), path.stat().st_mtime_ns
        self.events.append(Event("found", self.new(path.name), path.name, data=data, mtime_ns=mtime_ns))
        self.stop += 1

    def known(self, path: Any) -> str:
        """Return the name of a file in the folder, empty for any other path."""
        if not isinstance(path, str | Path):
            return ""
        full = Path(os.path.realpath(path))
        return "" if full.parent != self.folder or full.name.endswith(_PASSING) else full.name

    def new(self, name: str) -> int:
        """Return the number of a file that is made now."""
        self._numbers += 1
        self.files[name] = self._numbers
        return self._numbers

    def note(self, kind: str, file: int = 0, name: str = "", *, path: Any = None, **more: Any) -> None:
        """Note an event that was done; end here if it is the last one."""
        mtime_ns = 0 if path is None else os.stat(path).st_mtime_ns  # noqa: PTH116 - a descriptor, too
        self.events.append(Event(kind, file, name, mtime_ns=mtime_ns, **more))
        if len(self.events) == self.stop:
            self.end()

    def end(self) -> None:
        """Write the notes, and end the process."""
        self.notes.write_bytes(pickle.dumps(self.events))
        os._exit(9)

    def opened(self, name: str) -> int:
        """Return the number of the file ``name``, which was opened for writing and may be new."""
        if name not in self.files:
            self.note("create", self.new(name), name)
        return self.files[name]

    # Python's own

    def install(self) -> None:
        """Wrap what this package uses to change files."""
        for module, name, wrapped in (
            (os, "open", self._open),
            (os, "close", self._close),
            (os, "pwrite", self._pwrite),
            (os, "ftruncate", self._ftruncate),
            (os, "fsync", self._fsync),
            (os, "replace", self._replace),
            (os, "unlink", self._unlink),
            (eviction, "punch_hole", self._punch),
        ):
            setattr(module, name, _around(getattr(module, name), wrapped))
        pathlib.Path.open = _around(pathlib.Path.open, self._path_open)  # type: ignore[method-assign]
        self.vfs = PowerVFS(self)

    def _open(self, real: Callable[..., int], path: Any, flags: int, *more: Any, **options: Any) -> int:
        descriptor = real(path, flags, *more, **options)
        if os.path.realpath(path) == str(self.folder):
            self._descriptors[descriptor] = "."
        elif (name := self.known(path)) and flags & (os.O_WRONLY | os.O_RDWR):
            file = self.opened(name)
            self._descriptors[descriptor] = name
            if flags & os.O_TRUNC:
                self.note("truncate", file, path=path)
        return descriptor

    def _close(self, real: Callable[[int], None], descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        real(descriptor)

    def _pwrite(self, real: Callable[..., int], descriptor: int, data: bytes, offset: int) -> int:
        written = real(descriptor, data, offset)
        if name := self._descriptors.get(descriptor):
            self.note("write", self.files[name], offset=offset, data=bytes(data), path=descriptor)
        return written

    def _punch(self, real: Callable[..., None], descriptor: int, offset: int, length: int) -> None:
        real(descriptor, offset, length)
        size = min(length, os.fstat(descriptor).st_size - offset)
        if size > 0:
            name = self._descriptors[descriptor]
            self.note("write", self.files[name], offset=offset, data=bytes(size), path=descriptor)

    def _ftruncate(self, real: Callable[..., None], descriptor: int, size: int) -> None:
        real(descriptor, size)
        if name := self._descriptors.get(descriptor):
            self.note("truncate", self.files[name], offset=size, path=descriptor)

    def _fsync(self, real: Callable[[int], None], descriptor: int) -> None:
        real(descriptor)
        if name := self._descriptors.get(descriptor):
            self.note("sync folder" if name == "." else "sync", self.files.get(name, 0))

    def _replace(self, real: Callable[..., None], source: Any, target: Any) -> None:
        real(source, target)
        if name := self.known(source):
            to = self.known(target)
            self.files[to] = self.files.pop(name)
            self._descriptors = {one: to if at == name else at for one, at in self._descriptors.items()}
            self.note("rename", name=name, to=to)

    def _unlink(self, real: Callable[..., None], path: Any) -> None:
        real(path)
        if (name := self.known(path)) and name in self.files:
            del self.files[name]
            self.note("unlink", name=name)

    def _path_open(
        self, real: Callable[..., Any], path: Path, mode: str = "r", *more: Any, **how: Any
    ) -> Any:
        if not self.known(path) or mode != "wb":
            return real(path, mode, *more, **how)
        return _Writer(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))


def _around(real: Any, wrapped: Callable[..., Any]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        return wrapped(real, *arguments, **options)

    return call


class _Writer:
    """A file open for writing, without a buffer."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = 0

    def write(self, data: bytes) -> int:
        """Append ``data``."""
        self._size += os.pwrite(self._descriptor, data, self._size)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


# SQLite's


class PowerVFS(apsw.VFS):
    """The real VFS, its changes noted; the default one from now on."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__("power", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open a file."""
        return PowerFile(self.recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 - APSW's
        """Remove a file."""
        super().xDelete(filename, syncdir)
        if (name := self.recorder.known(filename)) and name in self.recorder.files:
            del self.recorder.files[name]
            self.recorder.note("unlink", name=name)
            if syncdir:
                self.recorder.note("sync folder")


class PowerFile(apsw.VFSFile):
    """A real file, its changes noted."""

    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        self._recorder = recorder
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("unix", name, flags)
        known = recorder.known(self._path)
        self._file = recorder.opened(known) if known and flags[0] & apsw.SQLITE_OPEN_READWRITE else 0
        # SQLite's unix layer syncs the folder with the first sync of a log
        self._folder_too = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & apsw.SQLITE_OPEN_WAL)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - APSW's name
        """Write."""
        super().xWrite(data, offset)
        if self._file:
            self._recorder.note("write", self._file, offset=offset, data=bytes(data), path=self._path)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - APSW's name
        """Cut or extend."""
        super().xTruncate(newsize)
        if self._file:
            self._recorder.note("truncate", self._file, offset=newsize, path=self._path)

    def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
        """Sync."""
        super().xSync(flags)
        if self._file:
            self._recorder.note("sync", self._file)
            if self._folder_too:
                self._folder_too = False
                self._recorder.note("sync folder")


# After the power cut


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    mtime_ns: int = 0
    unsynced: list[Event] = field(default_factory=list)

    def apply(self, event: Event, data: bytes | None = None) -> None:
        self.mtime_ns = event.mtime_ns
        if event.kind == "truncate":
            self._resize(event.offset)
            return
        data = event.data if data is None else data
        if len(self.content) < event.offset:
            self._resize(event.offset)
        self.content[event.offset : event.offset + len(data)] = data

    def _resize(self, size: int) -> None:
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))

    def lose(self, rnd: Random, kept: float) -> None:
        """Apply what the disk happened to write of what was not synced."""
        for event in self.unsynced:
            if rnd.random() >= kept:
                continue
            if event.kind == "write" and len(event.data) > SECTOR and rnd.random() < 0.3:
                self._apply_torn(event, rnd)
            else:
                self.apply(event)

    def _apply_torn(self, event: Event, rnd: Random) -> None:
        for at in range(0, len(event.data), SECTOR):
            if rnd.random() < 0.5:
                part = Event("write", offset=event.offset + at, mtime_ns=event.mtime_ns)
                self.apply(part, event.data[at : at + SECTOR])


def left_on_disk(events: list[Event], folder: Path, rnd: Random) -> None:
    """Make ``folder`` as a power cut after ``events`` may leave it."""
    files: defaultdict[int, _File] = defaultdict(_File)
    names: dict[str, int] = {}
    unsynced: list[Event] = []
    for event in events:
        if event.kind == "found":
            files[event.file] = _File(bytearray(event.data), event.mtime_ns)
            names[event.name] = event.file
        elif event.kind in ("write", "truncate"):
            files[event.file].unsynced.append(event)
        elif event.kind == "sync":
            file = files[event.file]
            for each in file.unsynced:
                file.apply(each)
            file.unsynced.clear()
        elif event.kind == "sync folder":
            _rename(names, unsynced)
            unsynced.clear()
        else:
            unsynced.append(event)
    kept = rnd.choice((0.0, 0.5, 0.9, 1.0))
    _rename(names, unsynced[: rnd.randint(0, len(unsynced))])
    folder.mkdir()
    for name, number in names.items():
        files[number].lose(rnd, kept)
        path = folder / name
        path.write_bytes(files[number].content)
        os.utime(path, ns=(files[number].mtime_ns,) * 2)


def _rename(names: dict[str, int], events: list[Event]) -> None:
    for event in events:
        if event.kind == "create":
            names[event.name] = event.file
        elif event.kind == "rename":
            names[event.to] = names.pop(event.name)
        else:
            del names[event.name]

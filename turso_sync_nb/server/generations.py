"""See the history as generations of the legacy protocol.

A generation begins at a revision, its base file, and its frames are the pages that each later revision
changed, one after the other, the last one of each saying the database's size. The next generation begins at
the newest revision once it has many frames: a new client takes the base file and all of them.

Rules of this file: a frame's number is counted from the kept revisions each time, so it is the same after a
restart. A generation is served as long as the revision that it begins at is kept. The first number of a
history is drawn at random: another history's generations are unknown here, and not taken for these.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.protocol.legacy import SALTS_BYTES, Frame, Status, encode_frame
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.server.history import History

_FIRST_MAX: Final = 2**31
"""The first generation's number is drawn below this: libSQL's own client has 32 bits for it."""


@dataclass
class Generation:
    """The frames of one generation, by revision; more are added as long as it is the current one."""

    number: int
    begins_at: int
    ends: list[int] = field(default_factory=lambda: [0])
    """The number of the last frame of each revision, from the one that it begins at."""
    pages: list[BitMap] = field(default_factory=lambda: [BitMap()])
    """The pages of these frames."""

    @property
    def frames(self) -> int:
        """The number of its last frame, 0 without one."""
        return self.ends[-1]


class Generations:
    """The generations of one history; safe to use from any thread."""

    def __init__(self, history: History, frames_max: int) -> None:
        self._history = history
        self._frames_max = frames_max
        self._lock = threading.Lock()
        self._known: dict[int, Generation] = {}

    def current(self) -> Generation:
        """Return the current one, with all that was committed until now."""
        with self._lock:
            return self._current()

    def at(self, number: int) -> tuple[Generation, Status] | None:
        """Return a generation and what to say past its last frame, or None if it is not kept."""
        with self._lock:
            current = self._current()
            found = current if number == current.number else self._read(number)
            return (found, Status(current.number, current.frames)) if found else None

    def chunks(self, generation: Generation, first: int, end: int, chunk_pages: int) -> Iterator[bytes]:
        """Yield the frames from number ``first`` to before ``end``, some at a time.

        Raises:
            RevisionGoneError: their revision was pruned meanwhile; the body stays incomplete.
        """
        name = f"{self._history.newest.epoch}.{generation.number}".encode()
        salts = hashlib.sha256(name).digest()[:SALTS_BYTES]
        while first < end:
            step = bisect_right(generation.ends, first - 1)
            before, last = generation.ends[step - 1], generation.ends[step]
            until = min(last, end - 1, first + chunk_pages - 1)
            pages = [PageId(page) for page in generation.pages[step][first - before - 1 : until - before]]
            revision = generation.begins_at + step
            db_pages = self._history.db_pages_at(revision) or 0 if until == last else 0
            found = self._history.read(revision, pages)
            frames = [Frame(page, 0, salts, data) for page, data in zip(pages, found, strict=True)]
            frames[-1] = Frame(pages[-1], db_pages, salts, found[-1])
            yield b"".join(map(encode_frame, frames))
            first = until + 1

    def _current(self) -> Generation:
        newest = self._history.advance()
        numbers = self._history.generations()
        found = self._read(max(numbers)) if numbers else None
        if found is None or found.frames >= self._frames_max:
            number = max(numbers) + 1 if numbers else secrets.randbelow(_FIRST_MAX) + 1
            self._history.begin_generation(number, newest.revision)
            found = self._known[number] = Generation(number, newest.revision)
        return found

    def _read(self, number: int) -> Generation | None:
        """Return a generation with all its frames, or None if the revision that it begins at is not kept."""
        numbers = self._history.generations()
        begins_at = numbers.get(number)
        if begins_at is None or self._history.db_pages_at(begins_at) is None:
            self._known.pop(number, None)
            return None
        ends_at = numbers.get(number + 1, self._history.newest.revision)
        found = self._known.setdefault(number, Generation(number, begins_at))
        for revision in range(begins_at + len(found.ends), ends_at + 1):
            changed = self._history.changed(revision - 1, revision)
            db_pages = self._history.db_pages_at(revision)
            if changed is None or db_pages is None:
                return None
            pages = changed & BitMap(range(db_pages)) or BitMap([0])
            found.pages.append(pages)
            found.ends.append(found.ends[-1] + len(pages))
        return found

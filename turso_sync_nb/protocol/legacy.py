"""Read and write the legacy protocol: a database as generations, each one a base file and WAL frames on it.

``GET /info`` names the current generation, ``GET /export/G`` is the base file of one, and
``GET /sync/G/FROM/TO`` are its frames from number FROM up to, not with, TO: a header of 24 bytes, of which
the page's number, the size of the database (on the last frame of a transaction) and the salts are looked at,
then the page. Past the last frame the answer is 400 with a JSON body that says which generation is current.
The base file of a generation is that of the one before it with all its frames.

Rules of this file: what of a transaction came without its last frame does not count, which is the
reader's to see to; a frame has no checksum that could be checked without the ones before it, so none is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.units import (
    FRAME_BYTES,
    FRAME_HEADER_BYTES,
    PAGES_MAX,
    PageId,
    PageNumber,
    page_id,
    page_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKPOINT_NEEDED: Final = "checkpoint_needed"
"""The status of an answer past a generation's last frame."""

BATCH_FRAMES: Final = 100
"""Frames that are asked for at once, unless the user says otherwise; the reference's own number."""

SALTS_BYTES: Final = 8
"""Two salts, which tell one WAL from another."""

_NUMBER_MAX: Final = 2**63 - 1
"""Largest number of a generation or frame."""

_NAME: Final = re.compile(r"legacy\.([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,10})")
_NOT_SPOKEN: Final = "check that this server speaks the legacy protocol; else leave protocol out"
_DAMAGED: Final = "try again; if it stays so, the server's answers are damaged"


@dataclass(frozen=True)
class Place:
    """A state of the database: so many frames of a generation, after which it has ``db_pages`` pages."""

    generation: int
    frame: int
    db_pages: int = 0

    @property
    def name(self) -> str:
        """The state as a revision's name, to be saved with a replica."""
        return f"legacy.{self.generation}.{self.frame}.{self.db_pages}"

    @classmethod
    def named(cls, revision: str) -> Place | None:
        """Return the place that a revision names, or None if it is not one of this protocol."""
        found = _NAME.fullmatch(revision)
        return cls(*map(int, found.groups())) if found else None


@dataclass(frozen=True)
class Status:
    """The answer past the last frame: the server's current generation, and how many frames that has."""

    generation: int
    max_frame: int


@dataclass(frozen=True)
class Frame:
    """One page of a transaction; the last one says by ``db_pages`` how large the database is, others 0."""

    page: PageId
    db_pages: int
    salts: bytes
    data: bytes


def encode_info(generation: int) -> bytes:
    """Return the body of an answer to /info."""
    return json.dumps({"current_generation": generation}).encode()


def decode_info(body: bytes) -> int:
    """Return the current generation.

    Raises:
        ProtocolError: the body does not say.
    """
    return _number(_object(body), "current_generation")


def encode_status(status: Status) -> bytes:
    """Return the body of the answer past the last frame."""
    fields = {"generation": status.generation, "max_frame_no": status.max_frame, "baton": None}
    return json.dumps({"status": CHECKPOINT_NEEDED, **fields}).encode()


def decode_status(body: bytes) -> Status:
    """Return what the answer past the last frame says.

    Raises:
        ProtocolError: it says something else.
    """
    fields = _object(body)
    if fields.get("status") != CHECKPOINT_NEEDED:
        raise ProtocolError("read frames: the server refused them for no reason known", hint=_NOT_SPOKEN)
    return Status(_number(fields, "generation"), _number(fields, "max_frame_no"))


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame; its checksum is 0."""
    number = page_number(frame.page).to_bytes(4, "big")
    size = frame.db_pages.to_bytes(4, "big")
    rest = frame.salts.ljust(FRAME_HEADER_BYTES - len(number + size), b"\0")
    return number + size + rest + frame.data


class FrameDecoder:
    """Reads frames out of a body that comes in pieces; memory is bounded by a frame and a piece."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now.

        Raises:
            ProtocolError: one holds no page of a database.
        """
        self._rest += piece
        at = 0
        while len(self._rest) - at >= FRAME_BYTES:
            yield _frame(bytes(self._rest[at : at + FRAME_BYTES]))
            at += FRAME_BYTES
        del self._rest[:at]

    def finish(self) -> None:
        """Raise ProtocolError if the body ended inside a frame."""
        if self._rest:
            raise ProtocolError(
                f"read frames: {len(self._rest)} bytes are left over, a frame has {FRAME_BYTES}",
                hint="this server's pages may be of another size, only 4096 is known",
            )


def _frame(data: bytes) -> Frame:
    number = int.from_bytes(data[0:4], "big")
    db_pages = int.from_bytes(data[4:8], "big")
    if not 1 <= number <= PAGES_MAX or db_pages > PAGES_MAX:
        raise ProtocolError(f"read frames: one is of page number {number}", hint=_DAMAGED)
    salts = data[8 : 8 + SALTS_BYTES]
    return Frame(page_id(PageNumber(number)), db_pages, salts, data[FRAME_HEADER_BYTES:])


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProtocolError("read answer: it is no JSON object", hint=_NOT_SPOKEN)
    return found


def _number(fields: dict[str, Any], name: str) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _NUMBER_MAX:
        raise ProtocolError(f"read answer: {name} is no number of the legacy protocol", hint=_NOT_SPOKEN)
    return found

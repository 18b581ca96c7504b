"""Encode a pull-updates request; decode its answer, a header and the pages after it.

Rules of this file:

- A request is one protobuf message. An answer is length-delimited ones (varint, then the message): a
  header, then pages in any order until the body ends; there is no count of them.
- What this version does not know is skipped (fields), what changes the meaning is refused (values).
- Revisions are opaque: never parsed, never compared for order.
- Memory is bounded by one message and one chunk, however long the body is.
- Page 0 is looked at for one thing only: a database in MVCC mode, which SQLite cannot open. Nothing else
  of what pages hold is checked here, nor whether all the pages that were asked for came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from google.protobuf.message import DecodeError
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol import pull_updates_pb2 as wire
from turso_sync_nb.protocol.framing import Inbox, delimit, encode_varint
from turso_sync_nb.protocol.page_encoding import (
    ZSTD_LEVEL,
    Encoding,
    PageReader,
    RawReader,
    ZstdReader,
    encode_bytes,
)
from turso_sync_nb.protocol.selector import decode_selector, encode_selector
from turso_sync_nb.units import PAGE_SIZE, PAGES_MAX, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DATABASE_HEADER",
    "Encoding",
    "PullDecoder",
    "PullHeader",
    "PullRequest",
    "encode_header",
    "encode_page",
]

MVCC_VERSION: Final = 255
"""Bytes 18 and 19 of page 0 (file format write and read version) of a database in MVCC mode."""

DATABASE_HEADER: Final = "x-turso-sync-nb-database"
"""HTTP header of an answer: the name of the database, so that a replica notices another one. Only the
embedded server sends it; other clients ignore it."""

NOT_A_SERVER: Final = "check that the address is a Turso sync server, not some other web page"
BROKEN_SERVER: Final = "the server broke the protocol; report it to whoever runs it"
NOT_SQLITE: Final = "this database is in MVCC mode, which SQLite cannot read; serve it in WAL mode"
NEWER_SERVER: Final = "the server is newer than this package; upgrade turso-sync-nb"


_USUAL_PAGE: Final = re.compile(rb"[\x85-\x88]\x20\x08([\x80-\xff]{0,3}[\x00-\x7f])\x12\x80\x20", re.DOTALL)
"""The bytes before the content of a raw page, but the first: a length, the page id, the content's length."""

_USUAL_LENGTH: Final = 0x84
"""The lower half of the message's length, without the digits of the page id."""

_DIGITS_AT: Final = 3
"""The offset of the page id's lowest digit in such a message, its length included."""

_ALL_BYTES: Final = bytes(range(256))


@dataclass(frozen=True)
class PullRequest:
    """A request to /pull-updates: for what is new, or for some pages of one revision.

    ``server_revision`` is the revision to read, empty for the latest. ``client_revision`` is what the
    client holds, empty for nothing. ``pages`` are the page ids to send, ``None`` for all of them (an
    empty set is none of them). ``query`` is SQL whose pages to send; some servers ignore it and send
    all. ``long_poll_timeout_ms`` waits for news, where ``client_revision`` is set and
    ``server_revision`` is not.
    """

    server_revision: str = ""
    client_revision: str = ""
    long_poll_timeout_ms: int | None = None
    pages: BitMap | None = None
    query: str = ""
    encoding: Encoding = "raw"

    def encode(self) -> bytes:
        """Return the request body.

        Raises:
            ProtocolError: a text is not valid Unicode, or the time-out does not fit in 32 bits.
        """
        try:
            return wire.PullRequestMessage(
                encoding=wire.ZSTD if self.encoding == "zstd" else wire.RAW,
                server_revision=self.server_revision,
                client_revision=self.client_revision,
                long_poll_timeout_ms=self.long_poll_timeout_ms,
                server_pages_selector=b"" if self.pages is None else encode_selector(self.pages),
                server_query_selector=self.query,
            ).SerializeToString()
        except ValueError as error:  # UnicodeEncodeError is one
            raise ProtocolError(
                f"write pull request: {error}",
                hint="texts must be valid Unicode, long_poll_timeout_ms from 0 to 4294967295",
            ) from error

    @classmethod
    def decode(cls, data: bytes) -> PullRequest:
        """Return the request that the body ``data`` holds.

        The kind of stream that it prefers is not looked at: the answer is pages, and says so.

        Raises:
            ProtocolError: ``data`` is not a request, or asks for an encoding that is not known.
        """
        try:
            message = wire.PullRequestMessage.FromString(data)
        except DecodeError as error:
            raise ProtocolError(
                f"read pull request of {len(data)} bytes: {error}",
                hint="send one PullRequest protobuf message",
            ) from error
        if message.encoding not in (wire.RAW, wire.ZSTD):
            raise ProtocolError(
                f"read pull request: page encoding {message.encoding} is asked for",
                hint="ask for raw (0) or zstd (1)",
            )
        selector = message.server_pages_selector
        timeout_ms = message.long_poll_timeout_ms if message.HasField("long_poll_timeout_ms") else None
        return cls(
            server_revision=message.server_revision,
            client_revision=message.client_revision,
            long_poll_timeout_ms=timeout_ms,
            pages=decode_selector(selector) if selector else None,
            query=message.server_query_selector,
            encoding="zstd" if message.encoding == wire.ZSTD else "raw",
        )


@dataclass(frozen=True)
class PullHeader:
    """The header of an answer.

    ``db_pages`` is the size at the *newest* revision, also when an older one was asked for; 0 is an
    empty database. ``replaces_base`` says that the pages are the whole database and not changes to what
    the client holds.
    """

    revision: str
    db_pages: int
    encoding: Encoding = "raw"
    replaces_base: bool = False


class PullDecoder:
    """One answer, decoded as it arrives.

        decoder = PullDecoder()
        for chunk in body:
            for page_id, data in decoder.feed(chunk): ...
        decoder.finish()

    ``header`` is there as soon as its last byte was fed. Pages come decoded, exactly 4096 bytes each,
    each id at most once. With ``check_bounds`` a page id past the header's ``db_pages`` is refused; a
    caller that asks for an older revision of a database that may have shrunk turns that off.

    With ``together_max`` above 1, pages that follow each other on the wire and by their ids come as one
    item, at most so many: the first one's id, and the content of all.

    After an error the decoder stays where the error is: feeding it again raises it again.
    """

    def __init__(self, *, check_bounds: bool = True) -> None:
        self.header: PullHeader | None = None
        self.together_max = 1
        self._check_bounds = check_bounds
        self._inbox = Inbox()
        self._reader: PageReader = RawReader()
        self._seen = BitMap()

    def feed(self, data: bytes) -> Iterator[tuple[PageId, bytes]]:
        """Take the next bytes of the body, in any chunking; return the pages that are complete by now.

        The header is read at once, pages while the result is iterated. Pages that were not iterated are
        in the result of the next call.

        Raises:
            ProtocolError: here for the header, while iterating for a page; the pages before it are good.
        """
        self.take(data)
        return self._pages()

    def take(self, data: bytes) -> None:
        """Take the next bytes of the body; the next ``feed`` returns the pages that are complete by then.

        Raises:
            ProtocolError: for the header.
        """
        self._inbox.add(data)
        if self.header is None and (message := self._inbox.message()) is not None:
            self.header, self._reader = _decode_header(message)
            self._inbox.drop()

    def finish(self) -> None:
        """Say that the body has ended; call it when every page was iterated.

        Raises:
            ProtocolError: the body ended inside a message, or before the header was complete.
        """
        left = self._inbox.left
        if self.header is None:
            raise ProtocolError(f"read header: the answer ended after {left} bytes of it", hint=NOT_A_SERVER)
        if left:
            raise ProtocolError(
                f"read page: the answer ended after {left} bytes of it", hint="the answer was cut; try again"
            )

    def _pages(self) -> Iterator[tuple[PageId, bytes]]:
        if self.header is None:
            return
        inbox, is_raw = self._inbox, self.header.encoding == "raw"
        while True:
            if is_raw:
                yield from self._usual_pages(self.header)
            if (message := inbox.message()) is None:
                return
            page = self._decode_page(message)
            inbox.drop()
            yield page

    def _usual_pages(self, header: PullHeader) -> Iterator[tuple[PageId, bytes]]:
        """Yield raw pages as every server writes them, up to one that is not here whole, or not in order."""
        inbox, seen = self._inbox, self._seen
        limit = header.db_pages if self._check_bounds else PAGES_MAX
        data, at = inbox.front()
        while (found := _USUAL_PAGE.match(data, at)) is not None:
            digits, begin = found[1], found.end()
            end, page_id = begin + PAGE_SIZE, 0
            for digit in reversed(digits):
                page_id = page_id << 7 | digit & 0x7F
            if end > len(data) or data[at] != _USUAL_LENGTH + len(digits):
                return
            if not 0 < page_id < limit or page_id in seen:
                return
            count = self._follow_each_other(data, at, end - at, page_id, limit)
            seen.add_range(page_id, page_id + count)
            if count > 1:
                whole, step = memoryview(data), end - at
                content = b"".join([whole[begin + n : end + n] for n in range(0, count * step, step)])
                inbox.skip(at + count * step)
                yield PageId(page_id), content
            else:
                inbox.skip(end)
                yield PageId(page_id), data[begin:end]
            data, at = inbox.front()

    def _follow_each_other(self, data: bytes, at: int, step: int, page_id: int, limit: int) -> int:
        """Return how many pages from the one at ``at`` come together: ``step`` bytes for each message.

        Their heads differ in the lowest digit of the page id alone, so they end where that digit does.
        """
        most = min(self.together_max, (len(data) - at) // step, limit - page_id, 128 - page_id % 128)
        if most <= 1 or self._seen.range_cardinality(page_id, page_id + most):
            return 1
        digit_at, end = at + _DIGITS_AT, at + most * step
        for place in range(at, at + step - PAGE_SIZE):  # of each page's head the byte at the same place
            digits, first = data[place:end:step], data[place]
            expected = _ALL_BYTES[first : first + most] if place == digit_at else digits[:1] * most
            if digits != expected:
                most = next(count for count in range(most) if digits[count] != expected[count])
                end = at + most * step
        return most

    def _decode_page(self, message: bytes) -> tuple[PageId, bytes]:
        try:
            parsed = wire.PageMessage.FromString(message)
        except DecodeError as error:
            raise ProtocolError(f"read page: not a page message: {error}", hint=NOT_A_SERVER) from error
        page_id = PageId(parsed.page_id)
        if page_id >= PAGES_MAX:
            raise ProtocolError(f"read page {page_id}: SQLite has no such page", hint=BROKEN_SERVER)
        if self._check_bounds and self.header is not None and page_id >= self.header.db_pages:
            raise ProtocolError(
                f"read page {page_id}: it lies past the end, the database has {self.header.db_pages} pages",
                hint=BROKEN_SERVER,
            )
        data = self._reader.read(page_id, parsed.encoded_page)
        if page_id == 0 and MVCC_VERSION in data[18:20]:
            raise ProtocolError("read page 0: the database is in MVCC mode", hint=NOT_SQLITE)
        try:
            self._seen.add_checked(page_id)
        except KeyError:
            raise ProtocolError(f"read page {page_id}: it came twice", hint=BROKEN_SERVER) from None
        return page_id, data


def _decode_header(data: bytes) -> tuple[PullHeader, PageReader]:
    """Return the header and what decodes the pages that follow it."""
    try:
        message = wire.PullHeaderMessage.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"read header of {len(data)} bytes: {error}", hint=NOT_A_SERVER) from error
    _refuse_other_meaning(message)
    if not message.server_revision:
        raise ProtocolError("read header: it names no revision", hint=NOT_A_SERVER)
    if message.db_size > PAGES_MAX:
        raise ProtocolError(
            f"read header: a database of {message.db_size} pages, SQLite has at most {PAGES_MAX}",
            hint=BROKEN_SERVER,
        )
    encoding: Literal["raw", "zstd"] = "zstd" if message.HasField("zstd_encoding") else "raw"
    reader = ZstdReader() if encoding == "zstd" else RawReader()
    replaces_base = message.apply_mode == wire.REPLACE_BASE
    return PullHeader(message.server_revision, message.db_size, encoding, replaces_base), reader


def _refuse_other_meaning(message: wire.PullHeaderMessage) -> None:
    """Raise ProtocolError for a header after which pages do not mean what they mean here."""
    if (
        message.stream_kind == wire.MVCC_LOGICAL_LOG
        or message.protocol == wire.PROTOCOL_MVCC_LOGICAL
        or message.HasField("mvcc_log")
    ):
        raise ProtocolError("read header: the remote sends an MVCC log, not pages", hint=NOT_SQLITE)
    for name, value, known in (
        ("stream kind", message.stream_kind, (wire.PAGES,)),
        ("protocol", message.protocol, (wire.PROTOCOL_UNSPECIFIED, wire.PROTOCOL_PAGES)),
        ("apply mode", message.apply_mode, (wire.INCREMENTAL, wire.REPLACE_BASE)),
    ):
        if value not in known:
            raise ProtocolError(f"read header: {name} {value} is unknown", hint=NEWER_SERVER)
    raw, zstd = message.HasField("raw_encoding"), message.HasField("zstd_encoding")
    if raw == zstd:
        which = "both raw and zstd" if raw else "neither raw nor zstd"
        raise ProtocolError(
            f"read header: pages are encoded {which}", hint=BROKEN_SERVER if raw else NOT_A_SERVER
        )
    if zstd and message.zstd_encoding.pages_dict:
        raise ProtocolError(
            f"read header: pages need a zstd dictionary of {len(message.zstd_encoding.pages_dict)} pages",
            hint="ask for raw pages: how the dictionary is made is not documented",
        )


def encode_header(header: PullHeader) -> bytes:
    """Return the header message, its length first."""
    message = wire.PullHeaderMessage(
        server_revision=header.revision,
        db_size=header.db_pages,
        raw_encoding=wire.RawEncoding() if header.encoding == "raw" else None,
        zstd_encoding=wire.ZstdEncoding(level=ZSTD_LEVEL) if header.encoding == "zstd" else None,
        apply_mode=wire.REPLACE_BASE if header.replaces_base else wire.INCREMENTAL,
        protocol=wire.PROTOCOL_PAGES,
    ).SerializeToString()
    return delimit(message)


def encode_page(page_id: PageId, data: bytes, encoding: Encoding) -> bytes:
    """Return the message of one page of 4096 bytes, its length first.

    Written by hand, to the same bytes as the generated class gives: it copies the page once, not thrice.

    Raises:
        ProtocolError: ``data`` is not 4096 bytes.
    """
    if len(data) != PAGE_SIZE:
        raise ProtocolError(
            f"write page {page_id}: {len(data)} bytes, a page is {PAGE_SIZE}",
            hint="serve a database whose page size is 4096",
        )
    encoded = encode_bytes(data) if encoding == "zstd" else data
    prefix = (b"\x08" + encode_varint(page_id) if page_id else b"") + b"\x12" + encode_varint(len(encoded))
    return b"".join((encode_varint(len(prefix) + len(encoded)), prefix, encoded))

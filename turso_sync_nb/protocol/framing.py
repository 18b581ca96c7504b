"""Read and write length-delimited messages: a varint length, then the message.

Bytes come in any chunking; a message is copied out once it is whole. What is held is at most one message
and one chunk. Waiting for a long message costs no work for each chunk of it.
"""

from __future__ import annotations

from typing import Final

from turso_sync_nb.errors import ProtocolError

MESSAGE_BYTES_MAX: Final = 2**20
"""Longest message that is waited for; a page takes 4106 bytes, a header some dozens."""

VARINT_BYTES_MAX: Final = 10
"""Longest varint of protobuf: 64 bits, 7 a byte."""

GOES_ON: Final = 0x80
"""The bit of a varint's byte that says that another byte follows."""

NOT_DELIMITED: Final = "check that the address is a Turso sync server, not some other web page"


class Inbox:
    """Bytes that were fed and not used yet, cut into length-delimited messages."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # in _data: where the next message begins, its length included
        self._message_end = 0
        self._late: list[bytes] = []  # came after _data; joined to it once the next message is whole
        self._wanted = 1  # bytes from _at that the next message takes at least
        self.left = 0  # bytes that are not used yet

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._late.append(bytes(data))
        self.left += len(data)

    def front(self) -> tuple[bytes, int]:
        """Return bytes that were fed, all that are left among them, and where the next message begins."""
        if self._late:
            rest = [self._data[self._at :]] if self._at < len(self._data) else []
            self._data, self._at = b"".join(rest + self._late), 0
            self._late.clear()
        return self._data, self._at

    def skip(self, to: int) -> None:
        """Go on to the message that begins at ``to`` in what ``front`` returned."""
        self.left -= to - self._at
        self._at = to
        self._wanted = 1

    def message(self) -> bytes | None:
        """Return the next message, again and again until ``drop``; None while it is incomplete.

        Raises:
            ProtocolError: its length cannot be.
        """
        if self.left < self._wanted:
            return None
        found = _read_length(*self.front())
        if found is None:
            self._wanted = self.left + 1
            return None
        length, start = found
        self._message_end = start + length
        self._wanted = self._message_end - self._at
        if self.left < self._wanted:
            return None
        return self._data[start : self._message_end]

    def drop(self) -> None:
        """Go on to the message after the one that ``message`` returned."""
        self.skip(self._message_end)


def _read_length(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the varint at ``at`` and where it ends; None when it is cut off."""
    length = shift = 0
    for end, byte in enumerate(data[at : at + VARINT_BYTES_MAX], at + 1):
        length |= (byte & 0x7F) << shift
        if byte < GOES_ON:
            if length > MESSAGE_BYTES_MAX:
                raise ProtocolError(f"read message of {length} bytes: too long", hint=NOT_DELIMITED)
            return length, end
        shift += 7
    if len(data) - at >= VARINT_BYTES_MAX:
        raise ProtocolError("read message: its length does not end", hint=NOT_DELIMITED)
    return None


def delimit(message: bytes) -> bytes:
    """Return ``message`` with its length before it."""
    return encode_varint(len(message)) + message


def encode_varint(value: int) -> bytes:
    """Return ``value``, which is not negative, 7 bits a byte, the lowest first."""
    if value < GOES_ON:
        return value.to_bytes(1)
    digits = bytearray()
    while value >= GOES_ON:
        digits.append(value & 0x7F | GOES_ON)
        value >>= 7
    digits.append(value)
    return bytes(digits)

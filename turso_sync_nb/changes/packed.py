"""Encode rows in one value of the tape: MessagePack, with texts that are not UTF-8 as an extension."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from turso_sync_nb.changes.model import RawText

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Image, RowChange

_RAW_TEXT: Final = 1
"""Type of the msgpack extension that holds a text which is not UTF-8; it is on the tape, so it stays."""


def packed_images(images: Iterable[Image | None]) -> bytes:
    """Return rows in one blob."""
    return msgspec.msgpack.encode(list(map(_packable, images)))


def unpacked(data: bytes | None) -> list[Image]:
    """Return the rows in a blob of :func:`packed_images`."""
    rows = msgspec.msgpack.decode(data or b"\x90", ext_hook=lambda _, text: RawText(bytes(text)))
    return [tuple(row) for row in rows]


def _packable(image: Image | None) -> tuple[Any, ...] | None:
    if image is None or RawText not in map(type, image):
        return image
    return tuple(
        msgspec.msgpack.Ext(_RAW_TEXT, value.data) if isinstance(value, RawText) else value for value in image
    )


@lru_cache
def names_in(data: bytes | None) -> frozenset[str]:
    """Return the names in a blob of :func:`packed_images` whose first row they are."""
    rows = unpacked(data)
    return frozenset(map(str, rows[0])) if rows else frozenset()


class UpdateDetails(msgspec.Struct, frozen=True, array_like=True):
    """The parts of an update beside its new row."""

    old: tuple[Any, ...]
    derived: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    @classmethod
    def of(cls, change: RowChange) -> UpdateDetails:
        """Return those of ``change``, an update."""
        return cls(change.old or (), tuple(sorted(change.derived)), tuple(sorted(change.sets)))

    def packed(self) -> bytes:
        """Return them in one blob."""
        names = (self.derived, self.sets)
        return packed_images([self.old, *(names if any(names) else ())])

    @classmethod
    def unpacked(cls, data: bytes) -> UpdateDetails:
        """Return what :meth:`packed` put into a blob."""
        old, *names = unpacked(data)
        derived, sets = (tuple(map(str, each)) for each in names or ((), ()))
        return cls(old, derived, sets)

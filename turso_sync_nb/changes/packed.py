"""Encode rows in one value of the tape: MessagePack, with texts that are not UTF-8 as an extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from turso_sync_nb.changes.model import RawText

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Image

_RAW_TEXT: Final = 1


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


def names_in(data: bytes | None, at: int = 0) -> frozenset[str]:
    """Return the names that a blob of :func:`packed_images` has in the place of its row number ``at``."""
    rows = unpacked(data)
    return frozenset(map(str, rows[at])) if at < len(rows) else frozenset()

"""Draw a page map as a small PNG, for where no widget runs: a saved notebook, GitHub, an HTML export."""

from __future__ import annotations

import base64
import colorsys
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS_MAX: Final = 20_000
"""Cells of a picture; with more pages than that, each stands for several. Keeps a notebook small."""

WIDTH: Final = 640
"""Pixels of the picture, at most."""

HEIGHT_MAX: Final = 320
"""Pixels; a database with more pages has several in one."""

CELL_SIZES: Final = (10, 8, 6, 5, 4, 3)
GAP_FROM: Final = 5
"""Pixels of a cell from which on there is a line between two."""

STATES: Final = 4
"""States of a page, each a shade of its owner's colour."""

OWNERS_MAX: Final = 60
"""Owners with colours of their own; after as many colours come again."""

_LIGHTNESS: Final = (0.55, 0.55, 0.5, 0.42)
_OPACITY: Final = (56, 255, 255, 255)
"""By state, of 255. What lies behind a saved picture is light or dark, and is not known: an absent page has
the colour of its owner mixed with that."""

_CHANGED: Final = 2
"""The state of a page that was changed here."""


def data_url(states: NDArray[Any], owned: NDArray[Any]) -> str:
    """Return the address of a picture of cells: each with its state, and its owner's number or 0."""
    per_cell = -(-max(len(states), 1) // CELLS_MAX)
    cells = -(-len(states) // per_cell)
    padded = np.zeros(cells * per_cell, np.uint8)
    padded[: len(states)] = states
    most_telling = padded.reshape(cells, per_cell).max(axis=1) if cells else padded
    owners = owned[::per_cell].astype(np.int64)
    colours = np.where(owners > 0, (owners - 1) % OWNERS_MAX + 1, 0) * STATES + most_telling + 1
    return f"data:image/png;base64,{base64.b64encode(_png(_laid_out(colours))).decode()}"


def _laid_out(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels: rows of cells of the largest size that fits; colour 0 is the ground."""
    size = next(
        (each for each in CELL_SIZES if -(-len(colours) // (WIDTH // each)) * each <= HEIGHT_MAX),
        CELL_SIZES[-1],
    )
    columns = WIDTH // size
    rows = max(-(-len(colours) // columns), 1)
    grid = np.zeros(rows * columns, np.uint8)
    grid[: len(colours)] = colours
    pixels = grid.reshape(rows, columns).repeat(size, axis=0).repeat(size, axis=1)
    if size >= GAP_FROM:
        pixels[size - 1 :: size, :] = 0
        pixels[:, size - 1 :: size] = 0
    return pixels


def _png(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), pixels]).tobytes()
    header = struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)  # 8 bits, by palette
    parts = (
        (b"IHDR", header), (b"PLTE", _palette()), (b"tRNS", b"\0" + bytes(_OPACITY) * (OWNERS_MAX + 1)),
        (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""),
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def _palette() -> bytes:
    """Return the ground, and the colours of each owner in each state, without their opacity."""
    colours = [(255, 255, 255)]
    for owner in range(OWNERS_MAX + 1):
        hue = (200 + owner * 137.5) % 360 / 360
        for state, lightness in enumerate(_LIGHTNESS):
            of_state = (20 / 360, 1.0) if state == _CHANGED else (hue, 0.6 if owner else 0.0)
            red, green, blue = colorsys.hls_to_rgb(of_state[0], lightness, of_state[1])
            colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return bytes(part for colour in colours for part in colour)

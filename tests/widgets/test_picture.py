"""The picture of a page map is a PNG of a bounded size, each cell in the colour of its owner and state."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest

from turso_sync_nb.widgets.picture import CELLS_MAX, HEIGHT_MAX, OWNERS_MAX, STATES, WIDTH, data_url

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read(url):
    """Return the width and the lines of a picture; each chunk's checksum is right."""
    data = base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True)
    assert data.startswith(SIGNATURE)
    at, chunks = len(SIGNATURE), {}
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind.decode()] = body
        at += 12 + length
    assert list(chunks) == ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]
    width, height = struct.unpack_from(">2I", chunks["IHDR"])
    lines = np.frombuffer(zlib.decompress(chunks["IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    assert lines.max() < len(chunks["PLTE"]) // 3 == len(chunks["tRNS"])
    colours = np.frombuffer(chunks["PLTE"], np.uint8).reshape(-1, 3)
    return width, lines[:, 1:], np.column_stack([colours, np.frombuffer(chunks["tRNS"], np.uint8)])


@pytest.mark.parametrize("pages", [0, 1, 64, 65, 1_000, 5_000, CELLS_MAX, CELLS_MAX + 1, 300_000])
def test_its_size(pages):
    """Within its bounds, and no more cells than there are pages."""
    width, lines, _ = read(data_url(np.zeros(pages, np.uint8), np.zeros(pages, np.uint16)))
    assert width <= WIDTH
    assert lines.shape[0] <= HEIGHT_MAX
    assert bool(lines.any()) is bool(pages)


CELLS = {
    (0, 0): 1,
    (3, 0): 4,
    (0, 1): 1 + STATES,
    (2, 1): 3 + STATES,
    (1, OWNERS_MAX): 2 + STATES * OWNERS_MAX,
    (1, OWNERS_MAX + 1): 2 + STATES,
    (1, 65_535): 2 + STATES * ((65_535 - 1) % OWNERS_MAX + 1),
}
"""The colour of a cell by its state and its owner's number; colours come again."""


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell(cell):
    """Its colour stands from its first pixel on, with a line to the next one."""
    state, owner = cell
    _, lines, _ = read(data_url(np.array([state], np.uint8), np.array([owner], np.uint16)))
    assert set(lines[:9, :9].flat) == {CELLS[cell]}
    assert not lines[9].any()
    assert not lines[:, 9:].any()


def test_several_pages_in_one_cell():
    """The cell has the highest state of its pages: what was changed is not lost in it."""
    states = np.zeros(3 * CELLS_MAX, np.uint8)
    states[4] = 2
    _, lines, _ = read(data_url(states, np.zeros(len(states), np.uint16)))
    assert lines[0, 0] == 1
    assert lines[0, 3] == 3


@pytest.mark.parametrize("ground", [255, 56, 33, 17])
def test_states_on_a_light_and_a_dark_ground(ground):
    """An absent page is close to what lies behind the picture, in each owner's colour; others stand out."""
    colours = read(data_url(np.zeros(1, np.uint8), np.zeros(1, np.uint16)))[2].astype(float)
    opacity = colours[:, 3:] / 255
    seen = (colours[:, :3] * opacity + ground * (1 - opacity))[1:].reshape(-1, STATES, 3)
    contrast = np.abs(seen - ground).max(axis=2)
    assert (contrast[:, 0] < 60).all()
    assert (contrast[:, 0] > 8).all()
    assert (contrast[:, 1:] > contrast[:, :1] + 30).all()

"""Encode a million small numbers, and their changes, in a few bytes.

Two forms, both of unsigned LEB128 numbers, read by ``static/page_map.js``: the *whole* is pairs of (length,
value) from the beginning; a *delta* is for each value that something changed to: the value, how many runs,
and for each run how many places are passed over since the last one and its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]


def whole(values: Numbers) -> bytes:
    """Return all of ``values``."""
    if not len(values):
        return b""
    starts = np.flatnonzero(np.diff(values, prepend=values[0] + 1))
    lengths = np.diff(starts, append=len(values))
    return _varints(np.column_stack((lengths, values[starts])))


def delta(before: Numbers, now: Numbers) -> bytes:
    """Return what changed; both have the same length."""
    changed = np.flatnonzero(before != now)
    parts = []
    for value in np.unique(now[changed]):
        places = changed[now[changed] == value]
        firsts = places[np.diff(places, prepend=-2) > 1]
        ends = places[np.diff(places, append=places[-1] + 2) > 1] + 1
        gaps = firsts - np.concatenate(([0], ends[:-1]))
        parts.append(_varints(np.array([value, len(firsts)])))
        parts.append(_varints(np.column_stack((gaps, ends - firsts))))
    return b"".join(parts)


def _varints(numbers: Numbers) -> bytes:
    """Return ``numbers``, all below 2**35, in sevens of bits, the lowest first."""
    shifted = numbers.reshape(-1, 1).astype(np.uint64) >> np.arange(0, 35, 7, dtype=np.uint64)
    more = np.column_stack((shifted[:, 1:] > 0, np.zeros(len(shifted), dtype=bool)))
    wanted = np.column_stack((np.ones(len(shifted), dtype=bool), shifted[:, 1:] > 0))
    return bytes((shifted & 0x7F | more.astype(np.uint64) << 7)[wanted].astype(np.uint8).tobytes())

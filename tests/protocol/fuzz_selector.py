"""Read damaged page selectors: ``python fuzz_selector.py SEED``.

A crash of the C library is seen by whoever started this process. Prints how many selectors were refused
and how many were read.
"""

from __future__ import annotations

import random
import sys

from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.selector import decode_selector

SELECTORS = 1500


def healthy(rng: random.Random) -> bytes:
    """Return a selector with containers of all three kinds: arrays, bitsets, runs."""
    pages = BitMap()
    for _ in range(rng.randint(0, 4)):
        base = rng.randrange(8) << 16
        kind = rng.randrange(3)
        if kind == 0:
            pages.update(base + rng.randrange(2**16) for _ in range(rng.randint(1, 50)))
        elif kind == 1:
            pages.update(range(base + rng.randrange(99), base + 2**16, 7))
        else:
            start = base + rng.randrange(60_000)
            pages.add_range(start, start + rng.randrange(5000))
    if rng.random() < 0.5:
        pages.run_optimize()
    return bytes(pages.serialize())


def damaged(rng: random.Random) -> bytes:
    """Return a selector with some bits flipped, most near its head, and perhaps cut."""
    data = bytearray(healthy(rng))
    for _ in range(rng.randint(0, 4)):
        near = min(len(data), 60) if rng.random() < 0.7 else len(data)
        data[rng.randrange(near)] ^= 1 << rng.randrange(8)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)


def main(seed: int) -> None:
    """Read them all, and use each one that was read in every way that could run over its end."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(SELECTORS):
        data = damaged(rng)
        try:
            pages = decode_selector(data)
        except ProtocolError:
            refused += 1
            continue
        ids = list(pages)
        if ids != sorted(set(ids)) or len(ids) != len(pages) or ids != list(pages.to_array()):
            raise AssertionError(f"inconsistent: {data.hex()}")
        if BitMap.deserialize((pages | BitMap([5])).serialize()) != BitMap({*ids, 5}):
            raise AssertionError(f"changes on its way: {data.hex()}")
    sys.stdout.write(f"{refused} refused, {SELECTORS - refused} read\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))

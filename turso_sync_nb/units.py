"""Convert page ids, page numbers and byte sizes in one place.

A *page id* counts from 0, as the wire does; a *page number* counts from 1, as SQLite does.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, NewType

from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PageId = NewType("PageId", int)
PageNumber = NewType("PageNumber", int)

PAGE_SIZE: Final = 4096
"""Bytes in a page; the protocol knows no other size."""

FRAME_HEADER_BYTES: Final = 24
"""Bytes of a WAL frame's header: page number, database size if it commits, the log's salts, checksums."""

FRAME_BYTES: Final = FRAME_HEADER_BYTES + PAGE_SIZE
"""Bytes of a WAL frame: header and page."""

UNIX_TIME_MAX: Final = 2**63 // 10**9
"""The last second, in the year 2262, that pandas knows: it counts nanoseconds in 64 bits."""

PAGES_MAX: Final = 2**32 - 2
"""Most pages a SQLite database can have (its page numbers are 32-bit)."""

LOCK_PAGE: Final = PageId(2**30 // PAGE_SIZE)
"""The page at 1 GiB, where SQLite keeps its locks and never data (file format, 1.5); it is in no WAL."""

KILO: Final = 1_000
"""Factor between two units of size, as browsers and file managers count them."""

_BAR_LENGTH: Final = 8
"""Characters of a bar that shows a share."""

_AGES: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60))
"""Units of an age and their seconds; what is younger than the last is "just now"."""

_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BINARY_UNITS: Final = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def page_number(page_id: PageId) -> PageNumber:
    """Return SQLite's number of the page that the wire calls ``page_id``."""
    return PageNumber(page_id + 1)


def page_id(page_number: PageNumber) -> PageId:
    """Return the wire's id of the page that SQLite calls ``page_number``."""
    return PageId(page_number - 1)


def pages_of_bytes(length: int) -> int:
    """Return how many pages it takes to hold ``length`` bytes."""
    return -(-length // PAGE_SIZE)


def runs(pages: Iterable[int], pages_max: int = PAGES_MAX) -> Iterator[tuple[int, int]]:
    """Yield sorted ``pages`` as runs ``(first, end)`` of at most ``pages_max``."""
    first = end = -1
    for page in pages:
        if page != end or end - first == pages_max:
            if end > first:
                yield first, end
            first = page
        end = page + 1
    if end > first:
        yield first, end


_SECONDS: Final = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0}


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means: ``"4096"``, ``"128KiB"``, ``"2 MB"``, ``"1.5GiB"``.

    Raises:
        UsageError: ``text`` is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    factor = (_UNITS | _BINARY_UNITS).get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(f"read size {text!r}: not a size", hint="write it like 128KiB, 2MB or 4096")
    return int(float(match[1]) * factor)


def parse_seconds(text: str) -> float:
    """Return the seconds that ``text`` means: ``"5s"``, ``"500ms"``, ``"1.5 min"``, ``"2"``.

    Raises:
        UsageError: ``text`` is not a time, or none at all.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    factor = _SECONDS.get(match[2].lower()) if match else None
    if match is None or factor is None or not float(match[1]):
        raise UsageError(f"read time {text!r}: not a time", hint="write it like 5s, 500ms or 2min")
    return float(match[1]) * factor


def format_size(length: int) -> str:
    """Return ``length`` bytes for a reader, in powers of 1000: ``"0 B"``, ``"4.1 kB"``, ``"45.2 MB"``."""
    if length < KILO:
        return f"{length} B"
    unit, factor = next(
        (name, factor)
        for name, factor in (("TB", KILO**4), ("GB", KILO**3), ("MB", KILO**2), ("kB", KILO))
        if length >= factor - factor // (2 * KILO * 10)  # what rounds to 1000.0 is 1.0 of the next unit
    )
    return f"{length / factor:.1f} {unit}"


def format_share(part: int, whole: int) -> str:
    """Return a share for a reader: ``"37 %"``; 100 % only of all of it, 0 % only of nothing."""
    if part >= whole:
        return "100 %"
    return f"{min(max(round(100 * part / whole), 1 if part else 0), 99)} %"


def format_share_bar(part: int, whole: int) -> str:
    """Return a share as a bar of characters, which every place shows: ``"███░░░░░ 37 %"``."""
    full = round(_BAR_LENGTH * min(part / whole, 1)) if whole else _BAR_LENGTH
    return f"{'█' * full}{'░' * (_BAR_LENGTH - full)} {format_share(part, whole)}"


def known_time(unix_time_s: float) -> int:
    """Return the nearest second that metadata keep and pandas knows, of a clock that is far off."""
    return int(min(max(unix_time_s, 0), UNIX_TIME_MAX))


def unix_time() -> int:
    """Return the seconds since 1970 by the clock, to be kept."""
    return known_time(time.time())


def format_ago(unix_time_s: float | None) -> str:
    """Return a moment for a reader: ``"3 minutes ago (2026-11-29 01:10)"``, ``"never"`` for ``None``.

    The moment in brackets is local time.
    """
    if unix_time_s is None:
        return "never"
    age_s = max(time.time() - unix_time_s, 0)
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(known_time(unix_time_s)))
    for name, length_s in _AGES:
        if age_s >= length_s:
            count = int(age_s // length_s)
            return f"{count:,} {name}{'' if count == 1 else 's'} ago ({at})"
    return f"just now ({at})"

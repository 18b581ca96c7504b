"""PEP 249's constructors of values, as Python's sqlite3 has them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Final

Binary: Final = memoryview
Date: Final = dt.date
Time: Final = dt.time
Timestamp: Final = dt.datetime


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802 - PEP 249's name
    """Return the local day of ``ticks``, seconds since 1970."""
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> dt.time:  # noqa: N802 - PEP 249's name
    """Return the local time of day of ``ticks``, seconds since 1970."""
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802 - PEP 249's name
    """Return the local time of ``ticks``, seconds since 1970."""
    return Timestamp(*time.localtime(ticks)[:6])

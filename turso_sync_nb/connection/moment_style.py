"""Write moments (datetimes), days and times of day in a column's style, which its texts tell.

A style is kept as far as it can hold a value: one without parts of a second gets them where a value has some.
As in SQLite's own functions, a moment without a zone is in UTC. If the column has moments without a zone, one
in UTC is written without it, and the other way round. One of another zone keeps it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT: Final = re.compile(
    r"(?:(\d{4})-(\d\d)-(\d\d))?(?:([ T])?(\d\d):(\d\d)(:\d\d)?(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)?)?"
)
_OTHER_DAYS: Final = re.compile(
    r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)|(?P<y2>\d{4})/(?P<m2>\d\d)/(?P<d2>\d\d)"
    r"|(?P<d3>\d\d)\.(?P<m3>\d\d)\.(?P<y3>\d{4})|(?P<y4>\d{4})-(?P<m4>\d\d)"
)
"""Days and months in forms that can mean nothing else; they are known, and not written."""

_NS_DIGITS: Final = 9
_US: Final = 1_000
_SECONDS_IN_MINUTE: Final = 60
_DAY_S: Final = 86_400
"""Seconds of a day."""


Moment = tuple[int | None, int, int]
"""A day's number in UTC, or None for a time of day; its second and nanosecond."""


@dataclass(frozen=True)
class Style:
    """``separator`` is empty for days; ``zone`` is ``Z``, ``+HH:MM``, ``+HHMM``, ``+HH`` or empty.

    ``digits`` are the numbers of digits of a second, the smallest first: the first that is enough is written,
    none of them for a whole second unless ``is_fixed``; ``east`` is the one
    offset, in minutes, of all values; None where they differ. ``is_seen``: values are there that have it.
    """

    has_day: bool
    separator: str
    has_seconds: bool
    digits: tuple[int, ...]
    is_fixed: bool
    zone: str
    east: int | None
    is_seen: bool = False

    @property
    def is_day(self) -> bool:
        """Whether the style writes days alone."""
        return self.has_day and not self.separator

    def text(self, value: Any) -> str | None:
        """Return ``value`` in this style; ``None`` where that cannot say it, as without its zone."""
        if isinstance(value, dt.time):
            return None if self.has_day or value.tzinfo else self._time(value, 0)
        if not self.has_day or not isinstance(value, dt.date):
            return None
        if not isinstance(value, dt.datetime):
            value = dt.datetime.combine(value, dt.time())
        if (value.tzinfo is not None) != bool(self.zone):
            if not self.is_seen or value.utcoffset() or self.east or (self.zone and self.east is None):
                return None
            value = value.replace(tzinfo=dt.UTC if self.zone else None)
        nanoseconds = getattr(value, "nanosecond", 0)
        if self.is_day:
            return value.date().isoformat() if not nanoseconds and value.time() == dt.time() else None
        if self.zone and self.east is None and _parts_of_a_minute(value):
            return None
        if self.zone and self.east is not None:
            value = value.astimezone(dt.timezone(dt.timedelta(minutes=self.east)))
        offset = value.utcoffset()
        zone = self._zone(int(offset.total_seconds()) // _SECONDS_IN_MINUTE) if offset is not None else ""
        return f"{value.date().isoformat()}{self.separator}{self._time(value, nanoseconds)}{zone}"

    def _time(self, value: dt.datetime | dt.time, nanoseconds: int) -> str:
        fraction = f"{value.microsecond * _US + nanoseconds:09}"
        needed = len(fraction.rstrip("0"))
        there = self.digits if self.is_fixed or needed else (0,)
        digits = next(enough for enough in (*there, 3, 6, 9) if enough >= needed)
        has_seconds = self.has_seconds or value.second or digits
        seconds = f":{value.second:02}" if has_seconds else ""
        return f"{value.hour:02}:{value.minute:02}{seconds}{f'.{fraction[:digits]}' if digits else ''}"

    @property
    def zone_text(self) -> str:
        """The zone that all values have, as it is written."""
        return self._zone(self.east or 0)

    def _zone(self, minutes: int) -> str:
        if self.zone in ("", "Z"):
            return self.zone
        sign, (hours, minutes) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        if minutes and self.zone == "+HH":
            return f"{sign}{hours:02}:{minutes:02}"
        return self.zone.replace("+", sign).replace("HH", f"{hours:02}").replace("MM", f"{minutes:02}")


ISO: Final = Style(True, " ", True, (6,), is_fixed=False, zone="", east=None)
DAYS: Final = Style(True, "", False, (0,), is_fixed=False, zone="", east=None)
TIMES: Final = Style(False, "", True, (6,), is_fixed=False, zone="", east=None)


def style_of(texts: Iterable[Any]) -> Style | None:
    """Return the one style that all of ``texts`` have; ``None`` where there is none."""
    seen = set[tuple[bool, str, bool, str]]()
    digits, easts = set[int](), set[int | None]()
    for text in texts:
        found = _TEXT.fullmatch(text) if isinstance(text, str) and text else None
        if found is None:
            return None
        year, separator, hour, seconds, fraction, zone = found.group(1, 4, 5, 7, 8, 9)
        if bool(year and hour) != bool(separator) or (zone and not year) or (fraction and not seconds):
            return None
        seen.add((bool(year), separator or "", bool(seconds), _kind(zone)))
        if len(seen) > 1:
            return None
        digits.add(len(fraction or ""))
        easts.add(_east(zone))
    if not seen:
        return None
    has_day, separator, has_seconds, zone = seen.pop()
    return Style(
        has_day, separator, has_seconds, tuple(sorted(digits)), len(digits) == 1 and digits != {0}, zone,
        next(iter(easts)) if len(easts) == 1 else None, is_seen=True,
    )  # fmt: skip


def moment_of(text: Any) -> Moment | None:
    """Return a text as a moment, or None if it is no day, moment or time of day."""
    if not isinstance(text, str) or not text:
        return None
    found = _TEXT.fullmatch(text)
    if found is None:
        return _moment_of_day(text)
    year, month, day, separator, hour, minute, second, fraction, zone = found.groups()
    if bool(year and hour) != bool(separator):
        return None
    try:
        number = dt.date(int(year), int(month), int(day)).toordinal() if year else None
        time = dt.time(int(hour or 0), int(minute or 0), int((second or ":0")[1:]))
    except ValueError:
        return None
    seconds = (time.hour * 60 + time.minute) * _SECONDS_IN_MINUTE + time.second
    nanoseconds = int((fraction or "").ljust(_NS_DIGITS, "0"))
    east = _east(zone)
    if number is None or not east:
        return number, seconds, nanoseconds
    total = number * _DAY_S + seconds - east * _SECONDS_IN_MINUTE
    return total // _DAY_S, total % _DAY_S, nanoseconds


def _moment_of_day(text: str) -> Moment | None:
    found = _OTHER_DAYS.fullmatch(text)
    if found is None:
        return None
    parts = {name[0]: int(value) for name, value in found.groupdict().items() if value}
    try:
        return dt.date(parts["y"], parts["m"], parts.get("d", 1)).toordinal(), 0, 0
    except ValueError:
        return None


def _parts_of_a_minute(value: dt.datetime) -> bool:
    return bool((value.utcoffset() or dt.timedelta()) % dt.timedelta(minutes=1))


def _kind(zone: str | None) -> str:
    if not zone or zone == "Z":
        return zone or ""
    return {3: "+HH", 5: "+HHMM", 6: "+HH:MM"}[len(zone)]


def _east(zone: str | None) -> int | None:
    """Return the minutes east of UTC that a zone's text says, None without one."""
    if not zone:
        return None
    if zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)

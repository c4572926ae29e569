"""Working time: when a policy's time counts (requirements, section 14).

Time zones come from the IANA database that Python finds; a change of it can move a due time that
lies ahead, never one that has been reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.state import WorkCalendar, WorkHours

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)
IDLE_DAYS_MAX: Final = 370
"""Days in a row without working time after which a calendar counts as never open."""
_STRETCH: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MIN: Final = 24 * 60


def zone_name(text: str) -> str:
    """The name of an IANA time zone. Raises ValueError with the mend."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone; write one such as Europe/Berlin") from None
    return text


def date_text(value: object) -> str:
    """A date as YYYY-MM-DD; YAML may have read it as a date. Raises ValueError with the mend."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
    except ValueError:
        raise ValueError("write a date such as 2026-12-25") from None


def stretch(text: object) -> tuple[int, int]:
    """Opening and closing of `09:00-17:00`, in minutes after midnight. Raises ValueError."""
    match = _STRETCH.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("write working hours such as 09:00-17:00")
    opens, closes = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if not opens < closes <= _DAY_MIN:
        raise ValueError("working hours end after they begin, on the same day")
    return opens, closes


def after_working_time(start: datetime, seconds: float, calendar: WorkCalendar | None) -> datetime:
    """When so many seconds of working time have passed since `start`, in UTC.

    None: every second counts. A calendar with no working time for over a year counts as none, so
    that nothing waits for ever.
    """
    if calendar is None:
        return start + timedelta(seconds=seconds)
    left, reached = timedelta(seconds=seconds), start
    for opens, closes in _stretches(start, calendar):
        # Stretches may overlap, if only where the clocks change; no second counts twice.
        begins = max(opens, reached)
        reached = max(closes, reached)
        if left <= reached - begins:
            return begins + left
        left -= reached - begins
    return start + timedelta(seconds=seconds)


def working_time(start: datetime, end: datetime, calendar: WorkCalendar | None) -> timedelta:
    """How much working time lies between two instants; None: all of it is."""
    if calendar is None:
        return max(end - start, timedelta())
    total, reached = timedelta(), start
    for opens, closes in _stretches(start, calendar):
        if opens >= end:
            break
        begins = max(opens, reached)
        reached = max(min(closes, end), reached)
        total += max(reached - begins, timedelta())
    return total


def _stretches(start: datetime, calendar: WorkCalendar) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of working time that end after `start`, in order."""
    zone, holidays = ZoneInfo(calendar.zone), frozenset(calendar.holidays)
    hours = sorted(calendar.hours, key=lambda one: (one.weekday, one.opens_min))
    day, idle = start.astimezone(zone).date(), 0
    while idle <= IDLE_DAYS_MAX:
        idle += 1
        for one in hours if day.isoformat() not in holidays else ():
            opens, closes = _moments(day, one, zone)
            if one.weekday == day.weekday() and closes > start and closes > opens:
                idle = 0
                yield opens, closes
        if day >= date.max - timedelta(days=2):
            return
        day += timedelta(days=1)


def _moments(day: date, hours: WorkHours, zone: ZoneInfo) -> tuple[datetime, datetime]:
    midnight = datetime.combine(day, time())
    opens, closes = (
        (midnight + timedelta(minutes=minutes)).replace(tzinfo=zone).astimezone(UTC)
        for minutes in (hours.opens_min, hours.closes_min)
    )
    return opens, closes

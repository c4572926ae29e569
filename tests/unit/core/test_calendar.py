"""Working time: what counts on nights, weekends, holidays and the days the clocks change, and where
`decide_by` falls because of it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import WEEKDAYS, after_working_time, date_text, stretch, zone_name
from core.timers import OBJECTION_WINDOW
from schemas.state import WorkCalendar, WorkHours
from tests import examples as e
from tests.unit.core.rulebook import DAY, HOUR, decides, medium, open_world
from tests.unit.core.world import World, a_policy

BERLIN: Final = ZoneInfo("Europe/Berlin")
OFFICE: Final = {day: ["09:00-17:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
ALWAYS: Final = {day: ["00:00-24:00"] for day in WEEKDAYS}
MINUTE: Final = 60


def a_calendar(
    hours: dict[Any, list[str]] | None = None,
    holidays: tuple[str, ...] = (),
    zone: str = "Europe/Berlin",
) -> WorkCalendar:
    """A calendar, by default of an office in Berlin."""
    stretches = [
        WorkHours(weekday=WEEKDAYS.index(day), opens_min=opens, closes_min=closes)
        for day, texts in (OFFICE if hours is None else hours).items()
        for opens, closes in map(stretch, texts)
    ]
    return WorkCalendar(name="office", zone=zone, hours=stretches, holidays=list(holidays))


def berlin(text: str) -> datetime:
    """An instant by the clock on the wall in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def test_without_a_calendar_every_second_counts() -> None:
    """No calendar: nights and weekends count like any other time."""
    assert berlin("2026-03-08T16:00") == after_working_time(
        berlin("2026-03-06T16:00"), 2 * DAY, None
    )


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        # 2026-03-02 is a Monday
        ("2026-03-02T10:00", 2, "2026-03-02T12:00"),  # within one day
        ("2026-03-02T09:00", 8, "2026-03-02T17:00"),  # to the last instant of a day
        ("2026-03-02T16:00", 2, "2026-03-03T10:00"),  # over a night
        ("2026-03-06T16:00", 2, "2026-03-09T10:00"),  # over a weekend
        ("2026-03-02T07:00", 1, "2026-03-02T10:00"),  # asked before opening
        ("2026-03-02T17:00", 1, "2026-03-03T10:00"),  # asked at the instant of closing
        ("2026-03-02T23:30", 1, "2026-03-03T10:00"),  # asked at night
        ("2026-03-07T12:00", 8, "2026-03-09T17:00"),  # asked on a Saturday
        ("2026-03-02T09:00", 80, "2026-03-13T17:00"),  # two weeks of work
    ],
)
def test_only_working_hours_count(start: str, hours: int, end: str) -> None:
    """Time passes from opening to closing, and stands still in between."""
    assert berlin(end) == after_working_time(berlin(start), hours * HOUR, a_calendar())


def test_a_break_does_not_count() -> None:
    """A day may have several stretches, in whatever order they were written."""
    lunch = a_calendar({"mon": ["13:00-17:00", "09:00-12:00"]})

    assert berlin("2026-03-02T14:00") == after_working_time(
        berlin("2026-03-02T11:00"), 2 * HOUR, lunch
    )


def test_no_hour_counts_twice() -> None:
    """Stretches that overlap, one of them within another, count as one."""
    shifts = a_calendar({"mon": ["09:00-17:00", "08:00-12:00", "10:00-11:00"]})

    assert berlin("2026-03-02T17:00") == after_working_time(
        berlin("2026-03-02T08:00"), 9 * HOUR, shifts
    )


def test_a_day_can_end_at_midnight() -> None:
    """24:00 is the end of the day; a late stretch and an early one join."""
    late = a_calendar({"mon": ["22:00-24:00"], "tue": ["00:00-02:00"]})

    assert berlin("2026-03-03T01:00") == after_working_time(
        berlin("2026-03-02T23:00"), 2 * HOUR, late
    )


def test_a_holiday_does_not_count() -> None:
    """Good Friday and Easter Monday are left out, and so is the weekend between."""
    easter = a_calendar(holidays=("2026-04-03", "2026-04-06"))

    assert berlin("2026-04-07T10:00") == after_working_time(
        berlin("2026-04-02T16:00"), 2 * HOUR, easter
    )


def test_a_holiday_is_a_day_of_the_calendars_zone() -> None:
    """Asked while it is still the day before in UTC, the holiday has begun in Tokyo."""
    tokyo = a_calendar(ALWAYS, holidays=("2026-03-03",), zone="Asia/Tokyo")
    start = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)  # 3 March, 05:00 in Tokyo

    assert datetime(2026, 3, 3, 16, 0, tzinfo=UTC) == after_working_time(start, HOUR, tokyo)


CHANGES: Final = {"2026-03-29": -1, "2026-10-25": 1}
"""Sundays on which the clocks in Berlin are put forward and back, and what the day gains in hours."""


@pytest.mark.parametrize("day", CHANGES)
def test_a_calendar_that_is_always_open_changes_nothing(day: str) -> None:
    """Real hours pass on the day of the change too, be it one of 23 hours or of 25."""
    start = berlin(f"{day}T00:00") - timedelta(hours=3)

    for hours in range(1, 60):
        expected = start + timedelta(hours=hours)
        assert expected == after_working_time(start, hours * HOUR, a_calendar(ALWAYS))


@pytest.mark.parametrize(("day", "gained"), CHANGES.items())
def test_a_stretch_over_the_change_is_as_long_as_it_really_is(day: str, gained: int) -> None:
    """From 01:00 to 05:00 on the wall are three hours in March and five in October."""
    night = a_calendar({"sun": ["01:00-05:00"]})
    start = berlin(f"{day}T00:00")

    last = after_working_time(start, (4 + gained) * HOUR, night)
    more = after_working_time(start, (4 + gained) * HOUR + 1, night)

    assert berlin(f"{day}T05:00") == last
    assert date.fromisoformat(day) + timedelta(days=7) == more.astimezone(BERLIN).date()


@pytest.mark.parametrize(("day", "gained"), CHANGES.items())
def test_an_office_opens_by_the_clock_on_the_wall(day: str, gained: int) -> None:
    """Over the weekend of the change the office opens at 09:00 as ever; the gap in real time is an
    hour shorter or longer."""
    friday, monday = (date.fromisoformat(day) + timedelta(days=n) for n in (-2, 1))
    start = berlin(f"{friday}T16:00")

    end = after_working_time(start, 2 * HOUR, a_calendar())

    assert berlin(f"{monday}T10:00") == end
    assert timedelta(hours=66 + gained) == end - start


def test_hours_that_the_change_leaves_out_are_not_lost() -> None:
    """An opening at 02:30 on the day without one is at 03:30, so the stretch ends an hour sooner."""
    night = a_calendar({"sun": ["02:30-06:00"]})
    start = berlin("2026-03-29T00:00")

    assert berlin("2026-03-29T03:31") == after_working_time(start, MINUTE, night)
    assert berlin("2026-03-29T06:00") == after_working_time(start, 2 * HOUR + 30 * MINUTE, night)


def test_hours_that_come_twice_are_the_first_ones() -> None:
    """An opening at 02:30 on the day with two is the earlier: nobody waits for longer."""
    night = a_calendar({"sun": ["02:30-06:00"]})

    end = after_working_time(berlin("2026-10-25T00:00"), MINUTE, night)

    assert datetime(2026, 10, 25, 0, 31, tzinfo=UTC) == end


def _mondays(first: date, number: int) -> tuple[str, ...]:
    return tuple((first + timedelta(weeks=n)).isoformat() for n in range(number))


def test_a_calendar_that_never_opens_counts_as_none() -> None:
    """Open on Mondays, all of which are holidays: nothing waits for ever."""
    never = a_calendar({"mon": ["09:00-17:00"]}, holidays=_mondays(date(2026, 3, 2), 60))
    start = berlin("2026-03-02T10:00")

    assert start + timedelta(hours=2) == after_working_time(start, 2 * HOUR, never)


def test_a_calendar_that_is_shut_for_long_is_waited_for() -> None:
    """A year of holidays is a gap like a weekend."""
    seldom = a_calendar({"mon": ["09:00-17:00"]}, holidays=_mondays(date(2026, 3, 2), 52))

    assert berlin("2027-03-01T11:00") == after_working_time(
        berlin("2026-03-02T10:00"), 2 * HOUR, seldom
    )


def test_the_end_of_the_calendar_is_no_trap() -> None:
    """Near the last day there is, time counts as without a calendar."""
    start = datetime(9999, 12, 20, tzinfo=UTC)

    assert start + timedelta(days=8) == after_working_time(start, 8 * DAY, a_calendar())


STARTS: Final = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001 the zone is added
    datetime(2027, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
CALENDARS: Final = st.sampled_from(
    [
        a_calendar(holidays=("2026-04-03", "2026-04-06")),
        a_calendar(ALWAYS),
        a_calendar({"sun": ["00:30-02:30", "03:00-05:00"], "wed": ["20:00-22:00", "21:00-24:00"]}),
        a_calendar(zone="America/New_York"),
        a_calendar(zone="Australia/Lord_Howe"),  # its clocks change by half an hour
    ]
)
SECONDS: Final = st.integers(0, 14 * DAY)


@given(start=STARTS, calendar=CALENDARS, first=SECONDS, second=SECONDS)
def test_working_time_adds_up(
    start: datetime, calendar: WorkCalendar, first: int, second: int
) -> None:
    """Two waits after each other end when one of their sum does, and never before real time."""
    at_once = after_working_time(start, first + second, calendar)

    assert at_once == after_working_time(
        after_working_time(start, first, calendar), second, calendar
    )
    assert at_once >= start + timedelta(seconds=first + second)


@given(start=STARTS, later=SECONDS, calendar=CALENDARS, seconds=SECONDS)
def test_who_asks_later_waits_no_shorter(
    start: datetime, later: int, calendar: WorkCalendar, seconds: int
) -> None:
    """A later start never gives an earlier end."""
    assert after_working_time(start, seconds, calendar) <= after_working_time(
        start + timedelta(seconds=later), seconds, calendar
    )


@pytest.mark.parametrize(
    "text", ["9:00-17:00", "09:00-25:00", "17:00-09:00", "09:00-09:00", "23:00-24:30", 9, None, ""]
)
def test_hours_are_written_in_one_way(text: object) -> None:
    """Anything but HH:MM-HH:MM within one day is refused with the mend."""
    with pytest.raises(ValueError, match="working hours"):
        stretch(text)


@pytest.mark.parametrize("text", ["Mars/Olympus", "", "../etc/passwd", "Europe/berlin\0"])
def test_a_zone_must_exist(text: str) -> None:
    """A zone that the IANA database does not have is refused by name."""
    with pytest.raises(ValueError, match="is no time zone"):
        zone_name(text)


@pytest.mark.parametrize(
    ("value", "text"), [("2026-12-25", "2026-12-25"), (date(2026, 12, 25), "2026-12-25")]
)
def test_a_holiday_may_be_a_date_of_yaml(value: object, text: str) -> None:
    """YAML reads an unquoted date as one; both are held as text."""
    assert text == date_text(value)


@pytest.mark.parametrize("value", ["25.12.2026", "2026-02-30", "", 20261225, e.NOW])
def test_a_holiday_must_be_a_date(value: object) -> None:
    """Anything else is refused with the mend."""
    with pytest.raises(ValueError, match="such as 2026-12-25"):
        date_text(value)


# What the plan makes of it. The examples are sent on Monday, 2 March 2026 at 10:00 in Berlin.


def _asked(rule: dict[str, Any], **request: Any) -> World:
    calendars = [
        {"name": "office", "zone": "Europe/Berlin", "hours": OFFICE},
        {"name": "watch", "zone": "Europe/Berlin", "hours": ALWAYS},
    ]
    defaults = e.a_policy_form()["defaults"] | {"calendar": "office"}
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
    policy = a_policy(
        policy_version="8", calendars=calendars, defaults=defaults, tools=tools, rule=rule
    )
    return open_world(policy, **request)


def test_decide_by_is_counted_in_working_time() -> None:
    """Eight working hours from Monday at ten are over on Tuesday at ten."""
    world = _asked({"decide_within": "8h"})

    assert (berlin("2026-03-03T10:00"), "policy") == (
        world.now.decide_by,
        world.now.decide_by_source,
    )


def test_a_rule_may_have_another_calendar() -> None:
    """The rule's own calendar is taken before that of the defaults."""
    world = _asked({"decide_within": "24h", "calendar": "watch"})

    assert berlin("2026-03-03T10:00") == world.now.decide_by


def test_an_absolute_end_knows_no_calendar() -> None:
    """An expires_at at night is before the next working hours, and holds as it is."""
    world = _asked({"decide_within": "8h"}, expires_at=berlin("2026-03-02T23:00"))

    assert (berlin("2026-03-02T23:00"), "expires_at") == (
        world.now.decide_by,
        world.now.decide_by_source,
    )


def test_the_ladder_counts_in_working_time_too() -> None:
    """An escalation in the evening has its time from the next morning on."""
    world = _asked(
        {"decide_within": "7h", "escalation": [{"role": "head_of_enforcement", "within": "2h"}]}
    )

    world.wait(7 * HOUR + 1)

    assert ("escalated", berlin("2026-03-03T11:00")) == (world.now.status, world.now.decide_by)


def test_an_objection_window_counts_in_working_time_too() -> None:
    """A window never passes at night, when nobody could have objected."""
    world = _asked({"mode": "on_the_loop", "objection_window": "8h"}, **medium())

    assert (berlin("2026-03-03T10:00"), OBJECTION_WINDOW) == (
        world.now.decide_by,
        world.now.decide_by_source,
    )


def test_a_deferral_and_a_grant_count_in_real_time() -> None:
    """What is said in clock time, or binds machines, knows no office hours."""
    world = _asked({"decide_within": "16h"})
    world.send(decides("r.lind", "defer", defer_until=e.at(12 * HOUR)))
    world.wait(12 * HOUR + 1)

    world.send(decides("r.lind"))

    assert world.now.deferred_until is None
    assert world.now.grant is not None
    assert e.at(12 * HOUR + 1 + 48 * HOUR) == world.now.grant.valid_until

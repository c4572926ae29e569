"""SLA warnings: at 50 and 80 per cent of the time to decide, each once for each time that runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from core.step import Step
from core.timers import running
from schemas.events import ReviewTaskEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    changes,
    decides,
    medium,
    on_the_loop,
    open_world,
    works,
)
from tests.unit.core.world import World, a_next_request, a_policy, a_world, of

NO_LADDER: dict[str, Any] = {"escalation": []}


def _world(rule: dict[str, Any] | None = None, **request: Any) -> World:
    return open_world(a_policy(policy_version="8", rule=rule), **request)


def warnings(steps: Sequence[Step]) -> list[int]:
    """Per cent of every warning, in order."""
    events = (event for step in steps for event in of(step.events, ReviewTaskEvent))
    return [x.sla_percent or 0 for x in events if x.change == "sla_warning"]


def due(world: World) -> datetime | None:
    """When the next warning is due."""
    return next((timer.due for timer in running(world.now) if timer.name == "sla_warning"), None)


def test_a_warning_at_half_and_one_at_four_fifths() -> None:
    """Of a day, after twelve hours and after 19.2; each in its own step."""
    world = _world()

    at_half, to_four_fifths, after = world.wait(DAY / 2), world.wait(0.3 * DAY), world.wait(1)

    assert [[], [50], [80]] == [warnings(x) for x in (at_half, to_four_fifths, after)]
    assert due(world) is None


def test_each_comes_once() -> None:
    """However many clocks tick in between, a warning is not repeated."""
    world = _world()

    steps = [step for _ in range(100) for step in world.wait(DAY / 100)]

    assert [50, 80] == warnings(steps)


def test_a_worker_that_was_down_gives_both_before_the_end() -> None:
    """All that is due fires in the order of its due times: the warnings, then the timeout."""
    world = _world()

    steps = world.wait(DAY + 1)

    assert ["sla_warning", "sla_warning", "escalated"] == [
        of(step.events, ReviewTaskEvent)[0].change for step in steps
    ]
    assert [50, 80] == warnings(steps)


def test_a_warning_tells_what_it_is_about() -> None:
    """It names the share, the end and who holds the task, and changes none of it."""
    world = _world({"claim_for": "1d"})
    world.send(works("r.lind", "claim"))

    world.wait(DAY / 2 + 1)

    warning = world.last(ReviewTaskEvent)
    assert ("sla_warning", 50, "open") == (warning.change, warning.sla_percent, warning.status)
    assert (e.at(DAY), "r.lind", e.at(DAY)) == (
        warning.due_at,
        warning.assigned_to,
        warning.lease_until,
    )
    assert ("r.lind", None) == (world.now.assigned_to, warning.actor)


def test_the_share_is_of_the_time_that_there_is() -> None:
    """With an expires_at of the requester, half is half of the time until then."""
    world = _world(expires_at=e.at(HOUR))

    assert e.at(HOUR / 2) == due(world)


def test_the_time_starts_when_the_worker_handled_the_request() -> None:
    """A worker that was down does not warn of time that nobody had."""
    world = World(directory=_world().directory)

    world.send(e.a_request(), handled_at=e.at(10 * HOUR))

    assert e.at(10 * HOUR + DAY / 2) == due(world)


def test_an_escalation_has_warnings_of_its_own() -> None:
    """Each step of the ladder has its own time, so its own half and four fifths."""
    world = _world()

    steps = [*world.wait(DAY + 1), *world.wait(DAY)]

    assert [50, 80, 50, 80] == warnings(steps)
    ids = [x.event_id for x in of(world.events, ReviewTaskEvent) if x.change == "sla_warning"]
    assert 4 == len(set(ids))


def test_an_early_escalation_starts_anew() -> None:
    """Escalated by a person after the first warning, the new time is warned of from its start."""
    world = _world()
    world.wait(DAY / 2 + 1)

    world.send(decides("r.lind", "escalate"))

    assert e.at(DAY / 2 + 1 + DAY / 2) == due(world)
    assert [50, 80] == warnings(world.wait(DAY))


def test_a_deferral_stops_the_clock() -> None:
    """While it is hidden nobody is warned; afterwards what was left runs on from where it stood."""
    world = _world()
    world.wait(DAY / 4)
    world.send(decides("r.lind", "defer", defer_until=e.at(2 * DAY)))

    hidden = world.wait(2 * DAY - DAY / 4)
    before, half = world.wait(DAY / 4), world.wait(1)
    left = world.wait(DAY / 2 - 1)

    assert [[], [], [50], [80]] == [warnings(x) for x in (hidden, before, half, left)]
    assert e.at(2 * DAY + 3 * DAY / 4) == world.now.decide_by


def test_a_warning_before_a_deferral_is_not_given_again() -> None:
    """What was warned of stays warned of: after a deferral at 60 per cent only 80 is left."""
    world = _world()
    first = world.wait(0.6 * DAY)
    world.send(decides("r.lind", "defer", defer_until=e.at(2 * DAY)))

    assert ([50], [80]) == (warnings(first), warnings(world.wait(1.4 * DAY + 0.3 * DAY)))


def test_a_deferral_that_ends_early_is_taken_off_again() -> None:
    """A condition that is met after an hour gives back an hour, and half is half of that."""
    world = _world()
    world.send(decides("r.lind", "defer", defer_condition="the lab has answered"))
    world.wait(HOUR)

    world.send(works("r.lind", "comment", kind="condition_met", comment="It has."))

    assert e.at(HOUR + DAY) == world.now.decide_by
    assert e.at(HOUR + DAY / 2) == due(world)
    assert "resumed" in changes(world)


def test_a_timeout_that_defers_starts_anew() -> None:
    """on_timeout: defer gives the whole time again, with its warnings."""
    world = _world(NO_LADDER | {"on_timeout": "defer"})

    steps = [*world.wait(DAY + 1), *world.wait(DAY)]

    assert [50, 80, 50, 80] == warnings(steps)


def test_a_window_warns_those_who_could_object() -> None:
    """An objection window is a time to decide as well."""
    world = open_world(on_the_loop(), **medium())

    steps = world.wait(HOUR + 1)

    assert [50, 80] == warnings(steps)


def test_a_new_version_is_warned_of_for_itself() -> None:
    """Superseding starts the time, and the warnings, of the new version."""
    world = _world()
    first = world.wait(0.6 * DAY)

    world.send(a_next_request())

    assert ([50], [50, 80]) == (warnings(first), warnings(world.wait(DAY)))


@pytest.mark.parametrize("decision", ["approve", "reject", "revise"])
def test_what_is_decided_is_not_warned_of(decision: str) -> None:
    """The clocks of an interrupt end with it."""
    world = _world()
    world.send(decides("r.lind", decision))

    assert [] == warnings(world.wait(30 * DAY))


def test_an_override_that_waits_is_warned_of() -> None:
    """The interrupt is open until the second person confirms."""
    world = _world()
    world.send(by(e.an_override, "r.head"))

    assert [50, 80] == warnings(world.wait(DAY))


def test_a_decision_in_time_beats_a_warning_that_is_due() -> None:
    """Appended behind the half and read before its clock fired: decided, and nobody is warned."""
    world = _world()
    world.clock = 0.6 * DAY

    world.send(decides("r.lind"))

    assert [] == warnings(world.wait(DAY))


def test_a_request_whose_end_has_passed_ends_without_ado() -> None:
    """An expires_at that was over when the worker read it expires; warnings do not pile up."""
    world = a_world()
    world.send(e.a_request(expires_at=e.at(HOUR)), handled_at=e.at(2 * HOUR))

    steps = world.wait(2 * HOUR)

    assert ("expired", []) == (world.now.status, warnings(steps))


def test_half_of_the_time_is_half_of_the_working_time() -> None:
    """Asked on a Monday at nine for eight working hours of a calendar: warned at one, not at
    night."""
    office = {
        "name": "office",
        "zone": "UTC",
        "hours": {"mon": ["09:00-17:00"], "tue": ["09:00-17:00"]},
    }
    policy = a_policy(
        policy_version="8",
        calendars=[office],
        rule={"calendar": "office", "decide_within": "16h", "escalation": []},
    )
    world = open_world(policy)

    assert e.at(32 * HOUR) == world.now.decide_by
    assert e.at(8 * HOUR) == due(world)

"""Clocks: the ladder, expiry, and that each due timer fires once. A timeout never approves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, get_args

import pytest

from core.directory import DirectoryRecord
from core.step import due_timer, fire
from core.timers import TIMERS, TimerName, next_due, running
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.registry import ce_type_of
from schemas.vocabulary import OnTimeout
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    decides,
    medium,
    of_package,
    on_the_loop,
    open_world,
    works,
)
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_policy,
    a_world,
    approved,
    asked,
    code,
    gates,
    of,
    own_ids,
    statuses,
    taken,
)


def _asked(rule: dict[str, Any], **request: Any) -> World:
    return asked(a_policy(policy_version="8", rule=rule), **request)


@pytest.mark.parametrize(
    ("action", "ends"),
    [
        ("escalate", ("escalated", None)),
        ("expire", ("expired", "expired")),
        ("cancel", ("cancelled", "cancelled")),
        ("auto_reject", ("decided", "reject")),
        ("defer", ("pending", None)),
    ],
)
def test_no_timeout_approves(action: OnTimeout, ends: tuple[str, str | None]) -> None:
    """Whatever the policy does at decide_by, the gate does not open and nobody has decided."""
    world = _asked({"on_timeout": action})

    steps = world.wait(DAY + 1)

    assert [ends] == statuses(steps)
    assert "opened" not in gates(steps)
    assert [] == of(world.events, HumanDecisionEvent)


@pytest.mark.parametrize("action", ["expire", "cancel", "auto_reject"])
def test_an_end_by_timeout_closes_task_and_gate(action: str) -> None:
    """A final timeout denies the gate, closes the task and names itself as the reason."""
    world = _asked({"on_timeout": action})

    steps = world.wait(DAY + 1)

    assert ("denied", "closed") == (world.now.gate, world.last(ReviewTaskEvent).status)
    assert world.last(InterruptStatusChanged).reason.startswith("timeout")
    assert 1 == len(statuses(steps)) == len(gates(steps))


def test_a_deferral_by_timeout_happens_once() -> None:
    """on_timeout: defer gives the time a second time, visibly, and then it expires."""
    world = _asked({"on_timeout": "defer"})

    first = world.wait(DAY + 1)
    deferred = world.last(InterruptStatusChanged)
    second = world.wait(DAY + 1)

    assert "interrupt.deferred" == ce_type_of(deferred)
    assert e.at(2 * DAY + 1) == deferred.decide_by
    assert [("pending", None), ("expired", "expired")] == statuses([*first, *second])


@pytest.mark.parametrize("action", ["escalate", "defer"])
@pytest.mark.parametrize(
    ("request_form", "source"),
    [
        ({"expires_at": e.at(HOUR)}, "expires_at"),
        ({"package": e.a_package(deadline=e.at(HOUR))}, "deadline"),
    ],
)
def test_an_absolute_end_expires(action: str, request_form: dict[str, Any], source: str) -> None:
    """The requester's own end is named as the source, and no escalation goes past it."""
    world = _asked({"on_timeout": action}, **request_form)

    steps = world.wait(HOUR + 1)

    assert source == world.last(InterruptStatusChanged).decide_by_source
    assert [("expired", "expired")] == statuses(steps)


def test_the_earliest_end_counts() -> None:
    """Of policy, expires_at and deadline the earliest is decide_by."""
    package = e.a_package(deadline=e.at(2 * HOUR))

    world = asked(expires_at=e.at(3 * HOUR), package=package)

    assert (e.at(2 * HOUR), "deadline") == (world.now.decide_by, world.now.decide_by_source)


def test_a_requester_cannot_gain_time() -> None:
    """An expires_at after the policy's time changes nothing."""
    world = asked(expires_at=e.at(30 * DAY))

    assert (e.at(DAY), "policy") == (world.now.decide_by, world.now.decide_by_source)


def test_the_requesters_end_holds_for_the_ladder_too() -> None:
    """After an escalation an expires_at that lies earlier than the step's end is decide_by."""
    world = asked(expires_at=e.at(DAY + HOUR))

    steps = [*world.wait(DAY + 1), *world.wait(HOUR)]

    assert [("escalated", None), ("expired", "expired")] == statuses(steps)


def test_at_the_same_instant_the_absolute_end_is_named() -> None:
    """Policy and expires_at at one instant: it expires, since an escalation gains nothing."""
    world = asked(expires_at=e.at(DAY))

    assert [("expired", "expired")] == statuses(world.wait(DAY + 1))


def test_a_window_starts_when_the_worker_handled_the_request() -> None:
    """A worker that was down takes nothing from the reviewers' time."""
    world = a_world()

    world.send(e.a_request(), handled_at=e.at(HOUR))

    assert e.at(HOUR + DAY) == world.now.decide_by


def test_a_worker_clock_behind_the_broker_takes_nothing_either() -> None:
    """The window starts at the later of append time and worker clock."""
    world = a_world()

    world.send(e.a_request(), handled_at=e.at(-HOUR))

    assert e.at(DAY) == world.now.decide_by


@pytest.mark.parametrize(("seconds", "due"), [(DAY, False), (DAY + 0.000001, True)])
def test_a_timer_fires_only_once_its_time_has_passed(seconds: float, due: bool) -> None:
    """A record appended exactly at decide_by is still to be read, so nothing fires at D."""
    world = _warned()
    world.clock = seconds

    assert due is (due_timer(world.now, world.context()) is not None)


def test_firing_with_nothing_due_does_nothing() -> None:
    """A tick that comes too early has no events."""
    world = asked()

    step = fire(world.now, world.context())

    assert ((), world.state) == (step.events, step.state)


def _parked() -> World:
    world = a_world()
    world.send(a_decision_by(e.REVIEWER))
    return world


def _warned(*policy: DirectoryRecord, **request: Any) -> World:
    """Both warnings of the time to decide were given."""
    world = asked(*policy, **request)
    world.wait((next_of(world, "decide_by", "objection_window") - e.NOW).total_seconds())
    assert 80 == world.now.sla_warned
    return world


def next_of(world: World, *names: str) -> datetime:
    """When the first of these clocks is due."""
    return next(timer.due for timer in running(world.now) if timer.name in names)


def _expiring() -> World:
    return _warned(a_policy(policy_version="8", rule={"on_timeout": "expire"}))


def _watched() -> World:
    return _warned(on_the_loop(), **medium())


def _claimed() -> World:
    world = open_world()
    world.send(works("r.lind", "claim"))
    return world


def _deferred() -> World:
    world = open_world()
    world.send(decides("r.lind", "defer", defer_until=e.at(HOUR)))
    return world


def _excepted() -> World:
    world = open_world()
    world.send(e.an_exception(reviewer_id="r.head", expires_at=e.at(HOUR)))
    return world


CLOCKS: Final[list[tuple[Callable[[], World], TimerName]]] = [
    (asked, "sla_warning"),
    (_warned, "decide_by"),
    (_expiring, "decide_by"),
    (_watched, "objection_window"),
    (_claimed, "claim_lease"),
    (_deferred, "deferral"),
    (_excepted, "exception_end"),
    (approved, "grant_valid_until"),
    (taken, "execute_within"),
    (_parked, "park_ttl"),
]
"""A world in which the clock runs next."""


@pytest.mark.parametrize(("make", "name"), CLOCKS)
def test_each_timer_fires_once(make: Callable[[], World], name: TimerName) -> None:
    """After it fired the same timer is not due any more, and the same step has the same bytes."""
    world = make()
    timer = running(world.now)[0]
    world.clock += (timer.due - e.at(world.clock)).total_seconds() + 1

    step, again = (fire(world.now, world.context()) for _ in range(2))

    assert (name, step) == (timer.name, again)
    assert step.events
    assert step.state is None or timer not in running(step.state)


def test_every_clock_has_a_row() -> None:
    """The table of clocks has one row for each name, and each one is seen to fire here."""
    assert set(get_args(TimerName)) == set(TIMERS) == {name for _, name in CLOCKS}


def test_a_decision_cancels_the_clock() -> None:
    """Once decided, decide_by does not run; the grant's own clock does."""
    world = approved()

    assert ["grant_valid_until"] == [timer.name for timer in running(world.now)]


def test_a_closed_control_point_has_no_clock() -> None:
    """After a reject nothing is due, ever."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "reject"))

    assert next_due(world.now) is None


def test_an_untaken_grant_closes_by_itself() -> None:
    """At its end an open gate expires, and the interrupt keeps the one outcome it has."""
    world = approved()

    steps = world.wait(49 * HOUR)

    gate = world.last(ToolGateEvent)
    assert (["expired"], []) == (gates(steps), statuses(steps))
    assert world.now.grant is not None
    assert world.now.grant.grant_id == gate.grant_id


def test_a_taken_grant_that_nobody_reports_becomes_in_doubt() -> None:
    """Past execute_within a human is to look; the gate stays consumed, nothing is retried."""
    world = taken()

    world.wait(HOUR + 1)

    task = world.last(ReviewTaskEvent)
    assert ("in_doubt", "in_doubt", None) == (task.change, task.status, task.actor)
    assert ("consumed", True) == (world.now.gate, world.now.grant and world.now.grant.in_doubt)


def test_a_late_decision_before_the_timer_fired_is_still_late() -> None:
    """A record behind decide_by does not slip in because the timer was not fired yet."""
    world = asked()
    world.clock = DAY + 1

    step = world.send(a_decision_by(e.REVIEWER))

    assert "TOO_LATE" == code(step)
    assert e.REVIEWER == world.last(CommandRefused).reviewer_id


def test_clocks_of_two_packages_that_fire_at_one_input_share_no_id() -> None:
    """Windows of several packages end at the same record; each one's events have their own ids,
    the audit drawn for it included."""
    worlds = [a_world(on_the_loop(audit_sample=1.0)) for _ in range(2)]
    for number, world in enumerate(worlds):
        world.send(of_package(f"pkg-{number}", package={"risk_level": "medium"}))
        world.records = 9

    fired = [step.events for world in worlds for step in world.wait(HOUR + 1)]

    ids = own_ids(event for events in fired for event in events)
    assert len(ids) == len(set(ids))
    assert 2 == len(
        [x for events in fired for x in of(events, ReviewTaskEvent) if x.change == "audit_opened"]
    )

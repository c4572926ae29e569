"""The escalation ladder: role after role, each with its own time, then expiry."""

from __future__ import annotations

from typing import Any

from schemas.events import (
    InterruptStatusChanged,
)
from tests import examples as e
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_person,
    a_policy,
    a_world,
    asked,
    code,
    gates,
    statuses,
)

DAY = 86_400.0
HOUR = 3600.0


def _asked(rule: dict[str, Any], **request: Any) -> World:
    return asked(a_policy(policy_version="8", rule=rule), **request)


def test_nobody_decided_and_the_ladder_goes_on() -> None:
    """At decide_by the interrupt escalates: the next role is asked and has its own time."""
    world = asked()

    steps = world.wait(DAY + 1)

    change = world.last(InterruptStatusChanged)
    assert [("escalated", None)] == statuses(steps)
    assert ("head_of_enforcement", False) == (change.required_role, change.final)
    assert e.at(2 * DAY + 1) == change.decide_by


def test_after_the_ladder_it_expires() -> None:
    """A ladder is finite: after its last step the interrupt expires and the gate is denied."""
    world = asked()

    steps = [*world.wait(DAY + 1), *world.wait(DAY + 1)]

    assert [("escalated", None), ("expired", "expired")] == statuses(steps)
    assert (["denied"], "expired") == (gates(steps), world.now.status)


def test_the_escalated_role_may_decide_and_the_lower_no_longer() -> None:
    """After an escalation the role of the step is required."""
    world = asked()
    world.wait(DAY + 1)

    low, high = world.send(a_decision_by(e.REVIEWER)), world.send(a_decision_by("r.head"))

    assert ("MISSING_ROLE", None) == (code(low), code(high))


def test_approvals_stand_where_their_slot_remains() -> None:
    """An escalation lifts the senior's slot; legal's slot stays, and so does its approval."""
    slots = [{"role": "senior_reviewer"}, {"role": "legal"}]
    world = _asked({"approvals": slots})
    world.send(a_decision_by("r.legal"))
    world.wait(DAY + 1)

    step = world.send(a_decision_by("r.head"))

    assert [("decided", "approve")] == statuses([step])


def test_nobody_eligible_escalates_at_once() -> None:
    """NO_ELIGIBLE_REVIEWER: where nobody of the directory may decide, the next role is asked."""
    gone = [a_person(name, removed=True) for name in (e.REVIEWER, "r.lind", "r.boss")]
    legal = a_policy(policy_version="8", rule={"approvals": [{"role": "ombud"}]})

    world = a_world(legal, *gone)
    step = world.send(e.a_request())

    assert [("pending", None), ("escalated", None)] == statuses([step])
    assert "NO_ELIGIBLE_REVIEWER" in world.last(InterruptStatusChanged).reason


def test_an_escalation_at_once_has_its_whole_time() -> None:
    """The step's time starts when the worker handled the request, as any relative window."""
    world = a_world(a_policy(policy_version="8", rule={"approvals": [{"role": "ombud"}]}))

    world.send(e.a_request(), handled_at=e.at(HOUR))

    assert ("escalated", e.at(HOUR + DAY)) == (world.now.status, world.now.decide_by)


def test_a_step_that_nobody_can_answer_is_passed_over() -> None:
    """An escalation to a role that nobody holds goes on to the next one at once."""
    ladder = [{"role": "ombud", "within": "24h"}, {"role": "head_of_enforcement", "within": "24h"}]
    world = _asked({"escalation": ladder, "approvals": [{"role": "senior_reviewer"}]})

    steps = world.wait(DAY + 1)

    assert [("escalated", None), ("escalated", None)] == statuses(steps)
    assert 2 == world.now.ladder_step


def test_those_barred_are_not_eligible() -> None:
    """The only reviewer of the role drafted the package: it escalates at once."""
    others = [a_person(name, "reviewer") for name in ("r.lind", "r.head")]
    ladder = [{"role": "legal", "within": "24h"}]
    policy = a_policy(policy_version="8", rule={"escalation": ladder})

    world = a_world(policy, *others)
    step = world.send(e.a_request(package=e.a_package(drafted_by=e.REVIEWER)))

    assert [("pending", None), ("escalated", None)] == statuses([step])


def test_with_nobody_left_it_waits_and_expires() -> None:
    """Where the whole ladder finds nobody, the interrupt stays open until its time ends."""
    world = World(directory=a_world(a_policy()).directory)
    world.apply(
        *(a_person(name, removed=True) for name in world.directory.tenant(e.TENANT).reviewers)
    )
    world.send(e.a_request())

    steps = world.wait(DAY + 1)

    assert [("expired", "expired")] == statuses(steps)

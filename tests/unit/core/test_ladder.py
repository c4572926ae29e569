"""Escalation: a finite ladder, role after role, each with its own time, then expiry."""

from __future__ import annotations

import pytest

from schemas.directory import Absence
from schemas.events import HumanDecisionEvent, InterruptStatusChanged
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    changes,
    decides,
    open_world,
    quorum,
    somebody,
    standing,
    works,
)
from tests.unit.core.world import World, a_policy, asked, code, codes, gates, of

LADDER = [
    {"role": "senior_reviewer", "within": "2h"},
    {"role": "head_of_enforcement", "within": "3h"},
]


def _laddered() -> World:
    rule = {"approvals": [{"role": "reviewer"}], "escalation": LADDER}
    tools = [e.a_policy_form()["tools"][0] | {"min_reviewer_role": "reviewer"}]
    return open_world(a_policy(policy_version="8", rule=rule, tools=tools))


def test_a_reviewer_escalates_to_the_next_role() -> None:
    """The status names the next role and its own time; the decision is recorded as not final."""
    world = _laddered()
    world.clock = HOUR

    step = world.send(decides("r.diaz", "escalate"))

    status = of(step.events, InterruptStatusChanged)[0]
    assert ("escalated", "senior_reviewer", e.at(3 * HOUR)) == (
        status.status, status.required_role, status.decide_by
    )  # fmt: skip
    assert not of(step.events, HumanDecisionEvent)[0].final
    assert "escalated" == changes(world)[-1]


def test_after_an_escalation_the_lower_role_does_not_decide() -> None:
    """The required role is the escalation role, for every decision."""
    world = _laddered()
    world.send(decides("r.diaz", "escalate"))

    assert ["MISSING_ROLE"] == codes(world.send(decides("r.diaz", "reject")))
    assert ["opened"] == gates([world.send(decides("r.lind"))])


def test_each_step_has_its_time_and_then_it_expires() -> None:
    """A day, two hours, three hours, then expiry; the gate is denied and nothing was approved."""
    world = _laddered()

    seen = []
    for seconds in (DAY + 1, 2 * HOUR + 1, 3 * HOUR + 1):
        world.wait(seconds)
        seen.append(standing(world))

    assert [("escalated", None), ("escalated", None), ("expired", "expired")] == seen
    assert "denied" == world.now.gate


def test_the_ladders_end_escalates_no_further() -> None:
    """At the top there is nobody above: DECISION_NOT_ALLOWED."""
    world = _laddered()
    world.send(decides("r.diaz", "escalate"))
    world.send(decides("r.lind", "escalate"))

    assert ["DECISION_NOT_ALLOWED"] == codes(world.send(decides("r.head", "escalate")))


def test_escalating_asks_for_its_scope() -> None:
    """Without <subject>:escalate nobody sends it up."""
    world = open_world(somebody("r.lind", scopes=["notice:approve"]))

    assert "MISSING_SCOPE" == code(world.send(decides("r.lind", "escalate")))


def test_an_escalation_drops_the_hold() -> None:
    """The claim ends with the step; the next role claims anew."""
    world = _laddered()
    world.send(works("r.diaz", "claim"))

    world.send(decides("r.diaz", "escalate"))

    assert (None, None) == (world.now.assigned_to, world.now.lease_until)


def test_approvals_stand_where_the_new_plan_has_their_slot() -> None:
    """The legal approval counts on after the seniors' slot went up to the head."""
    world = open_world(quorum("senior_reviewer", "legal"))
    world.send(decides("r.legal"))
    world.send(decides("r.lind", "escalate"))

    step = world.send(decides("r.head"))

    assert 2 == of(step.events, HumanDecisionEvent)[0].quorum.have
    assert ["opened"] == gates([step])


def test_nobody_eligible_escalates_at_once() -> None:
    """When nobody of the directory could decide, the request goes up with NO_ELIGIBLE_REVIEWER."""
    world = asked(*(somebody(name, removed=True) for name in (e.REVIEWER, "r.lind")),
                  somebody("r.head", "legal"))  # fmt: skip

    status = world.last(InterruptStatusChanged)
    assert "escalated" == status.status
    assert status.reason.startswith("NO_ELIGIBLE_REVIEWER")


def test_who_is_absent_is_not_there() -> None:
    """A reviewer who is away does not keep the request from going up."""
    away = [Absence(valid_from=e.NOW, valid_until=e.at(DAY))]
    removed = somebody("r.boss", "head_of_enforcement", removed=True)
    people = [somebody(name, absences=away) for name in (e.REVIEWER, "r.lind", "r.head", "r.chief")]

    assert ("escalated", None) == standing(open_world(removed, *people))


def test_one_person_under_two_ids_fills_one_slot() -> None:
    """Linked identities are one person: they do not make up a quorum of two."""
    only = [somebody(name, removed=True) for name in ("r.head", "r.chief")]
    world = open_world(
        *only,
        somebody("r.lind", linked_identities=[e.REVIEWER]),
        quorum("senior_reviewer", "senior_reviewer"),
    )

    assert world.last(InterruptStatusChanged).reason.startswith("NO_ELIGIBLE_REVIEWER")


def test_the_last_to_step_aside_sends_it_up() -> None:
    """A recusal that leaves nobody escalates at once."""
    removed = [somebody(name, removed=True) for name in (e.REVIEWER, "r.chief")]
    world = open_world(*removed, somebody("r.head", "legal"))

    world.send(works("r.lind", "recuse"))

    assert world.last(InterruptStatusChanged).reason.startswith("NO_ELIGIBLE_REVIEWER")


@pytest.mark.parametrize("decision", ["approve", "reject", "escalate"])
def test_an_absolute_end_expires_instead_of_escalating(decision: str) -> None:
    """No escalation gains time over expires_at of the request; a later answer is too late."""
    world = open_world(expires_at=e.at(HOUR))

    world.wait(HOUR + 1)

    assert ("expired", "expired") == standing(world)
    assert "TOO_LATE" == code(world.send(decides("r.head", decision)))

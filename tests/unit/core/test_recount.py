"""The quorum is recounted by today's directory before a gate opens."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import HumanDecisionEvent, ToolGateEvent
from tests import examples as e
from tests.unit.core.rulebook import decides, open_world, quorum, somebody
from tests.unit.core.world import World, code, gates, of

LOST: dict[str, dict[str, Any]] = {
    "disabled": {"removed": True},
    "ended": {"active_until": e.at(30)},
    "role withdrawn": {"roles": ["reviewer"]},
    "scope withdrawn": {"scopes": ["notice:reject"]},
    "ceiling lowered": {"max_risk_level": "medium"},
    "conflict declared": {"conflicts": ["case:case-5512"]},
    "found to be the requester": {"linked_identities": [e.REQUESTER]},
}


def _half_approved() -> World:
    world = open_world(quorum("senior_reviewer", "senior_reviewer"), somebody("r.third"))
    world.send(decides("r.lind"))
    world.clock = 60
    return world


@pytest.mark.parametrize("name", LOST)
def test_an_approval_counts_by_the_authority_of_today(name: str) -> None:
    """Who lost the standing between approval and quorum counts no more; somebody else completes."""
    world = _half_approved()
    world.apply(somebody("r.lind", **LOST[name]))

    second = world.send(decides(e.REVIEWER))
    third = world.send(decides("r.third"))

    assert 1 == of(second.events, HumanDecisionEvent)[0].quorum.have
    assert [[], ["opened"]] == [gates([second]), gates([third])]
    events = [of(step.events, HumanDecisionEvent)[0].event_id for step in (second, third)]
    assert events == of(third.events, ToolGateEvent)[0].decision_event_ids


def test_who_has_the_standing_again_counts_again() -> None:
    """A role given back makes the approval count without a second one."""
    world = _half_approved()
    world.apply(somebody("r.lind", removed=True))
    world.apply(somebody("r.lind"))

    assert ["opened"] == gates([world.send(decides(e.REVIEWER))])


def test_an_approval_that_a_recount_dropped_stays_out() -> None:
    """Once somebody else has approved without it, a role given back does not count it again, or the
    quorum would be full with nobody left to close it; its giver approves anew."""
    world = _half_approved()
    world.apply(somebody("r.lind", roles=["reviewer"]))
    world.send(decides(e.REVIEWER))
    world.apply(somebody("r.lind"))

    again = world.send(decides("r.lind"))

    assert ["opened"] == gates([again])
    assert 2 == len(of(again.events, ToolGateEvent)[0].decision_event_ids)


def test_a_link_found_later_makes_two_approvals_one() -> None:
    """Two who turn out to be one person fill one slot, though both had approved before."""
    world = open_world(
        quorum("senior_reviewer", "senior_reviewer", "senior_reviewer"), somebody("r.third")
    )
    world.send(decides("r.lind"))
    world.send(decides(e.REVIEWER))
    world.apply(somebody("r.lind", linked_identities=[e.REVIEWER]))

    step = world.send(decides("r.third"))

    assert 2 == of(step.events, HumanDecisionEvent)[0].quorum.have
    assert [] == gates([step])


def test_a_duplicate_stays_one_after_the_recount() -> None:
    """Who approved does not approve again; the first approval stands."""
    world = _half_approved()

    assert "DUPLICATE_APPROVER" == code(world.send(decides("r.lind")))

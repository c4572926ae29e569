"""Quorum: complete is a perfect matching of distinct people to slots, recomputed each time."""

from __future__ import annotations

from typing import Any

import pytest

from core.limits import APPROVALS_PER_VERSION_MAX
from schemas.events import HumanDecisionEvent, ToolGateEvent
from schemas.state import Approval
from tests import examples as e
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_person,
    a_policy,
    asked,
    code,
    codes,
    gates,
    signer_of,
    statuses,
)

SENIOR: dict[str, Any] = {"role": "senior_reviewer"}
LEGAL: dict[str, Any] = {"role": "legal"}
HEAD: dict[str, Any] = {"role": "head_of_enforcement"}


def _asked(*slots: dict[str, Any], people: tuple[Any, ...] = ()) -> World:
    return asked(a_policy(policy_version="8", rule={"approvals": list(slots)}), *people)


def _quorum(world: World) -> tuple[int, int]:
    quorum = world.last(HumanDecisionEvent).quorum
    return quorum.have, quorum.need


def test_a_quorum_waits_for_every_slot() -> None:
    """One approval of two is recorded, not final, and opens nothing."""
    world = _asked(SENIOR, SENIOR)

    step = world.send(a_decision_by(e.REVIEWER))

    assert ((1, 2), [], []) == (_quorum(world), statuses([step]), gates([step]))
    assert not world.last(HumanDecisionEvent).final


def test_the_last_slot_completes_it() -> None:
    """The completing approval decides, and the gate lists every approval counted, it last."""
    world = _asked(SENIOR, LEGAL)
    world.send(a_decision_by("r.legal"))
    first = world.last(HumanDecisionEvent)

    step = world.send(a_decision_by(e.REVIEWER))

    completing = world.last(HumanDecisionEvent)
    assert ([("decided", "approve")], (2, 2)) == (statuses([step]), _quorum(world))
    assert [first.event_id, completing.event_id] == world.last(ToolGateEvent).decision_event_ids


def test_a_rejection_ends_a_quorum() -> None:
    """One reject closes the interrupt, however many have approved."""
    world = _asked(SENIOR, SENIOR)
    world.send(a_decision_by(e.REVIEWER))

    step = world.send(a_decision_by("r.lind", "reject"))

    assert ([("decided", "reject")], (1, 2)) == (statuses([step]), _quorum(world))


def test_one_person_fills_one_slot() -> None:
    """DUPLICATE_APPROVER: a second approval by the same person does not count."""
    world = _asked(SENIOR, SENIOR)
    world.send(a_decision_by(e.REVIEWER))

    step = world.send(a_decision_by(e.REVIEWER, idempotency_key="another"))

    assert ["DUPLICATE_APPROVER"] == codes(step)


def test_a_slot_that_is_filled_takes_nobody_else() -> None:
    """NO_OPEN_SLOT: a valid approver whom no free slot fits is told so."""
    world = _asked(SENIOR, LEGAL)
    world.send(a_decision_by(e.REVIEWER))

    step = world.send(a_decision_by("r.lind"))

    assert ["NO_OPEN_SLOT"] == codes(step)


def test_people_move_to_make_room() -> None:
    """A head in the senior slot moves up when a senior comes: the matching is computed anew."""
    world = _asked(SENIOR, HEAD)
    world.send(a_decision_by("r.head"))

    step = world.send(a_decision_by("r.lind"))

    assert [("decided", "approve")] == statuses([step])


def test_two_people_for_one_slot_do_not_complete_a_quorum() -> None:
    """After an escalation, approvals that fit only one slot between them count as one.

    Slots [senior, senior of a team of its own, legal] become [head, head, legal] at the first
    step: the two seniors stand nowhere then, and legal alone is counted.
    """
    world = _asked(SENIOR, SENIOR, LEGAL)
    world.send(a_decision_by(e.REVIEWER))
    world.send(a_decision_by("r.legal"))
    world.wait(86_401)

    step = world.send(a_decision_by("r.head"))

    assert ((2, 3), []) == (_quorum(world), gates([step]))


def test_only_approvals_that_fill_a_slot_are_counted() -> None:
    """Two earlier approvers who come to fit the same one slot leave the quorum incomplete."""
    both = a_person("r.both", roles=["senior_reviewer", "legal"])
    world = _asked(SENIOR, LEGAL, HEAD, people=(both,))
    world.send(a_decision_by(e.REVIEWER))
    world.send(a_decision_by("r.both"))
    world.apply(a_person("r.both", roles=["senior_reviewer"]))

    step = world.send(a_decision_by("r.head"))

    assert ((2, 3), []) == (_quorum(world), gates([step]))


def test_the_gate_leaves_out_approvals_that_do_not_count() -> None:
    """Of two approvals for one slot only the one that is counted stands on the gate."""
    both = a_person("r.both", roles=["senior_reviewer", "legal"])
    world = _asked(SENIOR, LEGAL, people=(both,))
    world.send(a_decision_by(e.REVIEWER))
    world.apply(a_person("r.both", roles=["senior_reviewer"]))
    world.send(a_decision_by("r.both"))

    world.send(a_decision_by("r.legal"))

    gate = world.last(ToolGateEvent)
    assert 2 == len(gate.decision_event_ids)
    assert world.last(HumanDecisionEvent).event_id == gate.decision_event_ids[-1]


def test_an_approver_who_lost_the_role_no_longer_counts() -> None:
    """Authority is today's: an approval falls when its person loses the role before completion."""
    world = _asked(SENIOR, LEGAL)
    world.send(a_decision_by(e.REVIEWER))
    world.apply(a_person(e.REVIEWER, "reviewer"))

    step = world.send(a_decision_by("r.legal"))

    assert ((1, 2), []) == (_quorum(world), gates([step]))


@pytest.mark.parametrize(
    "change",
    [
        {"removed": True},
        {"scopes": []},
        {"max_risk_level": "low"},
        {"conflicts": ["case:case-5512"]},
        {"active_until": e.at(-1)},
    ],
)
def test_an_approval_falls_with_any_rule_that_carried_it(change: dict[str, Any]) -> None:
    """Whatever would refuse the approval today keeps it from being counted today."""
    world = _asked(SENIOR, LEGAL)
    world.send(a_decision_by(e.REVIEWER))
    world.apply(a_person(e.REVIEWER, **change))

    step = world.send(a_decision_by("r.legal"))

    assert ((1, 2), []) == (_quorum(world), gates([step]))


def test_a_fallen_slot_can_be_filled_again() -> None:
    """Where an approval fell, another person of the role takes its slot."""
    world = _asked(SENIOR, LEGAL)
    world.send(a_decision_by(e.REVIEWER))
    world.apply(a_person(e.REVIEWER, "reviewer"))
    world.send(a_decision_by("r.legal"))

    step = world.send(a_decision_by("r.lind"))

    assert ([("decided", "approve")], (2, 2)) == (statuses([step]), _quorum(world))


def test_whoever_comes_back_counts_once() -> None:
    """An approval that fell and stands again is one person: it cannot be given a second time."""
    world = _asked(SENIOR, SENIOR)
    world.send(a_decision_by(e.REVIEWER))
    world.apply(a_person(e.REVIEWER, "reviewer"))
    world.apply(a_person(e.REVIEWER))

    step = world.send(a_decision_by(e.REVIEWER, idempotency_key="another"))

    assert ["DUPLICATE_APPROVER"] == codes(step)


def test_an_approval_that_fell_is_replaced_by_a_new_one_of_the_same_person() -> None:
    """A delegate whose delegation ended approves in their own name; both never count at once."""
    principal = a_person("r.lind", delegates=[e.a_delegation(to=e.REVIEWER)])
    world = _asked(SENIOR, SENIOR, people=(principal,))
    world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))
    world.apply(a_person("r.lind"))
    world.send(a_decision_by(e.REVIEWER, idempotency_key="own"))
    world.apply(principal)

    step = world.send(a_decision_by("r.head"))

    assert ([("decided", "approve")], 2) == (statuses([step]), len(world.now.approvals))


def test_a_distinct_team_is_another_team() -> None:
    """NO_OPEN_SLOT: a slot of a distinct team is not filled from the team of another slot."""
    north = [a_person(name, team="north") for name in (e.REVIEWER, "r.lind")]
    world = _asked(SENIOR, SENIOR | {"distinct_team": True}, people=tuple(north))
    world.send(a_decision_by(e.REVIEWER))

    same, other = world.send(a_decision_by("r.lind")), world.send(a_decision_by("r.head"))

    assert (["NO_OPEN_SLOT"], []) == (codes(same), codes(other))


def test_a_distinct_team_binds_whoever_comes_first() -> None:
    """Also when the person in the distinct_team slot came first, nobody of the team follows."""
    people = (a_person("r.legal", "legal", team="north"), a_person("r.lind", team="north"))
    world = _asked(SENIOR, LEGAL | {"distinct_team": True}, people=people)
    world.send(a_decision_by("r.legal"))

    step = world.send(a_decision_by("r.lind"))

    assert ["NO_OPEN_SLOT"] == codes(step)


def test_no_team_is_not_another_team() -> None:
    """Two people without a team cannot show that they are of different ones."""
    people = tuple(a_person(name, team=None) for name in (e.REVIEWER, "r.lind"))
    world = _asked(SENIOR, SENIOR | {"distinct_team": True}, people=people)
    world.send(a_decision_by(e.REVIEWER))

    step = world.send(a_decision_by("r.lind"))

    assert ["NO_OPEN_SLOT"] == codes(step)


def test_two_people_with_one_key_are_one_approver() -> None:
    """DUPLICATE_APPROVER: slots need distinct personal keys."""
    world = _asked(SENIOR, SENIOR)
    first, second = a_decision_by(e.REVIEWER), a_decision_by("r.lind")
    world.send(first, signer=signer_of(first, kid="shared"))

    step = world.send(second, signer=signer_of(second, kid="shared"))

    assert ["DUPLICATE_APPROVER"] == codes(step)


@pytest.mark.parametrize(
    ("sids", "found"),
    [
        (("s1", "s2"), None),
        (("s1", "s1"), "DUPLICATE_APPROVER"),
        ((None, None), "DUPLICATE_APPROVER"),
        (("s1", None), "DUPLICATE_APPROVER"),
        ((None, "s1"), "DUPLICATE_APPROVER"),
    ],
)
def test_through_a_gateway_slots_need_distinct_sessions(
    sids: tuple[str | None, str | None], found: str | None
) -> None:
    """DUPLICATE_APPROVER: one gateway key is many people only where the sessions show it."""
    world = _asked(SENIOR, SENIOR)
    first, second = a_decision_by(e.REVIEWER), a_decision_by("r.lind")
    world.send(first, signer=signer_of(first, kid="gw", kind="gateway", sid=sids[0]))

    step = world.send(second, signer=signer_of(second, kid="gw", kind="gateway", sid=sids[1]))

    assert found == code(step)


def test_sessions_of_two_gateways_are_distinct() -> None:
    """Two gateways may use the same name for a session; their keys tell them apart."""
    world = _asked(SENIOR, SENIOR)
    for reviewer, kid in ((e.REVIEWER, "gw1"), ("r.lind", "gw2")):
        command = a_decision_by(reviewer)
        world.send(command, signer=signer_of(command, kid=kid, kind="gateway", sid="s"))

    assert "decided" == world.now.status


def test_the_approvals_of_a_version_are_bounded() -> None:
    """PACKAGE_FULL: approvals that fell pile up only so far."""
    world = _asked(SENIOR, LEGAL)
    fallen = [
        Approval(reviewer_id=f"r.{n}", persons=[f"r.{n}"], event_id=f"ev-{n}")
        for n in range(APPROVALS_PER_VERSION_MAX)
    ]
    world.state = world.now.model_copy(update={"approvals": fallen})

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["PACKAGE_FULL"] == codes(step)

"""Separation of duties by lineage, conflicts of interest, delegation."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.requests import Contributor, MemoryApprovalPackage
from schemas.state import Lineage
from tests import examples as e
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_next_request,
    a_person,
    a_policy,
    a_world,
    asked,
    codes,
)

BARRED: dict[str, dict[str, Any]] = {
    "requester": {"requested_by": e.REVIEWER},
    "drafter": {"package": e.a_package(drafted_by=e.REVIEWER)},
    "last editor": {
        "package": e.a_package(contributors=[Contributor(agent_id=e.REVIEWER, role="editor")])
    },
    "contributing drafter": {
        "package": e.a_package(contributors=[Contributor(agent_id=e.REVIEWER, role="drafter")])
    },
}


def _lineage(world: World) -> Lineage:
    assert world.now.accepted is not None
    return world.now.accepted.lineage


def _delegates(*to: str, **over: Any) -> Any:
    return a_person("r.lind", delegates=[e.a_delegation(to=name) for name in to], **over)


@pytest.mark.parametrize("part", BARRED)
def test_whoever_stands_behind_a_package_does_not_approve_it(part: str) -> None:
    """SEPARATION_OF_DUTIES: requester, drafter and editor are each not the approver."""
    step = asked(**BARRED[part]).send(a_decision_by(e.REVIEWER))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_the_owner_of_the_agent_does_not_approve() -> None:
    """SEPARATION_OF_DUTIES: r.boss answers for the agent that asks."""
    step = asked().send(a_decision_by("r.boss"))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_the_owner_of_a_drafting_agent_does_not_approve() -> None:
    """SEPARATION_OF_DUTIES: whoever answers for the agent that drafted is in the lineage too."""
    helper = e.an_agent(agent_id="agent:helper", owner="r.lind")

    step = asked(helper, package=e.a_package(drafted_by="agent:helper")).send(
        a_decision_by("r.lind")
    )

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_who_only_gave_an_opinion_may_approve() -> None:
    """A contributor that neither drafted nor edited is not barred."""
    package = e.a_package(contributors=[Contributor(agent_id=e.REVIEWER, role="risk")])

    step = asked(package=package).send(a_decision_by(e.REVIEWER))

    assert [] == codes(step)


def test_who_proposed_a_memory_does_not_approve_it() -> None:
    """SEPARATION_OF_DUTIES holds for memory writes: their proposer drafted them."""
    memory = MemoryApprovalPackage(
        package_id="mem-1",
        proposed_memory="The operator prefers mail.",
        source_refs=["mail:2026-02-20"],
        subject_type="case",
        subject_id="case-5512",
        sensitivity="internal",
        retention="1y",
        proposed_by=e.REVIEWER,
    )

    step = asked(package=e.a_package(memory=memory)).send(a_decision_by(e.REVIEWER))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_the_drafter_of_any_version_is_barred() -> None:
    """SEPARATION_OF_DUTIES: drafting version 1 bars from approving version 2."""
    world = asked(package=e.a_package(drafted_by=e.REVIEWER))
    world.send(a_next_request())

    step = world.send(a_decision_by(e.REVIEWER, expected_package_version=2))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_the_barred_do_not_decide_otherwise_either() -> None:
    """SEPARATION_OF_DUTIES: whoever asked takes it back with cancel, not with a reject."""
    step = asked(requested_by=e.REVIEWER).send(a_decision_by(e.REVIEWER, "reject"))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


def test_a_drafter_who_joins_later_voids_an_approval() -> None:
    """Approvals do not carry to the next version, so its drafter never counts for it."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = asked(a_policy(policy_version="8", rule={"approvals": two}))
    world.send(a_decision_by(e.REVIEWER))

    world.send(a_next_request(package={"drafted_by": e.REVIEWER}))

    assert [] == world.now.approvals
    assert e.REVIEWER in _lineage(world).drafters


def test_what_is_only_claimed_is_marked() -> None:
    """A requester the agent may not request for, and an unproven drafter, stand as claimed."""
    world = asked(requested_by="svc:other", package=e.a_package(drafted_by="r.diaz"))

    assert ["svc:other", "r.diaz"] == _lineage(world).claimed


def test_a_registered_requester_is_verified() -> None:
    """A requester that the directory says the agent may request for is not marked."""
    assert [] == _lineage(asked()).claimed


def test_everything_unsigned_is_claimed() -> None:
    """Where an unsigned request is allowed, all its lineage is marked unverified."""
    world = a_world(a_policy(policy_version="8", unsigned_requests="allow"))

    world.send(e.a_request(), signer=None)

    assert [e.AGENT, e.REQUESTER] == _lineage(world).claimed


def test_a_claimed_drafter_bars_like_a_verified_one() -> None:
    """SEPARATION_OF_DUTIES: naming a reviewer as drafter is enough to keep them out."""
    world = a_world(a_policy(policy_version="8", unsigned_requests="allow"))
    world.send(e.a_request(package=e.a_package(drafted_by=e.REVIEWER)), signer=None)

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


@pytest.mark.parametrize(
    ("conflict", "package"),
    [
        ("case:case-5512", {}),
        ("customer:harbour", {"subject_relations": ["customer:harbour"]}),
    ],
)
def test_a_declared_conflict_bars(conflict: str, package: dict[str, Any]) -> None:
    """CONFLICT_OF_INTEREST: with the subject itself, or with what it relates to."""
    world = asked(a_person("r.near", conflicts=[conflict]), package=e.a_package(**package))

    step = world.send(a_decision_by("r.near"))

    assert ["CONFLICT_OF_INTEREST"] == codes(step)


def test_the_conflict_of_the_principal_bars_the_delegate() -> None:
    """CONFLICT_OF_INTEREST: a conflict is not lent away."""
    world = asked(_delegates(e.REVIEWER, conflicts=["case:case-5512"]))

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert ["CONFLICT_OF_INTEREST"] == codes(step)


def test_a_delegation_names_both_people() -> None:
    """A delegate's approval is recorded with who decided and for whom."""
    world = asked(_delegates(e.REVIEWER))

    world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    decision = world.last(HumanDecisionEvent)
    assert (e.REVIEWER, "r.lind") == (decision.reviewer_id, decision.on_behalf_of)


def test_delegate_and_principal_count_as_one_person() -> None:
    """DUPLICATE_APPROVER: the principal cannot fill the next slot after their delegate."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = asked(a_policy(policy_version="8", rule={"approvals": two}), _delegates(e.REVIEWER))
    world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    step = world.send(a_decision_by("r.lind"))

    assert ["DUPLICATE_APPROVER"] == codes(step)


def test_separation_holds_through_delegation() -> None:
    """SEPARATION_OF_DUTIES: whoever drafted cannot have it approved by a delegate."""
    world = asked(_delegates(e.REVIEWER), package=e.a_package(drafted_by="r.lind"))

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)


@pytest.mark.parametrize(
    ("seconds", "found"),
    [(9, ["DELEGATION_INVALID"]), (10, []), (20, []), (21, ["DELEGATION_INVALID"])],
)
def test_a_delegation_is_time_boxed(seconds: float, found: list[str]) -> None:
    """DELEGATION_INVALID: before its first and after its last instant."""
    lent = e.a_delegation(to=e.REVIEWER, valid_from=e.at(10), valid_until=e.at(20))
    world = asked(a_person("r.lind", delegates=[lent]))
    world.clock = seconds

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert found == codes(step)


def test_a_delegation_to_another_does_not_help() -> None:
    """DELEGATION_INVALID: authority is lent to one person."""
    step = asked(_delegates("r.diaz")).send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert ["DELEGATION_INVALID"] == codes(step)


def test_a_delegation_never_widens_the_delegate() -> None:
    """MISSING_ROLE: a reviewer does not become a senior by deciding for one."""
    step = asked(_delegates("r.diaz")).send(a_decision_by("r.diaz", on_behalf_of="r.lind"))

    assert ["MISSING_ROLE"] == codes(step)


def test_a_principal_lends_only_what_they_have() -> None:
    """DELEGATION_INVALID: who may not approve it cannot have it approved."""
    world = asked(_delegates(e.REVIEWER, roles=["reviewer"]))

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert ["DELEGATION_INVALID"] == codes(step)


def test_through_delegation_a_slot_must_fit_both() -> None:
    """NO_OPEN_SLOT: a senior for legal fills neither the senior's slot nor that of legal."""
    slots = [{"role": "senior_reviewer"}, {"role": "legal"}]
    legal = a_person("r.legal", "legal", delegates=[e.a_delegation(to=e.REVIEWER)])
    world = asked(a_policy(policy_version="8", rule={"approvals": slots}), legal)

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.legal"))

    assert ["NO_OPEN_SLOT"] == codes(step)


def test_an_absent_principal_lends_nothing() -> None:
    """DELEGATION_INVALID: whoever left the directory has nobody deciding for them."""
    world = asked(_delegates(e.REVIEWER, removed=True))

    step = world.send(a_decision_by(e.REVIEWER, on_behalf_of="r.lind"))

    assert ["DELEGATION_INVALID"] == codes(step)
    assert "r.lind" in world.last(CommandRefused).message

"""The files of the demo: a policy, people and drafts that fit each other and the story."""

from __future__ import annotations

from core.lineage import barred
from core.planning import matching_rule
from countersign.commands.policy import read_policy
from countersign.commands.reviewers import read_directory_file
from countersign.demo.ground import AGENT, FILES, FIRST, HEAD, SECOND, TENANT, drafts
from schemas.state import Lineage

POLICY, _ = read_policy(FILES / "policy.yaml")
PEOPLE, _ = read_directory_file(FILES / "directory.yaml")


def test_policy_and_people_are_of_the_tenant() -> None:
    """Both files and every draft name the same tenant."""
    tenants = {POLICY.tenant_id, PEOPLE.tenant_id, *(draft.tenant_id for draft in drafts())}

    assert tenants == {TENANT}


def test_the_agent_drafts_three_notices() -> None:
    """Each is a package of its own, with exactly one mail as its tool call."""
    requests = drafts()

    assert [r.package.decision_package_id for r in requests] == ["notice-1", "notice-2", "notice-3"]
    assert {r.package.proposed_by for r in requests} == {AGENT}
    assert all(r.package.tool_call is not None for r in requests)
    assert all(r.interrupt_id != drafts()[n].interrupt_id for n, r in enumerate(requests))


def test_only_the_second_is_asked_for_by_a_reviewer() -> None:
    """So only there separation of duties bars the first reviewer; no owner is a reviewer."""
    people = {row.reviewer_id for row in PEOPLE.reviewers}
    (agent,) = PEOPLE.agents

    assert [r.requested_by in people for r in drafts()] == [False, True, False]
    assert drafts()[1].requested_by == FIRST
    assert set(agent.may_request_for) >= {r.requested_by for r in drafts()}
    assert agent.owner not in people


def test_the_requester_is_barred_by_lineage_and_the_others_are_not() -> None:
    """What the story shows follows from the rules."""
    second = drafts()[1]
    lineage = Lineage(
        requesters=[second.requested_by],
        first_signer=AGENT,
        drafters=[AGENT],
        owners=[PEOPLE.agents[0].owner or ""],
    )

    assert FIRST in barred(lineage)
    assert not {SECOND, HEAD} & barred(lineage)


def test_only_the_third_has_a_deadline_that_can_be_watched() -> None:
    """Its rule gives seconds and one step of escalation; the others have minutes."""
    rules = [matching_rule(POLICY, request, "high") for request in drafts()]

    assert [rule.name for rule in rules if rule] == ["notices", "notices", "stop-work orders"]
    assert rules[2] is not None
    assert rules[2].decide_within == 5
    assert [step.within for step in rules[2].escalation or []] == [5]
    assert POLICY.defaults.decide_within >= 600

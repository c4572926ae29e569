"""Decisions: what each must say, and what it brings about."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from tests import examples as e
from tests.unit.core.world import (
    a_decision_by,
    a_person,
    a_policy,
    a_world,
    asked,
    codes,
    gates,
    of,
    statuses,
)


def test_revise_needs_a_comment() -> None:
    """COMMENT_REQUIRED: the agent must learn what to change."""
    step = asked().send(a_decision_by(e.REVIEWER, "revise", comment="  "))

    assert ["COMMENT_REQUIRED"] == codes(step)


@pytest.mark.parametrize(
    ("over", "found"),
    [
        ({"comment": None}, ["COMMENT_REQUIRED"]),
        ({"comment": None, "evidence_requested": [" "]}, ["COMMENT_REQUIRED"]),
        ({"comment": None, "evidence_requested": ["lab report"]}, []),
        ({"comment": "The lab report of May."}, []),
    ],
)
def test_more_evidence_needs_to_be_named(over: dict[str, Any], found: list[str]) -> None:
    """request_more_evidence says what is missing, in the comment or the list."""
    step = asked().send(a_decision_by(e.REVIEWER, "request_more_evidence", **over))

    assert found == codes(step)


def test_a_human_led_decision_carries_the_reviewers_rationale() -> None:
    """REASON_REQUIRED: where people lead, the reviewer writes why, not the agent."""
    world = asked(a_policy(policy_version="8", rule={"mode": "human_led"}))

    without = world.send(a_decision_by(e.REVIEWER))
    with_one = world.send(a_decision_by(e.REVIEWER, reviewer_rationale="The samples agree."))

    assert (["REASON_REQUIRED"], []) == (codes(without), codes(with_one))


def test_approval_at_high_risk_can_require_a_comment() -> None:
    """COMMENT_REQUIRED: the policy names the risks at which an approval explains itself."""
    world = asked(a_policy(policy_version="8", rule={"comment_required": ["high"]}))

    step = world.send(a_decision_by(e.REVIEWER, comment=None))

    assert ["COMMENT_REQUIRED"] == codes(step)


def test_an_approval_decides_and_opens_the_gate() -> None:
    """One approval where one is needed: recorded, decided, task closed, gate open for the action."""
    world = asked()

    step = world.send(a_decision_by(e.REVIEWER))

    decision, gate = world.last(HumanDecisionEvent), world.last(ToolGateEvent)
    assert ([("decided", "approve")], ["opened"]) == (statuses([step]), gates([step]))
    assert (True, 1, 1) == (decision.final, decision.quorum.have, decision.quorum.need)
    assert e.ACTION_DIGEST == decision.action_digest == gate.action_digest
    assert [decision.event_id] == gate.decision_event_ids


def test_the_digest_is_recorded_whether_named_or_not() -> None:
    """An approval that names no digest is recorded with the digest of what it approves."""
    world = asked()

    world.send(a_decision_by(e.REVIEWER, action_digest=None))

    assert e.ACTION_DIGEST == world.last(HumanDecisionEvent).action_digest


def test_a_rejection_denies_the_gate() -> None:
    """reject is final: decided, and the gate is denied."""
    world = asked()

    step = world.send(a_decision_by(e.REVIEWER, "reject"))

    assert ([("decided", "reject")], ["denied"]) == (statuses([step]), gates([step]))
    assert world.last(HumanDecisionEvent).event_id in world.last(ToolGateEvent).decision_event_ids


@pytest.mark.parametrize(
    ("decision", "routing"), [("revise", "drafting"), ("request_more_evidence", "evidence")]
)
def test_a_package_is_sent_back_to_where_it_is_mended(decision: str, routing: str) -> None:
    """revise goes to drafting, request_more_evidence to evidence; the gate stays closed."""
    world = asked()

    step = world.send(a_decision_by(e.REVIEWER, decision))

    assert (routing, []) == (world.last(InterruptStatusChanged).routing, gates([step]))
    assert "closed" == world.now.gate


def test_without_a_tool_call_there_is_no_gate() -> None:
    """A conclusion without effect is decided, and no gate event is written."""
    reviewer = a_person("r.one", "head_of_enforcement", scopes=["decision:approve"])
    world = a_world(reviewer)
    world.send(e.a_request(package=e.a_package(tool_call=None)))

    step = world.send(a_decision_by("r.one", action_digest=None))

    assert [("decided", "approve")] == statuses([step])
    assert [] == of(world.events, ToolGateEvent)


def test_a_digest_for_no_action_is_a_mismatch() -> None:
    """ACTION_DIGEST_MISMATCH: naming a digest where there is no action is not seeing the package."""
    world = a_world()
    world.send(e.a_request(package=e.a_package(tool_call=None)))

    step = world.send(a_decision_by("r.head"))

    assert ["ACTION_DIGEST_MISMATCH"] == codes(step)


def test_a_decision_at_the_last_instant_is_in_time() -> None:
    """A decision appended exactly at decide_by counts."""
    world = asked()
    world.clock = 86_400

    step = world.send(a_decision_by(e.REVIEWER))

    assert [] == codes(step)


def test_a_late_worker_does_not_make_a_decision_late() -> None:
    """A decision is judged by when it was appended, however late it is read."""
    world = asked()
    world.clock = 86_399

    step = world.send(a_decision_by(e.REVIEWER), handled_at=e.at(200_000))

    assert [] == codes(step)
    assert e.at(200_000 + 48 * 3600) == world.last(ToolGateEvent).valid_until


def test_the_answer_carries_the_command_and_the_append_time() -> None:
    """Each decision is answered once, under its own id and its effective append time."""
    world = asked()
    world.clock = 17.25

    world.send(a_decision_by(e.REVIEWER, command_id="cmd-x"), handled_at=e.at(99))

    decision = world.last(HumanDecisionEvent)
    assert ("cmd-x", e.at(17.25)) == (decision.command_id, decision.occurred_at)

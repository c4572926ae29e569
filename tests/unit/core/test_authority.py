"""Who may decide: every code, in the fixed order, stopping and collecting as documented."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import CommandRefused, HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from tests import examples as e
from tests.unit.core.world import (
    REFUSED_STRANGER,
    World,
    a_decision_by,
    a_person,
    a_policy,
    a_world,
    approved,
    asked,
    code,
    codes,
    gates,
    of,
    of_other_tenant,
    statuses,
)


def _nobody_of_any_use() -> World:
    """A critical package; r.bad lacks scope and role and risk, has a conflict, and drafted it."""
    bad = a_person(
        "r.bad", "reviewer", scopes=[], max_risk_level="low", conflicts=["case:case-5512"]
    )
    package = e.a_package(risk_level="critical", drafted_by="r.bad")
    policy = a_policy(policy_version="8", rule={"comment_required": ["critical"]})
    return asked(policy, bad, package=package)


EVERYTHING_WRONG: dict[str, Any] = {"on_behalf_of": "r.lind", "comment": " "}


def test_every_rule_that_fails_is_named_in_order() -> None:
    """After ACTION_DIGEST_MISMATCH all rules are looked at; the first is the code."""
    step = _nobody_of_any_use().send(a_decision_by("r.bad", **EVERYTHING_WRONG))

    assert codes(step) == [
        "MISSING_SCOPE",
        "MISSING_ROLE",
        "RISK_ABOVE_LIMIT",
        "DELEGATION_INVALID",
        "SEPARATION_OF_DUTIES",
        "CONFLICT_OF_INTEREST",
        "COMMENT_REQUIRED",
    ]


def test_a_decision_not_offered_is_named_after_the_personal_rules() -> None:
    """DECISION_NOT_ALLOWED stands behind who may, before what must be said."""
    step = _nobody_of_any_use().send(a_decision_by("r.bad", "defer", **EVERYTHING_WRONG))

    assert "DECISION_NOT_ALLOWED" == codes(step)[-1]
    assert "MISSING_SCOPE" == code(step)


@pytest.mark.parametrize("decision", ["escalate", "defer", "object"])
def test_decisions_of_a_later_release_are_refused_by_name(decision: str) -> None:
    """DECISION_NOT_ALLOWED: what this release does not offer changes nothing."""
    able = a_person("r.able", scopes=[f"notice:{decision}"])

    step = asked(able).send(a_decision_by("r.able", decision))

    assert ["DECISION_NOT_ALLOWED"] == codes(step)


STOPS: dict[str, tuple[float, dict[str, Any]]] = {
    # code: seconds waited without firing, changes of the command
    "TOO_LATE": (86_401, {}),
    "STALE_PACKAGE_VERSION": (0, {"expected_package_version": 2}),
    "ACTION_DIGEST_MISMATCH": (0, {"action_digest": "00" * 32}),
}


@pytest.mark.parametrize("first", range(len(STOPS)), ids=list(STOPS))
def test_the_first_failure_stops_before_the_personal_rules(first: int) -> None:
    """Up to ACTION_DIGEST_MISMATCH one code answers, however much else is wrong."""
    world = _nobody_of_any_use()
    over = dict(EVERYTHING_WRONG)
    for waited, part in list(STOPS.values())[first:]:
        over |= part
        world.clock = max(world.clock, waited)

    step = world.send(a_decision_by("r.bad", **over))

    assert [list(STOPS)[first]] == codes(step)


def test_not_open_comes_before_all_of_them() -> None:
    """A decision on a closed interrupt is NOT_OPEN, whoever sends it and whatever it names."""
    world = approved()
    world.clock = 90_000

    step = world.send(a_decision_by("r.nobody", expected_package_version=9, action_digest="x"))

    assert ["NOT_OPEN"] == codes(step)


def test_a_stranger_is_told_nothing() -> None:
    """UNAUTHENTICATED comes first of all, without the version, the reviewer or a reason to guess."""
    world = asked()

    step = world.send(a_decision_by("r.nobody"), **REFUSED_STRANGER)

    refusal = world.last(CommandRefused)
    assert ["UNAUTHENTICATED"] == codes(step)
    assert (None, None) == (refusal.reviewer_id, refusal.current_package_version)


def test_a_signature_for_another_tenant_is_refused_as_that() -> None:
    """TENANT_MISMATCH: validly signed, for another tenant than the record's."""
    step = asked().send(a_decision_by(e.REVIEWER), **of_other_tenant())

    assert ["TENANT_MISMATCH"] == codes(step)


def test_reviewers_always_sign() -> None:
    """The policy's unsigned requests do not make unsigned decisions."""
    world = asked(a_policy(policy_version="8", unsigned_requests="allow"))

    step = world.send(a_decision_by(e.REVIEWER), signer=None)

    assert ["UNAUTHENTICATED"] == codes(step)


def test_in_the_insecure_mode_a_missing_signature_passes() -> None:
    """Where the whole worker takes unsigned records, a decision without signature counts."""
    world = asked()
    world.unsigned = True

    step = world.send(a_decision_by(e.REVIEWER), signer=None)

    assert [] == codes(step)


def test_someone_outside_the_directory_is_unknown() -> None:
    """UNKNOWN_REVIEWER: a valid signature is not an authorization."""
    step = asked().send(a_decision_by("r.nobody"))

    assert ["UNKNOWN_REVIEWER"] == codes(step)


def test_a_removed_reviewer_is_unknown() -> None:
    """UNKNOWN_REVIEWER: whoever was taken out of the directory decides nothing from then on."""
    world = asked()
    world.apply(a_person(e.REVIEWER, removed=True))

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["UNKNOWN_REVIEWER"] == codes(step)


@pytest.mark.parametrize(("seconds", "found"), [(60, []), (61, ["UNKNOWN_REVIEWER"])])
def test_an_authorization_ends_at_its_time(seconds: float, found: list[str]) -> None:
    """An authorization holds up to active_until, judged by the record's append time."""
    world = asked(a_person("r.short", active_until=e.at(60)))
    world.clock = seconds

    step = world.send(a_decision_by("r.short"))

    assert found == codes(step)


def test_each_decision_needs_its_own_scope() -> None:
    """MISSING_SCOPE: who may approve may not therefore reject."""
    step = asked(a_person("r.yes", scopes=["notice:approve"])).send(
        a_decision_by("r.yes", "reject")
    )

    assert ["MISSING_SCOPE"] == codes(step)


def test_a_lower_role_is_not_enough() -> None:
    """MISSING_ROLE: no slot is met by a role below it."""
    step = asked().send(a_decision_by("r.diaz"))

    assert ["MISSING_ROLE"] == codes(step)


def test_a_higher_role_is_enough() -> None:
    """A slot's role is met by any role above it in role_order."""
    step = asked().send(a_decision_by("r.head"))

    assert [] == codes(step)


def test_a_role_outside_the_order_is_met_by_itself_alone() -> None:
    """MISSING_ROLE: even the head does not stand in for legal."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT}]
    world = asked(
        a_policy(policy_version="8", tools=tools, rule={"approvals": [{"role": "legal"}]})
    )

    head, legal = world.send(a_decision_by("r.head")), world.send(a_decision_by("r.legal"))

    assert (["MISSING_ROLE"], []) == (codes(head), codes(legal))


def test_the_risk_ceiling_holds() -> None:
    """RISK_ABOVE_LIMIT: the effective risk is over what the reviewer may decide."""
    step = asked(a_person("r.small", max_risk_level="medium")).send(a_decision_by("r.small"))

    assert ["RISK_ABOVE_LIMIT"] == codes(step)


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

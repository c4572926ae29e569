"""Override: higher authority chooses another action than recommended; never alone where it is grave."""

from __future__ import annotations

from typing import Any

import pytest

from core.grants import grant_claims
from core.step import Step
from schemas.events import HumanDecisionEvent, ReviewTaskEvent, ToolGateEvent
from schemas.requests import ToolCall
from tests import examples as e
from tests.unit.core.rulebook import (
    WARNING,
    another_call,
    by,
    decides,
    medium,
    open_world,
    quorum,
    somebody,
    standing,
)
from tests.unit.core.world import World, a_next_request, a_policy, code, codes, gates, of

DIGEST = e.digest_of(WARNING)


def _overrides(world: World, reviewer_id: str = "r.head", **over: Any) -> Step:
    return world.send(by(e.an_override, reviewer_id, **over))


def _confirms(world: World, reviewer_id: str = "r.chief", **over: Any) -> Step:
    return world.send(decides(reviewer_id, **({"action_digest": DIGEST} | over)))


def _overridden() -> World:
    world = open_world()
    step = _overrides(world)
    assert step.verdict == "recorded", codes(step)
    return world


def _claims(step: Step) -> dict[str, object]:
    assert step.state is not None
    return grant_claims(of(step.events, ToolGateEvent)[0], step.state, issuer="test")


def test_at_medium_risk_one_person_overrides() -> None:
    """The gate opens at once, for the overriding action only."""
    world = open_world(**medium())

    step = _overrides(world, "r.lind")

    decision, gate = of(step.events, HumanDecisionEvent)[0], of(step.events, ToolGateEvent)[0]
    assert (True, 1, 1) == (decision.final, decision.quorum.have, decision.quorum.need)
    assert (DIGEST, WARNING.args_json) == (gate.action_digest, gate.args_json)
    assert ("decided", "override") == standing(world)
    assert [decision.event_id] == gate.decision_event_ids


def test_the_grant_of_an_override_names_who_overrode() -> None:
    """The token says on whose word it was given, for one person and for two."""
    alone = _overrides(open_world(**medium()), "r.lind")
    both = _confirms(_overridden())

    assert ["r.lind"] == _claims(alone)["approvers"]
    assert ["r.head", "r.chief"] == _claims(both)["approvers"]


def test_at_high_risk_an_override_opens_nothing_alone() -> None:
    """It is recorded as not final, one of two, and the interrupt stays open."""
    world = open_world()

    step = _overrides(world)

    decision = of(step.events, HumanDecisionEvent)[0]
    assert (False, 1, 2) == (decision.final, decision.quorum.have, decision.quorum.need)
    assert [] == gates([step])
    assert ("pending", None) == standing(world)


def test_a_second_person_confirms_a_high_override() -> None:
    """Naming the overriding digest opens the gate for that action: two of two, both listed."""
    world = _overridden()
    first = world.last(HumanDecisionEvent)

    step = _confirms(world)

    decision, gate = of(step.events, HumanDecisionEvent)[0], of(step.events, ToolGateEvent)[0]
    assert (True, 2, 2) == (decision.final, decision.quorum.have, decision.quorum.need)
    assert DIGEST == decision.action_digest == gate.action_digest
    assert [first.event_id, decision.event_id] == gate.decision_event_ids
    assert ("decided", "override") == standing(world)


def test_an_override_keeps_both_actions_and_every_reason() -> None:
    """The event has the recommendation, the decision, why, on what evidence, and both actions."""
    record = _overridden().last(HumanDecisionEvent).override
    command = e.an_override()

    assert record is not None
    assert command.original_recommendation == record.original_recommendation
    assert command.override_decision == record.override_decision
    assert command.override_reason == record.override_reason
    assert command.evidence_refs == record.evidence_refs
    assert e.a_package().proposed_action == record.original_action
    assert e.ACTION_DIGEST == record.original_action_digest
    assert WARNING == record.override_tool_call


def test_the_author_does_not_confirm() -> None:
    """Who overrode is not the second person, under no id of theirs."""
    world = _overridden()
    assert "SEPARATION_OF_DUTIES" == code(_confirms(world, "r.head"))

    world.apply(somebody("r.chief", "head_of_enforcement", linked_identities=["r.head"]))
    assert "SEPARATION_OF_DUTIES" == code(_confirms(world))


def test_the_confirmation_needs_the_authority_of_an_override() -> None:
    """A senior reviewer who may approve the package does not confirm what overrides it."""
    world = _overridden()

    assert "MISSING_ROLE" == code(_confirms(world, "r.lind"))


def test_the_confirmation_comes_with_another_key() -> None:
    """The same key is the same person, whatever name is said."""
    world = _overridden()
    command = decides("r.chief", action_digest=DIGEST)
    signer = world.context(decides("r.head")).signer

    assert signer is not None
    assert "DUPLICATE_APPROVER" == code(world.send(command, signer=signer))


def test_a_disabled_author_takes_the_override_along() -> None:
    """When who overrode has lost the authority, nobody confirms it; another may override anew."""
    world = _overridden()
    world.apply(somebody("r.head", "head_of_enforcement", removed=True))

    assert "DECISION_NOT_ALLOWED" == code(_confirms(world))
    again = _overrides(world, "r.chief")
    assert "recorded" == again.verdict
    assert "SEPARATION_OF_DUTIES" == code(_confirms(world, "r.chief"))


def test_one_override_waits_at_a_time() -> None:
    """A second override is refused while the first stands."""
    step = _overrides(_overridden(), "r.chief")

    assert ["DECISION_NOT_ALLOWED"] == codes(step)


def test_the_original_is_not_approved_meanwhile() -> None:
    """While an override waits, the lower authority does not overtake it: the original cannot be
    approved; rejecting stays possible."""
    world = _overridden()

    refused = world.send(decides("r.lind"))
    world.send(decides("r.lind", "reject"))

    assert "DECISION_NOT_ALLOWED" == code(refused)
    assert ("decided", "reject") == standing(world)


def test_a_new_version_voids_an_override() -> None:
    """The overriding digest of version 1 is unknown at version 2."""
    world = _overridden()
    world.send(a_next_request())

    step = _confirms(world, expected_package_version=2)

    assert "ACTION_DIGEST_MISMATCH" == code(step)
    assert "STALE_PACKAGE_VERSION" == code(_confirms(world))


def test_a_null_override_closes_and_opens_nothing() -> None:
    """Without an overriding call the interrupt is decided at once and the gate denied."""
    world = open_world()

    step = _overrides(world, override_tool_call=None)

    assert ["denied"] == gates([step])
    assert ("decided", "override") == standing(world)
    assert of(step.events, HumanDecisionEvent)[0].final


def test_an_unlisted_tool_takes_two_people() -> None:
    """What the tools table does not know is grave, at whatever risk the package is."""
    call = another_call(tool_name="mail.send", effect_type="mail")
    world = open_world(**medium())

    alone = _overrides(world, override_tool_call=call)
    both = _confirms(world, action_digest=e.digest_of(call))

    assert [] == gates([alone])
    assert ["opened"] == gates([both])


def test_a_grave_tool_takes_two_people_of_higher_authority() -> None:
    """The table's risk of the overriding tool counts, not only the package's."""
    tools = [
        *e.a_policy_form()["tools"],
        {"tool": "site.close", "effect_type": "closure", "min_risk": "critical"},
    ]
    call = another_call(tool_name="site.close", effect_type="closure")
    world = open_world(a_policy(policy_version="8", tools=tools), **medium())

    assert "MISSING_ROLE" == code(_overrides(world, "r.lind", override_tool_call=call))
    assert [] == gates([_overrides(world, override_tool_call=call)])


@pytest.mark.parametrize("outcome", ["alone", "nothing", "two"])
def test_an_override_is_always_audited(outcome: str) -> None:
    """With an audit_sample of nothing an override is looked at again."""
    if outcome == "alone":
        step = _overrides(open_world(**medium()), "r.lind")
    elif outcome == "nothing":
        step = _overrides(open_world(), override_tool_call=None)
    else:
        step = _confirms(_overridden())

    assert "audit_opened" in [task.change for task in of(step.events, ReviewTaskEvent)]


BLANK = " \n"
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no reason": ("REASON_REQUIRED", {"override_reason": BLANK}),
    "no decision": ("REASON_REQUIRED", {"override_decision": BLANK}),
    "no recommendation": ("REASON_REQUIRED", {"original_recommendation": BLANK}),
    "no evidence": ("EVIDENCE_REQUIRED", {"evidence_refs": [BLANK]}),
    "other effect": ("EFFECT_MISMATCH", {"override_tool_call": another_call(effect_type="mail")}),
    "loose JSON": (
        "ARGS_NOT_CANONICAL",
        {"override_tool_call": another_call(args_json='{"b": 1, "a": 2}')},
    ),
    "the proposed action": ("DECISION_NOT_ALLOWED", {"override_tool_call": e.a_tool_call()}),
    "junior": ("MISSING_ROLE", {"reviewer_id": "r.lind"}),
    "no scope": ("MISSING_SCOPE", {"reviewer_id": "r.mute"}),
    "low ceiling": ("RISK_ABOVE_LIMIT", {"reviewer_id": "r.low"}),
    "owner": ("SEPARATION_OF_DUTIES", {"reviewer_id": "r.boss"}),
    "conflicted": ("CONFLICT_OF_INTEREST", {"reviewer_id": "r.kin"}),
    "stranger": ("UNKNOWN_REVIEWER", {"reviewer_id": "r.nobody"}),
    "stale": ("STALE_PACKAGE_VERSION", {"expected_package_version": 2}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_override_that_is_refused_changes_nothing(name: str) -> None:
    """Each refusal of an override has its code, and the interrupt stays as it was."""
    wanted, over = REFUSED[name][0], dict(REFUSED[name][1])
    top = "head_of_enforcement"
    world = open_world(
        somebody("r.mute", top, scopes=["notice:approve"]),
        somebody("r.low", top, max_risk_level="medium"),
        somebody("r.kin", top, conflicts=["case:case-5512"]),
    )

    step = world.send(by(e.an_override, over.pop("reviewer_id", "r.head"), **over))

    assert wanted == code(step)
    assert (None, "pending", "closed") == (world.now.override, world.now.status, world.now.gate)


def test_a_late_override_is_too_late() -> None:
    """Appended after decide_by it is TOO_LATE, fired clock or not."""
    world = open_world()
    world.clock = 86_401

    assert "TOO_LATE" == code(_overrides(world))


def test_without_a_ladder_the_top_of_the_order_overrides() -> None:
    """Where the policy has no escalation, higher authority is the highest role there is."""
    defaults = e.a_policy_form()["defaults"] | {"escalation": []}
    world = open_world(a_policy(policy_version="8", defaults=defaults))

    assert "MISSING_ROLE" == code(_overrides(world, "r.lind"))
    assert "recorded" == _overrides(world).verdict


def test_a_confirmation_says_what_an_approval_must_say() -> None:
    """Where the policy asks for a comment, the confirmation has one too."""
    world = open_world(quorum("senior_reviewer", comment_required=["high"]))
    _overrides(world)

    assert ["COMMENT_REQUIRED"] == codes(_confirms(world, comment=None))
    assert ["opened"] == gates([_confirms(world)])


def _closing_the_site() -> tuple[World, ToolCall]:
    """A package of medium risk whose override, by the head, is a critical action."""
    tools = [
        *e.a_policy_form()["tools"],
        {"tool": "site.close", "effect_type": "closure", "min_risk": "critical"},
    ]
    call = another_call(tool_name="site.close", effect_type="closure")
    low = somebody("r.low", "head_of_enforcement", max_risk_level="high")
    world = open_world(a_policy(policy_version="8", tools=tools), low, **medium())
    assert _overrides(world, override_tool_call=call).verdict == "recorded"
    return world, call


@pytest.mark.parametrize(
    ("who", "wanted"), [("r.lind", "MISSING_ROLE"), ("r.low", "RISK_ABOVE_LIMIT")]
)
def test_the_confirmation_has_the_authority_for_the_overriding_tool(who: str, wanted: str) -> None:
    """What the tool asks of who overrides, it asks of the second person too."""
    world, call = _closing_the_site()

    assert [wanted] == codes(_confirms(world, who, action_digest=e.digest_of(call)))
    assert ["opened"] == gates([_confirms(world, action_digest=e.digest_of(call))])


def test_an_unlisted_tool_takes_higher_authority() -> None:
    """Grave as it is, it is for the first escalation role, at whatever risk the package is."""
    call = another_call(tool_name="mail.send", effect_type="mail")
    world = open_world(**medium())

    assert ["MISSING_ROLE"] == codes(_overrides(world, "r.lind", override_tool_call=call))
    _overrides(world, override_tool_call=call)
    assert ["MISSING_ROLE"] == codes(_confirms(world, "r.lind", action_digest=e.digest_of(call)))


def test_an_author_who_lost_the_tools_authority_takes_the_override_along() -> None:
    """A head who became a senior reviewer meanwhile no longer stands behind a critical action."""
    world, call = _closing_the_site()
    world.apply(somebody("r.head"))

    step = _confirms(world, action_digest=e.digest_of(call))

    assert ["DECISION_NOT_ALLOWED"] == codes(step)

"""The claims of a grant: what an executor verifies offline."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.grants import grant_claims
from schemas.events import HumanDecisionEvent, ToolGateEvent
from tests import examples as e
from tests.unit.core.world import World, a_decision_by, a_policy, a_take_of, approved, asked, code


def _claims(world: World) -> dict[str, Any]:
    return grant_claims(world.last(ToolGateEvent), world.now, issuer="countersign")


def test_the_claims_say_what_was_approved_by_whom() -> None:
    """Each claim of the contract, and no other."""
    world = approved()
    gate, decision = world.last(ToolGateEvent), world.last(HumanDecisionEvent)

    claims = _claims(world)

    assert claims == {
        "iss": "countersign",
        "aud": e.TOOL,
        "sub": e.RUN_ID,
        "tenant_id": e.TENANT,
        "interrupt_id": e.INTERRUPT_ID,
        "decision_package_id": e.PACKAGE_ID,
        "package_version": 1,
        "effect_type": e.EFFECT,
        "action_digest": e.ACTION_DIGEST,
        "approvers": [e.REVIEWER],
        "decision_event_ids": [decision.event_id],
        "jti": gate.grant_id,
        "nbf": int(e.at(60).timestamp()),
        "exp": int(e.at(60 + 48 * 3600).timestamp()),
        "policy_version": e.POLICY_VERSION,
    }


def test_the_claims_are_json() -> None:
    """The claims can be signed as they are."""
    assert json.loads(json.dumps(_claims(approved()))) == _claims(approved())


def test_approvers_stand_in_the_order_of_their_decisions() -> None:
    """Approvers and decision ids go together, the completing one last."""
    slots = [{"role": "senior_reviewer"}, {"role": "legal"}]
    world = asked(a_policy(policy_version="8", rule={"approvals": slots}))
    world.send(a_decision_by("r.legal"))
    world.send(a_decision_by(e.REVIEWER))

    claims = _claims(world)

    assert (["r.legal", e.REVIEWER], 2) == (
        claims["approvers"],
        len(claims["decision_event_ids"]),
    )


def test_a_grant_by_policy_has_no_approvers() -> None:
    """Out of the loop the grant says that nobody approved it."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]

    world = asked(a_policy(policy_version="8", tools=tools, rule={"mode": "out_of_the_loop"}))

    assert ([], []) == (_claims(world)["approvers"], _claims(world)["decision_event_ids"])


@pytest.mark.parametrize("fraction", [0.0, 0.000001, 0.5, 0.999999])
def test_token_and_gate_end_at_the_same_instant(fraction: float) -> None:
    """exp is valid_until, a whole second not after the policy's time, whenever it was approved."""
    world = asked()
    world.clock = 60 + fraction

    world.send(a_decision_by(e.REVIEWER))

    gate = world.last(ToolGateEvent)
    assert datetime.fromtimestamp(_claims(world)["exp"], UTC) == gate.valid_until
    assert e.at(60 + 48 * 3600) == gate.valid_until


def test_the_worker_takes_no_grant_that_has_ended_offline() -> None:
    """Behind exp, however short a time, a take is GRANT_EXPIRED."""
    world = asked()
    world.clock = 60.75
    world.send(a_decision_by(e.REVIEWER))
    world.clock = 60.75 + 48 * 3600

    step = world.send(a_take_of(world))

    assert "GRANT_EXPIRED" == code(step)

"""Revoking a gate: by an approver or somebody above, until an executor has taken the grant."""

from __future__ import annotations

from typing import Any

import pytest

from core.step import Step
from schemas.events import HumanDecisionEvent, ToolGateEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    decides,
    medium,
    on_the_loop,
    open_world,
    quorum,
    somebody,
    standing,
)
from tests.unit.core.world import World, a_take_of, code, codes, gates, grant_id, of


def _approved() -> World:
    world = open_world()
    assert ["opened"] == gates([world.send(decides("r.lind"))])
    return world


def _revokes(world: World, reviewer_id: str, **over: Any) -> Step:
    return world.send(by(e.a_revocation, reviewer_id, **over))


@pytest.mark.parametrize("who", ["r.lind", "r.head"])
def test_an_approver_or_somebody_above_revokes(who: str) -> None:
    """The gate is revoked, the decision recorded as not final, and the executor is told."""
    world = _approved()
    grant = grant_id(world)

    step = _revokes(world, who, grant_id=grant)

    decision = of(step.events, HumanDecisionEvent)[0]
    assert ("revoke", False, grant) == (decision.decision, decision.final, decision.grant_id)
    assert e.ACTION_DIGEST == decision.action_digest
    assert ["revoked"] == gates([step])
    assert "GRANT_REVOKED" == code(world.send(a_take_of(world)))


def test_a_revocation_leaves_the_interrupt_as_it_was() -> None:
    """The agent was told that it is approved; that does not change, the gate does."""
    world = _approved()
    _revokes(world, "r.lind")

    assert ("decided", "approve") == standing(world)
    assert "revoke" == world.last(ToolGateEvent).reason


@pytest.mark.parametrize("who", [e.REVIEWER, "r.diaz", "r.legal"])
def test_nobody_beside_or_below_revokes(who: str) -> None:
    """Who neither approved nor stands above the role that was asked lacks the role."""
    assert ["MISSING_ROLE"] == codes(_revokes(_approved(), who))


def test_who_only_escalated_did_not_approve() -> None:
    """To have escalated the package gives no say over what a higher role approved."""
    world = open_world()
    world.send(decides("r.lind", "escalate"))
    world.send(decides("r.head"))

    assert ["MISSING_ROLE"] == codes(_revokes(world, "r.lind"))
    assert [] == codes(_revokes(world, "r.chief"))


def test_the_principal_of_an_approval_revokes_it() -> None:
    """Delegate and principal count as one person, also for taking back."""
    lent = e.a_delegation(to="r.lind")
    world = open_world(somebody(e.REVIEWER, delegates=[lent]))
    world.send(decides("r.lind", on_behalf_of=e.REVIEWER))

    assert ["revoked"] == gates([_revokes(world, e.REVIEWER)])


def test_each_approver_of_a_quorum_revokes() -> None:
    """One of several approvals is enough to take it back."""
    world = open_world(quorum("senior_reviewer", "legal"))
    world.send(decides("r.lind"))
    world.send(decides("r.legal"))

    assert ["revoked"] == gates([_revokes(world, "r.legal")])


def test_what_a_window_opened_is_revoked_by_the_role_that_was_asked() -> None:
    """Where nobody decided, the role that would have been asked may revoke."""
    world = open_world(on_the_loop(), **medium())
    world.wait(HOUR + 1)

    assert "MISSING_ROLE" == code(_revokes(world, "r.diaz"))
    assert ["revoked"] == gates([_revokes(world, "r.lind")])


def test_revoking_stops_something_and_so_asks_for_no_independence() -> None:
    """The owner of the agent, standing above, may take back what he could not approve."""
    assert [] == codes(_revokes(_approved(), "r.boss"))


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no words": ("REASON_REQUIRED", "r.lind", {"reason": " "}),
    "no scope": ("MISSING_SCOPE", "r.mute", {}),
    "stranger": ("UNKNOWN_REVIEWER", "r.nobody", {}),
    "other grant": ("UNKNOWN_GRANT", "r.lind", {"grant_id": "grant-of-another"}),
    "stale": ("STALE_PACKAGE_VERSION", "r.lind", {"expected_package_version": 2}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_revocation_that_is_refused_leaves_the_gate_open(name: str) -> None:
    """Each refusal has its code, and the grant stands."""
    wanted, who, over = REFUSED[name]
    world = _approved()
    world.apply(somebody("r.mute", "head_of_enforcement", scopes=["notice:approve"]))

    assert [wanted] == codes(_revokes(world, who, **over))
    assert "open" == world.now.gate


def test_a_taken_grant_is_past_revoking() -> None:
    """Once an executor has it, the answer is GRANT_TAKEN."""
    world = _approved()
    world.send(a_take_of(world))

    assert "GRANT_TAKEN" == code(_revokes(world, "r.lind"))


def test_a_grant_is_revoked_once() -> None:
    """The second revocation is told that it is revoked already."""
    world = _approved()
    _revokes(world, "r.lind")

    assert "GRANT_REVOKED" == code(_revokes(world, "r.head"))


@pytest.mark.parametrize("fired", [True, False])
def test_an_ended_grant_is_not_revoked(fired: bool) -> None:
    """After valid_until the answer is GRANT_EXPIRED, whether or not its clock has fired."""
    world = _approved()
    if fired:
        world.wait(3 * DAY)
    world.clock = 3 * DAY

    assert "GRANT_EXPIRED" == code(_revokes(world, "r.lind"))


def test_what_was_rejected_has_no_grant() -> None:
    """There is nothing to take back where nothing was opened."""
    world = open_world()
    world.send(decides("r.lind", "reject"))

    assert "UNKNOWN_GRANT" == code(_revokes(world, "r.head"))

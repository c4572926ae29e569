"""The requester takes a request back."""

from __future__ import annotations

import pytest

from schemas.events import CommandRefused, InterruptStatusChanged, ReviewTaskEvent, ToolGateEvent
from tests import examples as e
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_next_request,
    a_policy,
    a_world,
    approved,
    asked,
    code,
    gates,
    signer_of,
    statuses,
    taken,
)


def test_an_open_interrupt_is_cancelled() -> None:
    """cancel while open: final, the task closed, the gate denied."""
    world = asked()

    step = world.send(e.a_cancellation())

    assert ([("cancelled", "cancelled")], ["denied"]) == (statuses([step]), gates([step]))
    assert world.last(InterruptStatusChanged).final
    assert "closed" == world.last(ReviewTaskEvent).status


def test_an_untaken_grant_is_revoked() -> None:
    """cancel after the decision revokes the gate and leaves the one outcome there is."""
    world = approved()

    step = world.send(e.a_cancellation())

    gate = world.last(ToolGateEvent)
    assert (["revoked"], []) == (gates([step]), statuses([step]))
    assert ("decided", "approve", "revoked") == (
        world.now.status,
        world.now.outcome,
        world.now.gate,
    )
    assert gate.grant_id is not None
    assert e.INTERRUPT_ID == gate.interrupt_id


def test_a_taken_grant_is_past_taking_back() -> None:
    """GRANT_TAKEN: an executor may be acting already."""
    step = taken().send(e.a_cancellation())

    assert ("GRANT_TAKEN", []) == (code(step), gates([step]))


def test_a_second_cancel_finds_nothing_open() -> None:
    """NOT_OPEN: a revoked gate is not revoked again."""
    world = approved()
    world.send(e.a_cancellation())

    step = world.send(e.a_cancellation())

    assert "NOT_OPEN" == code(step)


def test_a_rejected_package_cannot_be_cancelled() -> None:
    """NOT_OPEN: the decision stands."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "reject"))

    step = world.send(e.a_cancellation())

    assert ("NOT_OPEN", "reject") == (code(step), world.now.outcome)


def test_only_who_asked_may_cancel() -> None:
    """NOT_REQUESTER: another agent's signature takes nothing back."""
    step = asked().send(e.a_cancellation(requested_by="agent:other"))

    assert "NOT_REQUESTER" == code(step)


def test_the_requester_in_the_record_is_not_believed() -> None:
    """NOT_REQUESTER: what counts is who signed, not whom the record names."""
    cancel = e.a_cancellation()

    step = asked().send(cancel, signer=signer_of(cancel, subject="agent:other"))

    assert "NOT_REQUESTER" == code(step)


def test_an_agent_may_name_on_whose_behalf_it_cancels() -> None:
    """The signer of version 1 may cancel in another's name."""
    cancel = e.a_cancellation(requested_by="svc:case-intake")

    step = asked().send(cancel, signer=signer_of(cancel, subject=e.AGENT))

    assert None is code(step)


def test_an_unsigned_cancel_does_not_touch_a_signed_package() -> None:
    """NOT_REQUESTER, also where policy allows unsigned requests."""
    world = asked(a_policy(policy_version="8", unsigned_requests="allow"))

    step = world.send(e.a_cancellation(), signer=None)

    assert "NOT_REQUESTER" == code(step)


def test_an_unsigned_package_can_be_cancelled_unsigned() -> None:
    """Where policy allows unsigned requests, their sender can take them back the same way."""
    world = a_world(a_policy(policy_version="8", unsigned_requests="allow"))
    world.send(e.a_request(), signer=None)

    step = world.send(e.a_cancellation(), signer=None)

    assert [("cancelled", "cancelled")] == statuses([step])


def _superseded() -> World:
    world = asked()
    world.send(a_next_request())
    return world


def test_cancelling_an_old_version_changes_nothing() -> None:
    """NOT_OPEN: the interrupt of version 1 ended when version 2 came; version 2 stays open."""
    world = _superseded()

    step = world.send(e.a_cancellation())

    assert ("NOT_OPEN", "pending") == (code(step), world.now.status)
    assert "int-2041-2" in world.last(CommandRefused).message


def test_cancelling_an_interrupt_that_was_never_asked_is_unknown() -> None:
    """UNKNOWN_PACKAGE: the package has no such interrupt."""
    step = asked().send(e.a_cancellation(interrupt_id="int-x"))

    assert "UNKNOWN_PACKAGE" == code(step)


@pytest.mark.parametrize("interrupt_id", ["int-2041-2"])
def test_the_current_version_is_cancelled_by_its_own_interrupt(interrupt_id: str) -> None:
    """After superseding, the new interrupt's id cancels it, once and for all versions."""
    world = _superseded()

    step = world.send(e.a_cancellation(interrupt_id=interrupt_id))

    assert [("cancelled", "cancelled")] == statuses([step])


def test_an_approval_after_the_cancel_is_too_late_to_count() -> None:
    """NOT_OPEN: cancel and approval are serialised, and the first one wins."""
    world = asked()
    world.send(e.a_cancellation())

    step = world.send(a_decision_by(e.REVIEWER))

    assert ("NOT_OPEN", "denied") == (code(step), world.now.gate)

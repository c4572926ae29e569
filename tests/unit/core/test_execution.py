"""Takes and receipts: one executor, once, and only what was approved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.context import Receipt
from schemas.events import CommandRefused, ToolGateEvent
from tests import examples as e
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_take_of,
    approved,
    asked,
    code,
    gates,
    grant_id,
    signer_of,
    taken,
)

MAKERS: dict[str, Callable[..., Receipt]] = {
    "tool.executed": e.an_executed,
    "tool.failed": e.a_failed,
    "tool.in_doubt": e.an_in_doubt,
    "notice.sent": e.a_notice_sent,
    "notice.failed": e.a_notice_failed,
    "tool.denied": e.a_denied,
    "outcome.reported": e.an_outcome,
}


def _receipt(world: World, kind: str, **over: Any) -> Receipt:
    form = {"grant_id": grant_id(world), "event_id": f"receipt {kind}".replace(" ", "-")}
    return MAKERS[kind](**(form | over))


def test_a_take_consumes_the_gate() -> None:
    """The executor acts on the consumed event that names its own attempt, up to execute_by."""
    world = approved()

    step = world.send(a_take_of(world))

    gate = world.last(ToolGateEvent)
    assert ["consumed"] == gates([step])
    assert (e.EXECUTOR, e.ATTEMPT_ID) == (gate.executor_id, gate.attempt_id)
    assert e.at(60 + 3600) == gate.execute_by


def test_of_two_takes_one_wins() -> None:
    """GRANT_TAKEN: the second attempt is told not to act."""
    world = taken()

    step = world.send(a_take_of(world, attempt_id="attempt-2"))

    assert ("GRANT_TAKEN", []) == (code(step), gates([step]))


def test_the_same_take_again_is_a_duplicate() -> None:
    """DUPLICATE_COMMAND names the consumed event, so that a restarted executor finds it."""
    world = taken()
    consumed = world.last(ToolGateEvent)

    step = world.send(a_take_of(world))

    assert "DUPLICATE_COMMAND" == code(step)
    assert consumed.event_id == world.last(CommandRefused).first_event_id


def test_an_attempt_belongs_to_its_executor() -> None:
    """GRANT_TAKEN: another executor that copies the attempt's id is not taken for its owner."""
    world = taken()

    step = world.send(a_take_of(world, executor_id="other"))

    assert "GRANT_TAKEN" == code(step)


def test_a_revoked_grant_cannot_be_taken() -> None:
    """GRANT_REVOKED: a cancel that came first wins."""
    world = approved()
    world.send(e.a_cancellation())

    step = world.send(a_take_of(world))

    assert "GRANT_REVOKED" == code(step)


@pytest.mark.parametrize(
    ("seconds", "found"), [(48 * 3600, None), (48 * 3600 + 1, "GRANT_EXPIRED")]
)
def test_a_grant_is_taken_within_its_time(seconds: float, found: str | None) -> None:
    """GRANT_EXPIRED after valid_until, whether or not its timer has fired yet."""
    world = approved()
    world.clock += seconds

    step = world.send(a_take_of(world))

    assert found == code(step)


def test_an_expired_gate_cannot_be_taken() -> None:
    """GRANT_EXPIRED also once the gate has closed by itself."""
    world = approved()
    world.wait(49 * 3600)

    step = world.send(a_take_of(world))

    assert "GRANT_EXPIRED" == code(step)


def test_an_invented_grant_is_unknown() -> None:
    """UNKNOWN_GRANT: only the package's own grant can be taken."""
    step = approved().send(e.a_take(grant_id="grant-invented"))

    assert "UNKNOWN_GRANT" == code(step)


@pytest.mark.parametrize(
    "over", [{"tools": ("payment.*",)}, {"tools": ()}, {"kind": "agent"}, {"kind": "reviewer"}]
)
def test_an_executor_takes_only_its_own_tools(over: dict[str, Any]) -> None:
    """UNAUTHENTICATED: the key must be an executor's and name the tool."""
    world = approved()
    take = a_take_of(world)

    step = world.send(take, signer=signer_of(take, **over))

    assert "UNAUTHENTICATED" == code(step)


def test_in_the_insecure_mode_takes_and_receipts_need_no_signer() -> None:
    """Where the whole worker takes unsigned records, an unsigned take and receipt are recorded."""
    world = approved()
    world.unsigned = True

    take = world.send(a_take_of(world), signer=None)
    receipts = [
        world.send(_receipt(world, "notice.sent"), signer=None),
        world.send(_receipt(world, "tool.executed"), signer=None),
    ]

    assert (["consumed"], [None, None]) == (gates([take]), [code(step) for step in receipts])


def test_an_unsigned_receipt_is_from_who_it_says() -> None:
    """RECEIPT_MISMATCH in the insecure mode too: the executor named must be the one that took."""
    world = taken()
    world.unsigned = True

    step = world.send(_receipt(world, "tool.executed", executor_id="other"), signer=None)

    assert "RECEIPT_MISMATCH" == code(step)


def test_an_approval_alone_cannot_be_taken_before_the_quorum() -> None:
    """UNKNOWN_GRANT: while the interrupt is open there is nothing to take."""
    world = asked()
    world.send(a_decision_by("r.diaz"))

    step = world.send(e.a_take())

    assert "UNKNOWN_GRANT" == code(step)

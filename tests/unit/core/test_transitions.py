"""Every cell of the transition table answers as the contract says, and a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from core.context import Input
from core.step import Step
from core.transitions import TRANSITIONS, Status
from schemas.events import (
    CommandParked,
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    KeyAnswered,
    ReceiptRecorded,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.registry import ce_type_of
from schemas.state import ControlPointState
from tests import examples as e
from tests.unit.core.rulebook import DAY, STAFF, open_world
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_next_request,
    a_policy,
    a_world,
    approved,
    asked,
    grant_id,
)


def _awaited() -> World:
    world = a_world(*STAFF)
    world.send(a_decision_by("r.lind"))
    return world


def _escalated() -> World:
    world = open_world()
    world.wait(DAY + 1)
    return world


def _decided() -> World:
    audited = a_policy(policy_version="8", rule={"audit_sample": 1.0})
    return approved(*STAFF, audited)


def _expired() -> World:
    world = open_world(a_policy(policy_version="8", rule={"on_timeout": "expire"}))
    world.wait(DAY + 1)
    return world


def _cancelled() -> World:
    world = open_world()
    world.send(e.a_cancellation())
    return world


WORLDS: Final[dict[Status, Callable[[], World]]] = {
    "absent": lambda: a_world(*STAFF),
    "awaited": _awaited,
    "pending": open_world,
    "escalated": _escalated,
    "decided": _decided,  # with an open gate and an open audit
    "expired": _expired,
    "cancelled": _cancelled,
}
_ABSENT: Final[tuple[Status, ...]] = ("absent", "awaited")


def _all(answer: str, **other: str) -> dict[Status, str]:
    return {status: other.get(status, answer) for status in WORLDS}


def _commanded(answer: str, **other: str) -> dict[Status, str]:
    """Whatever a reviewer sends before the package is there waits for it."""
    return _all(answer, **({"absent": "command.parked", "awaited": "command.parked"} | other))


_RECORDED: Final = "human.decision_recorded"
_WHILE_OPEN: Final = {"pending": _RECORDED, "escalated": _RECORDED}
_NOT_TAKEN: Final = _all("UNKNOWN_GRANT", decided="NOT_TAKEN")

ANSWERS: Final[dict[str, dict[Status, str]]] = {
    "interrupt.requested": {
        "absent": "interrupt.opened",
        "awaited": "interrupt.opened",
        "pending": "interrupt.opened",
        "escalated": "interrupt.opened",
        "decided": "NOT_REOPENABLE",
        "expired": "NOT_REOPENABLE",
        "cancelled": "NOT_REOPENABLE",
    },
    "interrupt.cancelled": {
        "absent": "UNKNOWN_PACKAGE",
        "awaited": "UNKNOWN_PACKAGE",
        "pending": "interrupt.cancelled",
        "escalated": "interrupt.cancelled",
        "decided": "tool_gate.revoked",
        "expired": "NOT_OPEN",
        "cancelled": "NOT_OPEN",
    },
    "human.decision_command": _commanded("NOT_OPEN", **_WHILE_OPEN, expired="TOO_LATE"),
    "human.override_command": _commanded("NOT_OPEN", **_WHILE_OPEN, expired="TOO_LATE"),
    "review_task.command": _commanded(
        "NOT_OPEN",
        pending="review_task.claimed",
        escalated="review_task.claimed",
        expired="TOO_LATE",
    ),
    "grant.revocation_command": _commanded("UNKNOWN_GRANT", decided=_RECORDED),
    "audit.verdict_command": _commanded("NOT_OPEN", decided=_RECORDED),
    "policy.exception_command": _commanded("NOT_OPEN", **_WHILE_OPEN, expired="TOO_LATE"),
    "grant.take": _all("UNKNOWN_GRANT", decided="tool_gate.consumed"),
    "tool.executed": _NOT_TAKEN,
    "tool.failed": _NOT_TAKEN,
    "tool.in_doubt": _NOT_TAKEN,
    "tool.denied": _all("UNKNOWN_GRANT", decided="receipt.recorded"),
    "outcome.reported": _NOT_TAKEN,
    "notice.sent": _NOT_TAKEN,
    "notice.failed": _NOT_TAKEN,
}
"""ce_type of the answer, or the code of the refusal; written from the contract, not the code."""

CELLS: Final[list[tuple[str, Status]]] = [
    (ce_type, status) for ce_type in ANSWERS for status in WORLDS
]


def _message(ce_type: str, status: Status, world: World) -> Input:
    grant = {"grant_id": grant_id(world)} if status == "decided" else {}
    version = 1 if status in _ABSENT else 2
    head = {"reviewer_id": "r.head"}
    messages: dict[str, Input] = {
        "interrupt.requested": e.a_request() if version == 1 else a_next_request(),
        "interrupt.cancelled": e.a_cancellation(),
        "human.decision_command": a_decision_by("r.head"),
        "human.override_command": e.an_override(**head),
        "review_task.command": e.a_task_command(**head),
        "grant.revocation_command": e.a_revocation(**head),
        "audit.verdict_command": e.a_verdict(**head),
        "policy.exception_command": e.an_exception(**head),
        "grant.take": e.a_take(**grant),
        "tool.executed": e.an_executed(**grant),
        "tool.failed": e.a_failed(**grant),
        "tool.in_doubt": e.an_in_doubt(**grant),
        "tool.denied": e.a_denied(**grant),
        "outcome.reported": e.an_outcome(**grant),
        "notice.sent": e.a_notice_sent(**grant),
        "notice.failed": e.a_notice_failed(**grant),
    }
    return messages[ce_type]


def _answer(step: Step) -> str:
    """The one event that the sender of the record waits for."""
    kinds = (
        CommandRefused, CommandParked, HumanDecisionEvent, ReceiptRecorded, ToolGateEvent
    )  # fmt: skip
    for event in step.events:
        if isinstance(event, CommandRefused):
            return event.code
        if isinstance(event, kinds):
            return ce_type_of(event)
        if isinstance(event, ReviewTaskEvent) and event.command_id is not None:
            return ce_type_of(event)
        if isinstance(event, InterruptStatusChanged) and event.outcome != "superseded":
            return ce_type_of(event)
    raise AssertionError("no answer")


@pytest.mark.parametrize(("ce_type", "status"), CELLS)
def test_every_cell_answers_as_documented(ce_type: str, status: Status) -> None:
    """A record of each type in each status gets the one answer that the contract names."""
    world = WORLDS[status]()
    message = _message(ce_type, status, world)

    step = world.send(message)

    assert ANSWERS[ce_type][status] == _answer(step)


REPORTS: Final = ("tool.executed", "tool.failed", "tool.in_doubt", "notice.sent", "notice.failed")
"""What an executor says it did: at an open gate, without a take, a human must look."""


@pytest.mark.parametrize(
    ("ce_type", "status"),
    [(t, s) for t, s in CELLS if ANSWERS[t][s].isupper() and not (t in REPORTS and s == "decided")],
)
def test_illegal_input_changes_nothing(ce_type: str, status: Status) -> None:
    """A refusal leaves the control point as it was, but for the list of refusals and a bound key."""
    world = WORLDS[status]()
    before = world.state

    step = world.send(_message(ce_type, status, world))

    assert {CommandRefused} == {type(x) for x in step.events} - {KeyAnswered}
    assert _kept(before) == _kept(step.state)


@pytest.mark.parametrize("ce_type", REPORTS)
def test_a_report_without_a_take_changes_nothing_but_the_doubt(ce_type: str) -> None:
    """It is refused, a human is asked to look, and gate and grant are what they were."""
    world = _decided()
    before = _kept(world.state, grant={"in_doubt", "differences"})

    step = world.send(_message(ce_type, "decided", world))

    assert {CommandRefused, ReviewTaskEvent} == {type(x) for x in step.events}
    assert before == _kept(step.state, grant={"in_doubt", "differences"})
    assert world.now.grant is not None
    assert (True, ["without_take"]) == (world.now.grant.in_doubt, world.now.grant.differences)


def _kept(state: ControlPointState | None, **without: set[str]) -> dict[str, Any] | None:
    if state is None:
        return None
    return state.model_dump(exclude={"refusals": True, "answered": True, **without})


def test_the_table_is_whole() -> None:
    """The table has a cell for each status under each type of input, and none besides."""
    assert {(t, s) for t, cells in TRANSITIONS.items() for s in cells} == set(CELLS)


@pytest.mark.parametrize("decision", ["revise", "request_more_evidence"])
def test_a_package_sent_back_can_be_asked_again(decision: str) -> None:
    """After revise and request_more_evidence, and after these only, the next version opens."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, decision))

    step = world.send(a_next_request())

    assert "interrupt.opened" == _answer(step)

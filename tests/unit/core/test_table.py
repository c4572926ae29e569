"""Every cell of status x message type, judged with a real control point of that status.

Each row is written from the rules, not from the code: for each status, the code of the refusal or
the events that the rule of the cell brings about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, get_args

import pytest

from core.context import Input
from core.step import Step
from core.transitions import TRANSITIONS, Status
from schemas.events import CommandRefused, KeyAnswered
from schemas.registry import INPUT_TYPES, ce_type_of
from schemas.state import ControlPointState
from tests import examples as e
from tests.unit.core.rulebook import DAY, STAFF, by, decides, on_the_loop, open_world, works
from tests.unit.core.world import World, a_next_request, a_policy, a_world, grant_id


def _absent() -> World:
    return a_world(*STAFF)


def _awaited() -> World:
    world = _absent()
    world.send(decides(e.REVIEWER, "reject", expected_package_version=9))
    return world


def _escalated() -> World:
    world = open_world()
    world.wait(DAY + 1)
    return world


def _decided() -> World:
    """Approved: the gate is open, an audit is open, and an exception was granted before."""
    world = open_world(a_policy(policy_version="8", rule={"audit_sample": 1.0}))
    world.send(by(e.an_exception, "r.lind"))
    world.send(decides("r.lind"))
    return world


def _expired() -> World:
    world = open_world(a_policy(policy_version="8", rule={"on_timeout": "expire"}))
    world.wait(DAY + 1)
    return world


def _cancelled() -> World:
    world = open_world()
    world.send(e.a_cancellation())
    return world


WORLDS: Final[dict[Status, Callable[[], World]]] = {
    "absent": _absent,
    "awaited": _awaited,
    "pending": open_world,
    "escalated": _escalated,
    "decided": _decided,
    "expired": _expired,
    "cancelled": _cancelled,
}
_PARKED: Final = "command.parked"
_DECIDED: Final = "human.decision_recorded interrupt.decided review_task.closed tool_gate.opened"
_OPENED: Final = "package.accepted interrupt.opened review_task.created"
_SUPERSEDED: Final = f"interrupt.cancelled review_task.closed {_OPENED}"
_RECEIPT: Final[dict[Status, str]] = {
    "absent": "UNKNOWN_GRANT",
    "awaited": "UNKNOWN_GRANT",
    "pending": "UNKNOWN_GRANT",
    "escalated": "UNKNOWN_GRANT",
    "decided": "NOT_TAKEN review_task.difference",
    "expired": "UNKNOWN_GRANT",
    "cancelled": "UNKNOWN_GRANT",
}

ROWS: Final[dict[str, dict[Status, str]]] = {
    "interrupt.requested": {
        "absent": _OPENED,
        "awaited": f"{_OPENED} command.unparked STALE_PACKAGE_VERSION",
        "pending": _SUPERSEDED,
        "escalated": _SUPERSEDED,
        "decided": "NOT_REOPENABLE",
        "expired": "NOT_REOPENABLE",
        "cancelled": "NOT_REOPENABLE",
    },
    "interrupt.cancelled": {
        "absent": "UNKNOWN_PACKAGE",
        "awaited": "UNKNOWN_PACKAGE",
        "pending": "interrupt.cancelled review_task.closed tool_gate.denied",
        "escalated": "interrupt.cancelled review_task.closed tool_gate.denied",
        "decided": "tool_gate.revoked",
        "expired": "NOT_OPEN",
        "cancelled": "NOT_OPEN",
    },
    "human.decision_command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": _DECIDED,
        "escalated": _DECIDED,
        "decided": "NOT_OPEN",
        "expired": "TOO_LATE",
        "cancelled": "NOT_OPEN",
    },
    "human.override_command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": "human.decision_recorded",
        "escalated": "human.decision_recorded",
        "decided": "NOT_OPEN",
        "expired": "TOO_LATE",
        "cancelled": "NOT_OPEN",
    },
    "review_task.command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": "review_task.claimed",
        "escalated": "review_task.claimed",
        "decided": "NOT_OPEN",
        "expired": "TOO_LATE",
        "cancelled": "NOT_OPEN",
    },
    "grant.revocation_command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": "UNKNOWN_GRANT",
        "escalated": "UNKNOWN_GRANT",
        "decided": "human.decision_recorded tool_gate.revoked",
        "expired": "UNKNOWN_GRANT",
        "cancelled": "UNKNOWN_GRANT",
    },
    "audit.verdict_command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": "NOT_OPEN",
        "escalated": "NOT_OPEN",
        "decided": "human.decision_recorded review_task.audit_closed",
        "expired": "NOT_OPEN",
        "cancelled": "NOT_OPEN",
    },
    "policy.exception_command": {
        "absent": _PARKED,
        "awaited": _PARKED,
        "pending": "human.decision_recorded policy_exception.granted",
        "escalated": "human.decision_recorded policy_exception.granted",
        "decided": "NOT_OPEN",
        "expired": "TOO_LATE",
        "cancelled": "NOT_OPEN",
    },
    "grant.take": {**_RECEIPT, "decided": "tool_gate.consumed"},
    "tool.executed": {**_RECEIPT},
    "tool.failed": {**_RECEIPT},
    "tool.in_doubt": {**_RECEIPT},
    "tool.denied": {**_RECEIPT, "decided": "receipt.recorded"},
    "outcome.reported": {**_RECEIPT, "decided": "NOT_TAKEN"},
    "notice.sent": {**_RECEIPT},
    "notice.failed": {**_RECEIPT},
}

CELLS: Final[list[tuple[str, Status]]] = [
    (ce_type, status) for ce_type, row in ROWS.items() for status in row
]


def _message(ce_type: str, status: Status, world: World) -> Input:
    grant = {"grant_id": grant_id(world)} if status == "decided" else {}
    asked = status not in ("absent", "awaited")
    messages: dict[str, Input] = {
        "interrupt.requested": a_next_request() if asked else e.a_request(),
        "interrupt.cancelled": e.a_cancellation(),
        "human.decision_command": decides("r.head"),
        "human.override_command": by(e.an_override, "r.head"),
        "review_task.command": works("r.head", "claim"),
        "grant.revocation_command": by(e.a_revocation, "r.head"),
        "audit.verdict_command": by(e.a_verdict, "r.head"),
        "policy.exception_command": by(
            e.an_exception, "r.head", exception_id=f"exc-of-{status}", expires_at=e.at(3 * DAY)
        ),
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


def _said(step: Step) -> str:
    """What a step brought about: codes of refusals and names of events, in order."""
    return " ".join(
        event.code if isinstance(event, CommandRefused) else ce_type_of(event)
        for event in step.events
        if not isinstance(event, KeyAnswered)
    )


def _but_for_the_answer(state: ControlPointState | None) -> object:
    return state and state.model_dump(exclude={"refusals", "answered"})


@pytest.mark.parametrize(("ce_type", "status"), CELLS)
def test_every_cell(ce_type: str, status: Status) -> None:
    """A message of each type at a control point of each status brings about what the rules say."""
    world = WORLDS[status]()
    assert status == (world.state.status if world.state else "absent")

    step = world.send(_message(ce_type, status, world))

    assert ROWS[ce_type][status] == _said(step)


@pytest.mark.parametrize(
    ("ce_type", "status"), [(t, s) for t, s in CELLS if ROWS[t][s].replace("_", "").isupper()]
)
def test_every_refusing_cell_changes_nothing(ce_type: str, status: Status) -> None:
    """A refusal leaves the control point as it was, but for the answer it keeps."""
    world = WORLDS[status]()
    before = _but_for_the_answer(world.state)

    step = world.send(_message(ce_type, status, world))

    assert before == _but_for_the_answer(step.state)


@pytest.mark.parametrize("ce_type", [t for t in ROWS if TRANSITIONS[t]["decided"].islower()])
def test_every_rule_is_asked_again_once_it_is_decided_otherwise(ce_type: str) -> None:
    """At a rejected package, which has no grant and no audit, nothing is taken back or audited."""
    world = open_world()
    world.send(decides("r.lind", "reject"))
    message = _message(ce_type, "pending", world)

    said = _said(world.send(message))

    expected = {
        "interrupt.requested": "NOT_REOPENABLE",
        "interrupt.cancelled": "NOT_OPEN",
        "human.decision_command": "NOT_OPEN",
        "audit.verdict_command": "NOT_OPEN",
        "policy.exception_command": "NOT_OPEN",
    }
    assert expected.get(ce_type, "UNKNOWN_GRANT") == said


def test_an_exception_is_revoked_in_every_status() -> None:
    """What was granted while the package was open is taken back whatever became of it."""
    for end in ("pending", "escalated", "decided", "expired", "cancelled"):
        rule = {"on_timeout": "expire" if end == "expired" else "escalate"}
        world = open_world(a_policy(policy_version="8", rule=rule))
        world.send(by(e.an_exception, "r.lind"))
        if end == "decided":
            world.send(decides("r.lind"))
        elif end == "cancelled":
            world.send(e.a_cancellation())
        elif end != "pending":
            world.wait(DAY + 1)
        assert end == world.now.status

        step = world.send(by(e.an_exception, "r.lind", action="revoke"))

        assert "human.decision_recorded policy_exception.revoked" == _said(step)


def test_on_the_loop_a_decided_cell_takes_an_objection() -> None:
    """The one decision that a decided package hears, where it ran on the loop."""
    world = open_world(on_the_loop(), package=e.a_package(risk_level="medium"))
    world.wait(DAY)

    assert "human.decision_recorded tool_gate.revoked" == _said(
        world.send(decides("r.lind", "object"))
    )


def test_every_cell_has_a_row_and_every_row_a_cell() -> None:
    """A status, a message type or a cell that is added needs its row here."""
    statuses = set(get_args(Status))
    inputs = {name for name in INPUT_TYPES if name != "clock.tick"}

    assert statuses == set(WORLDS)
    assert {name: statuses for name in inputs} == {
        name: set(row) for name, row in TRANSITIONS.items()
    }
    assert {(name, status) for name, row in TRANSITIONS.items() for status in row} == set(CELLS)

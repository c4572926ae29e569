"""`evolve(state, event) -> state`: what an event does to a control point; decides nothing."""

from __future__ import annotations

from typing import assert_never

from core.context import Event
from core.limits import REFUSALS_KEPT_MAX
from core.quorum import same_approver
from schemas.events import (
    CommandParked,
    CommandRefused,
    CommandUnparked,
    HumanDecisionEvent,
    InterruptStatusChanged,
    KeyAnswered,
    ReceiptRecorded,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.state import (
    AnsweredKey,
    Approval,
    ControlPointState,
    Grant,
    PackageAccepted,
    Refusal,
    SeenInterrupt,
)
from schemas.vocabulary import GateChange, GateState

EXECUTION_REPORTS = frozenset(
    {"tool.executed", "tool.failed", "tool.in_doubt", "notice.sent", "notice.failed"}
)
"""Receipts that say what became of a take; denials and later outcomes do not."""
_GATE_AFTER: dict[GateChange, GateState] = {
    "opened": "open",
    "denied": "denied",
    "revoked": "revoked",
    "expired": "expired",
    "consumed": "consumed",
}


def evolve(state: ControlPointState | None, event: Event) -> ControlPointState | None:
    """The state after one event. None stands for a control point that does not exist."""
    match event:
        case PackageAccepted():
            return _accepted(state, event)
        case CommandParked():
            before = state or ControlPointState(
                tenant_id=event.tenant_id, decision_package_id=event.decision_package_id
            )
            return before.model_copy(update={"parked": [*before.parked, event]})
    if state is None:
        assert isinstance(event, CommandRefused | CommandUnparked), (
            f"{type(event).__name__} without a control point"
        )
        return None
    match event:
        case HumanDecisionEvent():
            return _decision(state, event)
        case InterruptStatusChanged():
            return _status(state, event)
        case ToolGateEvent():
            return _gate(state, event)
        case ReviewTaskEvent():
            return _task(state, event)
        case CommandRefused():
            return _refusal(state, event)
        case KeyAnswered():
            answered = AnsweredKey(
                key_digest=event.key_digest,
                payload_digest=event.payload_digest,
                event_id=event.event_id,
            )
            return state.model_copy(update={"answered": [*state.answered, answered]})
        case CommandUnparked():
            left = [parked for parked in state.parked if parked.origin != event.origin]
            if not left and state.status == "awaited":
                return None
            return state.model_copy(update={"parked": left})
        case ReceiptRecorded():
            return _receipt(state, event)
        case _:
            assert_never(event)


def _accepted(state: ControlPointState | None, event: PackageAccepted) -> ControlPointState:
    request = event.request
    seen = SeenInterrupt(
        interrupt_id=request.interrupt_id,
        version=request.package.version,
        request_digest=event.request_digest,
        event_id=event.opened_event_id,
    )
    return ControlPointState(
        tenant_id=request.tenant_id,
        decision_package_id=request.package.decision_package_id,
        status="pending",
        accepted=event,
        created_at=event.occurred_at,
        required_role=event.plan.slots[0].role,
        interrupts=[*(state.interrupts if state else []), seen],
        answered=state.answered if state else [],
        parked=state.parked if state else [],
        refusals=state.refusals if state else [],
    )


def approval_of(event: HumanDecisionEvent) -> Approval:
    """The approval that an approving decision stands for."""
    persons = [event.reviewer_id, *([event.on_behalf_of] if event.on_behalf_of else [])]
    return Approval(
        reviewer_id=event.reviewer_id,
        persons=persons,
        kid=event.kid,
        sid=event.sid,
        event_id=event.event_id,
    )


def _decision(state: ControlPointState, event: HumanDecisionEvent) -> ControlPointState:
    if event.decision != "approve":
        return state
    new = approval_of(event)
    # One that lost its standing is replaced, so that nobody can come to count twice.
    kept = [
        approval
        for approval in state.approvals
        if not same_approver(new.persons, new.kid, new.sid, approval)
    ]
    return state.model_copy(update={"approvals": [*kept, new]})


def _status(state: ControlPointState, event: InterruptStatusChanged) -> ControlPointState:
    update: dict[str, object] = {"status": event.status}
    if event.final:
        update |= {
            "outcome": event.outcome,
            "decision_event_id": event.decision_event_id or event.event_id,
            "required_role": None,
        }
    else:
        update |= {
            "required_role": event.required_role,
            "decide_by": event.decide_by,
            "decide_by_source": event.decide_by_source,
        }
        if event.deferred_until is not None:
            update["deferred"] = True
        elif event.status == "escalated":
            update["ladder_step"] = state.ladder_step + 1
    return state.model_copy(update=update)


def _gate(state: ControlPointState, event: ToolGateEvent) -> ControlPointState:
    after = state.model_copy(update={"gate": _GATE_AFTER[event.gate]})
    if event.gate == "opened":
        assert event.grant_id and event.action_digest and event.valid_until
        grant = Grant(
            grant_id=event.grant_id,
            action_digest=event.action_digest,
            valid_until=event.valid_until,
            decision_event_ids=event.decision_event_ids,
        )
        return after.model_copy(update={"grant": grant})
    if event.gate == "consumed":
        return _with_grant(
            after,
            executor_id=event.executor_id,
            attempt_id=event.attempt_id,
            taken_event_id=event.event_id,
            execute_by=event.execute_by,
        )
    return after


def _task(state: ControlPointState, event: ReviewTaskEvent) -> ControlPointState:
    """A task in doubt, or closed after it, is about the grant that was taken."""
    if state.grant is None or event.status not in ("in_doubt", "closed"):
        return state
    return _with_grant(state, in_doubt=event.status == "in_doubt")


def _with_grant(state: ControlPointState, **update: object) -> ControlPointState:
    assert state.grant is not None
    return state.model_copy(update={"grant": state.grant.model_copy(update=update)})


def _refusal(state: ControlPointState, event: CommandRefused) -> ControlPointState:
    if event.code in ("UNAUTHENTICATED", "TENANT_MISMATCH"):
        return state  # a stranger must not be able to write into the state
    refusal = Refusal(
        command_id=event.command_id,
        reviewer_id=event.reviewer_id,
        code=event.code,
        occurred_at=event.occurred_at,
    )
    kept = [*state.refusals, refusal][-REFUSALS_KEPT_MAX:]
    return state.model_copy(update={"refusals": kept})


def _receipt(state: ControlPointState, event: ReceiptRecorded) -> ControlPointState:
    assert state.grant is not None
    update: dict[str, object] = {"receipt_ids": [*state.grant.receipt_ids, event.receipt_id]}
    if event.receipt_type in EXECUTION_REPORTS:
        update["receipt_type"] = event.receipt_type
    return _with_grant(state, **update)

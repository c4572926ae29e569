"""`evolve(state, event) -> state`: what an event does to a control point; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, assert_never

from core.context import Event
from core.deadlines import absolute_end
from core.limits import (
    COMMENT_CHARS_KEPT_MAX,
    COMMENTS_KEPT_MAX,
    EXCEPTION_CHARS_KEPT_MAX,
    PRESENTED_KEPT_MAX,
    REFUSALS_KEPT_MAX,
)
from core.quorum import same_approver
from schemas.directory import PolicyExceptionChanged
from schemas.events import (
    CommandParked,
    CommandRefused,
    CommandUnparked,
    ExceptionTerms,
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
    Audit,
    ControlPointState,
    Grant,
    GrantedException,
    PackageAccepted,
    PackageReplanned,
    PendingOverride,
    Presented,
    Refusal,
    SeenInterrupt,
    TaskComment,
)
from schemas.vocabulary import CommentKind, GateChange, GateState

_DECIDING: Final = frozenset(
    {"approve", "reject", "revise", "request_more_evidence", "escalate", "object", "override"}
)
"""Recorded decisions about the package: who made one does not audit it."""
EXECUTION_REPORTS: Final = frozenset(
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
        case PackageReplanned():
            return _replanned(state, event)
        case PolicyExceptionChanged():
            return _exception(state, event)
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
        recused=state.recused if state else [],
        comments=state.comments if state else [],
        exceptions=state.exceptions if state else [],
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
    if event.decision in _DECIDING | {"defer"} and event.comment:
        said = _comment(event.reviewer_id, "note", event.comment, event.package_version, event)
        state = _with_comment(state, said)
    if event.decision not in _DECIDING:
        return state
    people = [event.reviewer_id, *([event.on_behalf_of] if event.on_behalf_of else [])]
    update: dict[str, object] = {"deciders": list(dict.fromkeys([*state.deciders, *people]))}
    if event.override is not None and event.decision == "override" and event.action_digest:
        update["override"] = PendingOverride(
            by=approval_of(event), record=event.override, action_digest=event.action_digest
        )
    if event.decision == "approve":
        update |= {
            "approvals": _with_approval(state, approval_of(event), event.approvals_void),
            "assigned_to": None,
            "lease_until": None,
        }
    return state.model_copy(update=update)


def _with_approval(state: ControlPointState, new: Approval, void: Sequence[str]) -> list[Approval]:
    # One that lost its standing is out for good: it does not come back with its giver's role.
    kept = [
        approval
        for approval in state.approvals
        if approval.event_id not in void
        and not same_approver(new.persons, new.kid, new.sid, approval)
    ]
    return [*kept, new]


def _status(state: ControlPointState, event: InterruptStatusChanged) -> ControlPointState:
    update: dict[str, object] = {"status": event.status}
    if event.final:
        update |= {
            "assigned_to": None,
            "lease_until": None,
            "deferred_until": None,
            "defer_condition": None,
            "outcome": event.outcome,
            "decision_event_id": event.decision_event_id or event.event_id,
            "required_role": None,
        }
    else:
        update |= {
            "required_role": event.required_role,
            "decide_by": event.decide_by,
            "decide_by_source": event.decide_by_source,
            "decide_from": event.decide_from,
            "assigned_to": None,
            "lease_until": None,
        }
        if event.deferred_until is not None:
            hidden = event.deferred_until > event.occurred_at
            update |= {
                "deferred": True,
                "deferred_until": event.deferred_until if hidden else None,
                "defer_condition": event.defer_condition,
                "decide_left_us": event.decide_left_us,
                "sla_warned": state.sla_warned if hidden else 0,
            }
        else:
            update |= {
                "ladder_step": state.ladder_step + (event.status == "escalated"),
                "sla_warned": 0,
                "deferred_until": None,
                "defer_condition": None,
            }
    return state.model_copy(update=update)


def _gate(state: ControlPointState, event: ToolGateEvent) -> ControlPointState:
    after = state.model_copy(update={"gate": _GATE_AFTER[event.gate]})
    if event.gate == "opened":
        assert event.grant_id and event.action_digest and event.valid_until
        assert event.tool_name and event.effect_type
        grant = Grant(
            grant_id=event.grant_id,
            action_digest=event.action_digest,
            valid_until=event.valid_until,
            decision_event_ids=event.decision_event_ids,
            tool_name=event.tool_name,
            effect_type=event.effect_type,
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
    match event.change:
        case "claimed" | "released" | "assigned":
            return _held(state, event)
        case "recused":
            assert event.actor is not None
            recused = list(dict.fromkeys([*state.recused, event.actor]))
            return _held(state.model_copy(update={"recused": recused}), event)
        case "commented":
            return _commented(state, event)
        case "presented":
            return _presented(state, event)
        case "resumed":
            return _resumed(state, event)
        case "sla_warning":
            return state.model_copy(update={"sla_warned": event.sla_percent or 0})
        case "audit_opened":
            audit = Audit(review_task_id=event.review_task_id, opened_at=event.occurred_at)
            return state.model_copy(update={"audit": audit})
        case "audit_closed":
            assert state.audit is not None
            done = state.audit.model_copy(update={"closed": True})
            return state.model_copy(update={"audit": done})
        case "in_doubt" | "difference":
            assert state.grant is not None
            found = [*state.grant.differences, *([event.difference] if event.difference else [])]
            return _with_grant(state, differences=list(dict.fromkeys(found)), in_doubt=True)
        case "closed" if state.grant is not None:
            return _with_grant(state, in_doubt=False)
        case _:
            return state


def _held(state: ControlPointState, event: ReviewTaskEvent) -> ControlPointState:
    return state.model_copy(
        update={"assigned_to": event.assigned_to, "lease_until": event.lease_until}
    )


def _commented(state: ControlPointState, event: ReviewTaskEvent) -> ControlPointState:
    assert event.actor is not None
    kind, version = event.comment_kind or "note", event.package_version or 0
    return _with_comment(state, _comment(event.actor, kind, event.comment or "", version, event))


def _comment(
    by: str,
    kind: CommentKind,
    text: str,
    version: int,
    event: HumanDecisionEvent | ReviewTaskEvent,
) -> TaskComment:
    return TaskComment(
        by=by,
        kind=kind,
        text=text[:COMMENT_CHARS_KEPT_MAX],
        version=version,
        occurred_at=event.occurred_at,
    )


def _with_comment(state: ControlPointState, comment: TaskComment) -> ControlPointState:
    return state.model_copy(update={"comments": [*state.comments, comment][-COMMENTS_KEPT_MAX:]})


def _presented(state: ControlPointState, event: ReviewTaskEvent) -> ControlPointState:
    """The viewing clock starts at the first time; the digest is of what was shown last."""
    assert event.actor is not None
    before = next((p for p in state.presented if p.reviewer_id == event.actor), None)
    shown = Presented(
        reviewer_id=event.actor,
        presented_at=before.presented_at if before else event.occurred_at,
        presented_digest=event.presented_digest,
    )
    others = [p for p in state.presented if p.reviewer_id != event.actor]
    return state.model_copy(update={"presented": [*others, shown][-PRESENTED_KEPT_MAX:]})


def _resumed(state: ControlPointState, event: ReviewTaskEvent) -> ControlPointState:
    early, source = timedelta(), state.decide_by_source
    if state.deferred_until is not None:
        early = max(state.deferred_until - event.occurred_at, early)
    if early and state.decide_left_us is not None:
        end = absolute_end(state)
        source = end[1] if end is not None and end[0] == event.due_at else "policy"
    return state.model_copy(
        update={
            "decide_by_source": source,
            "decide_left_us": None,
            "deferred_until": None,
            "defer_condition": None,
            "decide_by": event.due_at,
            "decide_from": state.decide_from - early if state.decide_from else None,
        }
    )


def _replanned(state: ControlPointState, event: PackageReplanned) -> ControlPointState:
    assert state.accepted is not None
    plan = event.plan
    step = min(state.ladder_step, len(plan.ladder))
    update = {
        "accepted": state.accepted.model_copy(update={"plan": plan}),
        "ladder_step": step,
        "required_role": plan.ladder[step - 1].role if step else plan.slots[0].role,
    }
    return state.model_copy(update=update)


def _exception(state: ControlPointState, event: PolicyExceptionChanged) -> ControlPointState:
    if event.change == "granted":
        terms = ExceptionTerms(
            exception_id=event.exception_id,
            policy_id=event.policy_id,
            requested_exception=event.requested_exception[:EXCEPTION_CHARS_KEPT_MAX],
            justification=event.justification[:EXCEPTION_CHARS_KEPT_MAX],
            kind=event.kind,
            applies_to=event.applies_to,
            expires_at=event.expires_at,
        )
        granted = GrantedException(
            terms=terms, approver_id=event.approver_id, decision_event_id=event.decision_event_id
        )
        return state.model_copy(update={"exceptions": [*state.exceptions, granted]})
    ended = [
        one.model_copy(update={"ended": True})
        if one.terms.exception_id == event.exception_id
        else one
        for one in state.exceptions
    ]
    return state.model_copy(update={"exceptions": ended})


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
    if event.outcome is not None:
        update["outcome"] = event.outcome
    return _with_grant(state, **update)

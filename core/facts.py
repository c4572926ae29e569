"""Events made from the state: one place that fills the fields all events of a kind share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.actions import action_of, digest_of
from core.identifiers import audit_task_id, derived_id, review_task_id
from core.quorum import current_slots
from schemas.events import InterruptStatusChanged, ReviewTaskEvent, ToolGateEvent
from schemas.requests import ToolCall
from schemas.state import ControlPointState
from schemas.vocabulary import (
    FINAL_STATUSES,
    CommentKind,
    Difference,
    GateChange,
    InterruptStatus,
    Routing,
    TaskChange,
    TaskStatus,
)


def status_changed(
    state: ControlPointState,
    *,
    origin: str,
    status: InterruptStatus,
    reason: str,
    now: datetime,
    outcome: str | None = None,
    decision_event_id: str | None = None,
    routing: Routing | None = None,
    required_role: str | None = None,
    decide_by: datetime | None = None,
    decide_by_source: str | None = None,
    deferred_until: datetime | None = None,
    decide_from: datetime | None = None,
    defer_condition: str | None = None,
    decide_left_us: int | None = None,
) -> InterruptStatusChanged:
    """The interrupt of the current version changed its status."""
    assert state.accepted is not None
    request = state.accepted.request
    final = status in FINAL_STATUSES
    return InterruptStatusChanged(
        event_id=derived_id(origin, f"status:{status}"),
        tenant_id=request.tenant_id,
        run_id=request.run_id,
        thread_id=request.thread_id,
        checkpoint_id=request.checkpoint_id,
        interrupt_id=request.interrupt_id,
        decision_package_id=request.package.decision_package_id,
        package_version=request.package.version,
        status=status,
        outcome=outcome,
        final=final,
        reason=reason,
        required_role=None if final else required_role or state.required_role,
        decision_event_id=decision_event_id,
        routing=routing,
        created_at=state.created_at or now,
        decide_by=decide_by or state.decide_by,
        decide_by_source=decide_by_source or state.decide_by_source,
        decide_from=decide_from or state.decide_from,
        deferred_until=deferred_until,
        defer_condition=defer_condition,
        decide_left_us=decide_left_us,
        authority_transition=state.accepted.plan.authority_transition,
        occurred_at=now,
    )


def task_changed(
    state: ControlPointState,
    *,
    origin: str,
    change: TaskChange,
    now: datetime,
    status: TaskStatus = "open",
    required_role: str | None = None,
    assigned_to: str | None = None,
    due_at: datetime | None = None,
    actor: str | None = None,
    comment: str | None = None,
    command_id: str | None = None,
    comment_kind: CommentKind | None = None,
    lease_until: datetime | None = None,
    presented_digest: str | None = None,
    sla_percent: int | None = None,
    difference: Difference | None = None,
) -> ReviewTaskEvent:
    """The review task of the current interrupt, or the audit task of its decision, changed."""
    assert state.accepted is not None
    request = state.accepted.request
    audits = change in ("audit_opened", "audit_closed")
    names = request.tenant_id, request.package.decision_package_id, request.interrupt_id
    kind = f":{sla_percent}" if sla_percent is not None else ""
    return ReviewTaskEvent(
        event_id=derived_id(origin, f"task:{change}{kind}"),
        review_task_id=audit_task_id(*names) if audits else review_task_id(*names),
        tenant_id=request.tenant_id,
        interrupt_id=request.interrupt_id,
        decision_package_id=request.package.decision_package_id,
        change=change,
        status=status,
        required_role=required_role or state.required_role or current_slots(state)[0].role,
        priority=state.accepted.plan.effective_risk,
        assigned_to=assigned_to,
        due_at=due_at or (None if audits else state.decide_by),
        created_at=now if audits else state.created_at or now,
        actor=actor,
        command_id=command_id,
        comment=comment,
        comment_kind=comment_kind,
        lease_until=lease_until,
        presented_digest=presented_digest,
        sla_percent=sla_percent,
        difference=difference,
        package_version=request.package.version,
        authority_transition=state.accepted.plan.authority_transition,
        occurred_at=now,
    )


def gate_changed(
    state: ControlPointState,
    *,
    origin: str,
    gate: GateChange,
    reason: str,
    now: datetime,
    grant_id: str | None = None,
    valid_until: datetime | None = None,
    execute_by: datetime | None = None,
    executor_id: str | None = None,
    attempt_id: str | None = None,
    decision_event_ids: Sequence[str] = (),
    call: ToolCall | None = None,
) -> list[ToolGateEvent]:
    """The gate changed: one event, or none where nothing is executed.

    call: the action that opens it, where it is another than the package's own. A gate that was
    open stays about the action of its grant.
    """
    assert state.accepted is not None
    request, grant = state.accepted.request, state.grant
    action = call or action_of(request.package)
    if action is None and grant is None:
        return []
    kept = grant if gate not in ("opened", "denied") else None
    name, effect, digest = (
        (kept.tool_name, kept.effect_type, kept.action_digest)
        if kept is not None
        else (action.tool_name, action.effect_type, digest_of(action))
        if action is not None
        else (None, None, None)
    )
    return [
        ToolGateEvent(
            event_id=derived_id(origin, f"gate:{gate}"),
            tenant_id=request.tenant_id,
            run_id=request.run_id,
            interrupt_id=request.interrupt_id,
            decision_package_id=request.package.decision_package_id,
            package_version=request.package.version,
            gate=gate,
            reason=reason,
            tool_name=name,
            effect_type=effect,
            action_digest=digest,
            args_json=action.args_json if gate == "opened" and action else None,
            grant_id=grant_id or (grant.grant_id if grant else None),
            valid_until=valid_until or (grant.valid_until if grant else None),
            execute_by=execute_by,
            executor_id=executor_id,
            attempt_id=attempt_id,
            decision_event_ids=list(decision_event_ids)
            or (grant.decision_event_ids if grant else []),
            policy_version=state.accepted.plan.policy_version,
            authority_transition=state.accepted.plan.authority_transition,
            occurred_at=now,
        )
    ]

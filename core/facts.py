"""Events made from the state: one place that fills the fields all events of a kind share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.identifiers import derived_id, review_task_id
from core.quorum import current_slots
from schemas.events import InterruptStatusChanged, ReviewTaskEvent, ToolGateEvent
from schemas.state import ControlPointState
from schemas.vocabulary import (
    FINAL_STATUSES,
    GateChange,
    InterruptStatus,
    Routing,
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
        deferred_until=deferred_until,
        occurred_at=now,
    )


def task_changed(
    state: ControlPointState,
    *,
    origin: str,
    change: str,
    status: str,
    now: datetime,
    required_role: str | None = None,
    due_at: datetime | None = None,
    actor: str | None = None,
    comment: str | None = None,
) -> ReviewTaskEvent:
    """The review task of the current interrupt changed."""
    assert state.accepted is not None
    request = state.accepted.request
    return ReviewTaskEvent(
        event_id=derived_id(origin, f"task:{change}"),
        review_task_id=review_task_id(
            request.tenant_id, request.package.decision_package_id, request.interrupt_id
        ),
        tenant_id=request.tenant_id,
        interrupt_id=request.interrupt_id,
        decision_package_id=request.package.decision_package_id,
        change=change,
        status=status,
        required_role=required_role or state.required_role or current_slots(state)[0].role,
        priority=state.accepted.plan.effective_risk,
        due_at=due_at or state.decide_by,
        created_at=state.created_at or now,
        actor=actor,
        comment=comment,
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
) -> list[ToolGateEvent]:
    """The gate changed: one event, or none where there is no tool call."""
    assert state.accepted is not None
    request = state.accepted.request
    call = request.package.tool_call
    if call is None:
        return []
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
            tool_name=call.tool_name,
            effect_type=call.effect_type,
            action_digest=state.accepted.action_digest,
            args_json=call.args_json if gate == "opened" else None,
            grant_id=grant_id or (state.grant.grant_id if state.grant else None),
            valid_until=valid_until or (state.grant.valid_until if state.grant else None),
            execute_by=execute_by,
            executor_id=executor_id,
            attempt_id=attempt_id,
            decision_event_ids=list(decision_event_ids)
            or (state.grant.decision_event_ids if state.grant else []),
            policy_version=state.accepted.plan.policy_version,
            occurred_at=now,
        )
    ]

"""What a clock does when it runs out. Nothing here approves (requirements, section 14)."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from core.authority import Failure
from core.context import Context, Event
from core.deadlines import decide_by
from core.deferral import resumed
from core.escalation import after, escalation, has_next_step, until_eligible
from core.excepting import exception_changed
from core.facts import gate_changed, status_changed, task_changed
from core.gates import approved
from core.identifiers import derived_id
from core.timers import OBJECTION_WINDOW, Timer, next_sla_warning
from schemas.events import CommandParked, CommandRefused, CommandUnparked
from schemas.state import ControlPointState
from schemas.vocabulary import InterruptStatus


def timer_origin(state: ControlPointState, timer: Timer) -> str:
    """Where the ids of a fired timer come from: interrupt, clock and due time."""
    interrupt = state.accepted.request.interrupt_id if state.accepted else "awaited"
    where = f"{state.tenant_id}/{state.decision_package_id}/{interrupt}"
    return f"timer/{where}/{timer.name}/{timer.due.isoformat()}"


def timed_out(state: ControlPointState, timer: Timer, context: Context) -> list[Event]:
    """The events of a clock that ran out; never none, so that it cannot fire again."""
    origin = timer_origin(state, timer)
    match timer.name:
        case "decide_by":
            return _undecided(state, origin, context)
        case "objection_window":
            if state.override is not None:  # somebody has said that it shall be something else
                return _undecided(state, origin, context)
            return approved(
                state,
                origin=origin,
                reason="window",
                now=context.now,
                start=context.window_start,
                decision_event_ids=[],
            )
        case "sla_warning":
            return [_sla_warning(state, origin, context)]
        case "claim_lease":
            return [_lease_ended(state, origin, context)]
        case "deferral":
            return [resumed(state, origin=origin, now=context.now)]
        case "exception_end":
            return _exceptions_ended(state, timer.due, context, origin)
        case "grant_valid_until":
            return list(
                gate_changed(
                    state, origin=origin, gate="expired", reason="grant_expired", now=context.now
                )
            )
        case "execute_within":
            return [
                task_changed(
                    state,
                    origin=origin,
                    change="in_doubt",
                    status="in_doubt",
                    now=context.now,
                    due_at=timer.due,
                    comment="taken and not reported in time; look and report what happened",
                    difference="without_receipt",
                )
            ]
        case "park_ttl":
            return _given_up(state, timer.due, context)
        case _:
            assert_never(timer.name)


def _undecided(state: ControlPointState, origin: str, context: Context) -> list[Event]:
    assert state.accepted is not None
    action = state.accepted.plan.on_timeout
    relative = state.decide_by_source in ("policy", OBJECTION_WINDOW)
    if action == "escalate" and relative and has_next_step(state):
        escalated = escalation(
            state,
            origin=origin,
            reason="timeout: nobody decided in time",
            now=context.now,
            start=context.window_start,
        )
        return escalated + until_eligible(after(state, escalated), context, origin=origin)
    if action == "defer" and relative and not state.deferred:
        return [_deferred(state, origin, context)]
    if action == "auto_reject":
        return _ended(state, origin, context.now, "decided", "reject", "timeout: auto_reject")
    if action == "cancel":
        return _ended(state, origin, context.now, "cancelled", "cancelled", "timeout: cancel")
    return _ended(state, origin, context.now, "expired", "expired", "timeout: nobody decided")


def _sla_warning(state: ControlPointState, origin: str, context: Context) -> Event:
    percent = next_sla_warning(state)
    assert percent is not None
    return task_changed(
        state,
        origin=origin,
        change="sla_warning",
        now=context.now,
        assigned_to=state.assigned_to,
        comment=f"{percent} % of the time to decide is gone",
        sla_percent=percent,
        lease_until=state.lease_until,
    )


def _lease_ended(state: ControlPointState, origin: str, context: Context) -> Event:
    return task_changed(
        state,
        origin=origin,
        change="released",
        now=context.now,
        comment=f"the claim of {state.assigned_to} ran out",
    )


def _exceptions_ended(
    state: ControlPointState, due: datetime, context: Context, origin: str
) -> list[Event]:
    return [
        exception_changed(state, one, context, "expired", origin=origin)
        for one in state.exceptions
        if not one.ended and one.terms.expires_at <= due
    ]


def _deferred(state: ControlPointState, origin: str, context: Context) -> Event:
    assert state.accepted is not None and state.status in ("pending", "escalated")
    status: InterruptStatus = "escalated" if state.status == "escalated" else "pending"
    due, source = decide_by(state, context.window_start, state.accepted.plan.decide_within_s)
    return status_changed(
        state,
        origin=origin,
        status=status,
        reason="timeout: deferred once",
        now=context.now,
        decide_by=due,
        decide_by_source=source,
        decide_from=context.window_start,
        deferred_until=context.now,
    )


def _ended(
    state: ControlPointState,
    origin: str,
    now: datetime,
    status: InterruptStatus,
    outcome: str,
    reason: str,
) -> list[Event]:
    ended = status_changed(
        state, origin=origin, status=status, outcome=outcome, reason=reason, now=now
    )
    closed = task_changed(
        state, origin=origin, change="closed", status="closed", now=now, comment=reason
    )
    denied = gate_changed(state, origin=origin, gate="denied", reason=outcome, now=now)
    return [ended, closed, *denied]


def _given_up(state: ControlPointState, due: datetime, context: Context) -> list[Event]:
    """Parked commands whose package did not come."""
    events: list[Event] = []
    for parked in [parked for parked in state.parked if parked.park_until <= due]:
        events.append(
            CommandUnparked(
                command_id=parked.command_id,
                origin=parked.origin,
                tenant_id=parked.tenant_id,
                decision_package_id=parked.decision_package_id,
            )
        )
        events.append(refused_parked(state, parked))
    return events


def refused_parked(state: ControlPointState, parked: CommandParked) -> CommandRefused:
    """The refusal of a command that waited for a package nobody asked for."""
    unknown: Failure = Failure(
        "UNKNOWN_PACKAGE",
        "no such package was requested within the time a command may wait; check the id",
    )
    return CommandRefused(
        event_id=derived_id(parked.origin, "refused"),
        tenant_id=parked.tenant_id,
        decision_package_id=parked.decision_package_id,
        command_id=parked.command_id,
        refused_type=parked.ce_type,
        reviewer_id=parked.signer_id,
        code=unknown.code,
        codes=[unknown.code],
        message=unknown.message,
        occurred_at=parked.appended_at,
    )

"""Deferring a decision: the clock stands still until a time or a condition (section 12).

Once a package version, within the policy's limit; an absolute end of the requester keeps running.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from core.authority import Failure
from core.calendar import working_time
from core.context import Context, Event
from core.deadlines import absolute_end, decide_by
from core.facts import status_changed, task_changed
from schemas.commands import HumanDecisionCommand
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import InterruptStatus


def refusal_of_deferral(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Failure]:
    """Why this deferral cannot be, if so."""
    assert state.accepted is not None
    condition = (command.defer_condition or "").strip()
    until, limit = command.defer_until, timedelta(seconds=state.accepted.plan.defer_max_s)
    end = absolute_end(state)
    if state.deferred:
        return [Failure("DECISION_NOT_ALLOWED", "it was deferred once; decide or escalate")]
    if until is None and not condition:
        message = "say until when (defer_until) or until what (defer_condition)"
        return [Failure("REASON_REQUIRED", message)]
    if until is not None and until <= context.now:
        return [Failure("DECISION_NOT_ALLOWED", "defer_until has passed; name a later time")]
    if until is not None and until > context.now + limit:
        message = (
            f"the policy defers by {state.accepted.plan.defer_max_s} s at most; name a time before"
        )
        return [Failure("DECISION_NOT_ALLOWED", message)]
    if end is not None and _until(state, command, context.now) >= end[0]:
        message = f"the {end[1]} of the request is {rfc3339(end[0])}; name a time before it"
        return [Failure("DECISION_NOT_ALLOWED", message)]
    return []


def deferred_by(
    state: ControlPointState, command: HumanDecisionCommand, context: Context, decision_id: str
) -> list[Event]:
    """The deferral: hidden until then, and the time that was left to decide begins again then."""
    assert state.decide_by is not None and state.decide_from is not None
    assert state.status in ("pending", "escalated")
    status: InterruptStatus = state.status
    until = _until(state, command, context.now)
    shift = until - context.now
    due, source, left = state.decide_by, state.decide_by_source, None
    if source == "policy":
        assert state.accepted is not None
        left = working_time(context.now, due, state.accepted.plan.calendar)
        due, source = decide_by(state, until, left.total_seconds())
    deferred = status_changed(
        state,
        origin=context.origin,
        status=status,
        reason=f"deferred by {command.reviewer_id}",
        now=context.now,
        decision_event_id=decision_id,
        decide_by=due,
        decide_by_source=source,
        decide_from=state.decide_from + shift,
        decide_left_us=left // timedelta(microseconds=1) if left is not None else None,
        deferred_until=until,
        defer_condition=command.defer_condition,
    )
    task = task_changed(
        state,
        origin=context.origin,
        change="deferred",
        now=context.now,
        due_at=until,
        actor=command.reviewer_id,
        comment=command.defer_condition,
    )
    return [deferred, task]


def resumed(
    state: ControlPointState,
    *,
    origin: str,
    now: datetime,
    actor: str | None = None,
    comment: str | None = None,
) -> Event:
    """The deferral ends: by its time, or earlier because its condition is met; then the time that
    was left to decide begins at once."""
    assert state.deferred_until is not None and state.decide_by is not None
    due = state.decide_by
    if now < state.deferred_until and state.decide_left_us is not None:
        due, _ = decide_by(state, now, state.decide_left_us / 1_000_000)
    return task_changed(
        state,
        origin=origin,
        change="resumed",
        now=now,
        due_at=due,
        actor=actor,
        comment=comment,
    )


def _until(state: ControlPointState, command: HumanDecisionCommand, now: datetime) -> datetime:
    """When it shows again at the latest: without a time, a condition has as long as the policy
    allows; with an absolute end, no longer than half of what is left."""
    assert state.accepted is not None
    if command.defer_until is not None:
        return command.defer_until
    longest = now + timedelta(seconds=state.accepted.plan.defer_max_s)
    end = absolute_end(state)
    return longest if end is None else min(longest, now + (end[0] - now) / 2)

"""The escalation ladder: role after role, each with its own time, then expiry (section 14)."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.authority import can_be_decided
from core.context import Context, Event
from core.evolve import evolve
from core.facts import status_changed, task_changed
from schemas.requests import InterruptRequested
from schemas.state import ControlPointState


def decide_by(request: InterruptRequested, start: datetime, within_s: int) -> tuple[datetime, str]:
    """The earliest of policy, `expires_at` and `deadline`, and which of them it is; at the same
    instant an absolute one, since no escalation could gain time."""
    candidates = []
    if request.expires_at is not None:
        candidates.append((request.expires_at, "expires_at"))
    if request.package.deadline is not None:
        candidates.append((request.package.deadline, "deadline"))
    candidates.append((start + timedelta(seconds=within_s), "policy"))
    return min(candidates, key=lambda candidate: candidate[0])


def has_next_step(state: ControlPointState) -> bool:
    """Whether the ladder goes on."""
    assert state.accepted is not None
    return state.ladder_step < len(state.accepted.plan.ladder)


def escalation(
    state: ControlPointState, *, origin: str, reason: str, now: datetime, start: datetime
) -> list[Event]:
    """The events of the next step of the ladder; `start` is where its time begins."""
    assert state.accepted is not None
    step = state.accepted.plan.ladder[state.ladder_step]
    due, source = decide_by(state.accepted.request, start, step.within_s)
    status = status_changed(
        state,
        origin=origin,
        status="escalated",
        reason=reason,
        now=now,
        required_role=step.role,
        decide_by=due,
        decide_by_source=source,
    )
    task = task_changed(
        state,
        origin=origin,
        change="escalated",
        status="open",
        now=now,
        required_role=step.role,
        due_at=due,
    )
    return [status, task]


def until_eligible(state: ControlPointState, context: Context, *, origin: str) -> list[Event]:
    """Escalations at once while nobody of today's directory could decide (NO_ELIGIBLE_REVIEWER)."""
    events: list[Event] = []
    while not can_be_decided(state, context.tenant, context.now) and has_next_step(state):
        step = escalation(
            state,
            origin=f"{origin}/ladder/{state.ladder_step}",
            reason="NO_ELIGIBLE_REVIEWER: nobody in the directory may decide at this step",
            now=context.now,
            start=context.window_start,
        )
        events += step
        state = after(state, step)
    return events


def after(state: ControlPointState, events: list[Event]) -> ControlPointState:
    """The state after events that leave the control point in being."""
    for event in events:
        following = evolve(state, event)
        assert following is not None
        state = following
    return state

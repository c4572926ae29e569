"""The escalation ladder: role after role, each with its own time, then expiry (section 14)."""

from __future__ import annotations

from datetime import datetime

from core.authority import can_be_decided
from core.context import Context, Event
from core.deadlines import decide_by
from core.evolve import evolve
from core.facts import status_changed, task_changed
from core.timers import OBJECTION_WINDOW
from schemas.state import ControlPointState


def has_next_step(state: ControlPointState) -> bool:
    """Whether the ladder goes on."""
    assert state.accepted is not None
    return state.ladder_step < len(state.accepted.plan.ladder)


def escalation(
    state: ControlPointState,
    *,
    origin: str,
    reason: str,
    now: datetime,
    start: datetime,
    decision_event_id: str | None = None,
    actor: str | None = None,
) -> list[Event]:
    """The events of the next step of the ladder; `start` is where its time begins. Whoever held the
    review task holds it no more."""
    assert state.accepted is not None
    step = state.accepted.plan.ladder[state.ladder_step]
    due, source = decide_by(state, start, step.within_s)
    status = status_changed(
        state,
        origin=origin,
        status="escalated",
        reason=reason,
        now=now,
        required_role=step.role,
        decision_event_id=decision_event_id,
        decide_by=due,
        decide_by_source=source,
        decide_from=start,
    )
    task = task_changed(
        state,
        origin=origin,
        change="escalated",
        now=now,
        required_role=step.role,
        due_at=due,
        actor=actor,
    )
    return [status, task]


def until_eligible(state: ControlPointState, context: Context, *, origin: str) -> list[Event]:
    """Escalations at once while nobody of today's directory could decide (NO_ELIGIBLE_REVIEWER);
    while an objection window runs nobody has to."""
    events: list[Event] = []
    if state.decide_by_source == OBJECTION_WINDOW:
        return events
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

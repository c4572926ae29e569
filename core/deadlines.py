"""When the time to decide ends: the earliest of policy, `expires_at` and `deadline`, and which it is."""

from __future__ import annotations

from datetime import datetime

from core.calendar import after_working_time
from schemas.state import ControlPointState


def absolute_end(state: ControlPointState) -> tuple[datetime, str] | None:
    """The end that the request itself sets, and which of its fields it is; None: none."""
    assert state.accepted is not None
    request = state.accepted.request
    candidates = []
    if request.expires_at is not None:
        candidates.append((request.expires_at, "expires_at"))
    if request.package.deadline is not None and not state.accepted.deadline_lifted:
        candidates.append((request.package.deadline, "deadline"))
    return min(candidates, key=lambda candidate: candidate[0], default=None)


def decide_by(state: ControlPointState, start: datetime, within_s: float) -> tuple[datetime, str]:
    """The earliest of policy, `expires_at` and `deadline`, and which of them it is; at the same
    instant an absolute one, since no escalation could gain time. Policy time is working time where
    the policy gives a calendar."""
    assert state.accepted is not None
    policy = after_working_time(start, within_s, state.accepted.plan.calendar)
    end = absolute_end(state)
    return end if end is not None and end[0] <= policy else (policy, "policy")

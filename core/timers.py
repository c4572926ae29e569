"""The timer table: every clock of a control point is a field of its state; this derives what is due.

A timer is never stored apart, so it cannot be lost or fire twice: firing changes the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from schemas.state import ControlPointState

TimerName = Literal["decide_by", "grant_valid_until", "execute_within", "park_ttl"]


@dataclass(frozen=True, slots=True)
class Timer:
    """A clock that runs: its name and when it is due."""

    name: TimerName
    due: datetime


def _decide_by(state: ControlPointState) -> datetime | None:
    return state.decide_by if state.status in ("pending", "escalated") else None


def _grant_valid_until(state: ControlPointState) -> datetime | None:
    return state.grant.valid_until if state.gate == "open" and state.grant else None


def _execute_within(state: ControlPointState) -> datetime | None:
    grant = state.grant
    if state.gate != "consumed" or grant is None or grant.receipt_type or grant.in_doubt:
        return None
    return grant.execute_by


def _park_ttl(state: ControlPointState) -> datetime | None:
    return min((parked.park_until for parked in state.parked), default=None)


TIMERS: Final[dict[TimerName, Callable[[ControlPointState], datetime | None]]] = {
    "decide_by": _decide_by,
    "grant_valid_until": _grant_valid_until,
    "execute_within": _execute_within,
    "park_ttl": _park_ttl,
}


def running(state: ControlPointState) -> list[Timer]:
    """The clocks that run, the next due first."""
    timers = [Timer(name, due) for name, of in TIMERS.items() if (due := of(state)) is not None]
    return sorted(timers, key=lambda timer: (timer.due, timer.name))


def next_due(state: ControlPointState) -> datetime | None:
    """When the next clock is due; None when none runs."""
    return next((timer.due for timer in running(state)), None)

"""The timer table: every clock of a control point is a field of its state; this derives what is due.

A timer is never stored apart, so it cannot be lost or fire twice: firing changes the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from core.calendar import after_working_time, working_time
from schemas.state import ControlPointState

TimerName = Literal[
    "decide_by",
    "objection_window",
    "sla_warning",
    "claim_lease",
    "deferral",
    "grant_valid_until",
    "execute_within",
    "exception_end",
    "park_ttl",
]
OBJECTION_WINDOW: Final = "objection_window"
"""The source of a `decide_by` at which the gate opens if nobody has objected."""
SLA_WARNINGS: Final = (50, 80)
"""Per cent of the time to decide at which a warning is given."""
_OPEN: Final = frozenset({"pending", "escalated"})


@dataclass(frozen=True, slots=True)
class Timer:
    """A clock that runs: its name and when it is due."""

    name: TimerName
    due: datetime


def _decide_by(state: ControlPointState) -> datetime | None:
    if state.status not in _OPEN or state.decide_by_source == OBJECTION_WINDOW:
        return None
    return state.decide_by


def _objection_window(state: ControlPointState) -> datetime | None:
    window = state.status in _OPEN and state.decide_by_source == OBJECTION_WINDOW
    return state.decide_by if window else None


def next_sla_warning(state: ControlPointState) -> int | None:
    """The per cent to warn of next; None after the last."""
    return next((percent for percent in SLA_WARNINGS if percent > state.sla_warned), None)


def _sla_warning(state: ControlPointState) -> datetime | None:
    percent = next_sla_warning(state)
    if (
        percent is None
        or state.status not in _OPEN
        or state.deferred_until is not None
        or state.decide_by is None
        or state.decide_from is None
    ):
        return None
    begun, ends = state.decide_from, state.decide_by
    calendar = state.accepted.plan.calendar if state.accepted else None
    working = working_time(begun, ends, calendar)
    if not working:  # an absolute end, and all of it outside the calendar
        return begun + (ends - begun) * percent / 100
    return after_working_time(begun, working.total_seconds() * percent / 100, calendar)


def _claim_lease(state: ControlPointState) -> datetime | None:
    return state.lease_until if state.status in _OPEN and state.assigned_to else None


def _deferral(state: ControlPointState) -> datetime | None:
    return state.deferred_until if state.status in _OPEN else None


def _exception_end(state: ControlPointState) -> datetime | None:
    return min((one.terms.expires_at for one in state.exceptions if not one.ended), default=None)


def _grant_valid_until(state: ControlPointState) -> datetime | None:
    return state.grant.valid_until if state.gate == "open" and state.grant else None


def _execute_within(state: ControlPointState) -> datetime | None:
    grant = state.grant
    if state.gate != "consumed" or grant is None or grant.receipt_type:
        return None
    if "without_receipt" in grant.differences:
        return None  # it was raised
    return grant.execute_by


def _park_ttl(state: ControlPointState) -> datetime | None:
    return min((parked.park_until for parked in state.parked), default=None)


TIMERS: Final[dict[TimerName, Callable[[ControlPointState], datetime | None]]] = {
    "decide_by": _decide_by,
    "objection_window": _objection_window,
    "sla_warning": _sla_warning,
    "claim_lease": _claim_lease,
    "deferral": _deferral,
    "exception_end": _exception_end,
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

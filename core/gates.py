"""How a gate opens: one place, so that nothing opens one by another way (requirements, section 22)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.context import Event
from core.facts import gate_changed, status_changed, task_changed
from core.identifiers import derived_id
from schemas.requests import ToolCall
from schemas.state import ControlPointState


def approved(
    state: ControlPointState,
    *,
    origin: str,
    reason: str,
    now: datetime,
    start: datetime,
    decision_event_ids: Sequence[str],
    actor: str | None = None,
    outcome: str = "approve",
    call: ToolCall | None = None,
) -> list[Event]:
    """The interrupt is decided, the task closed, the gate open with a grant; for `call` where an
    override chose another action than the package's.

    The grant ends at a whole second, since that is what its token can say (RFC 7519, `exp`): the
    executor's offline check and the task's own then never disagree about it.
    """
    assert state.accepted is not None
    valid = timedelta(seconds=state.accepted.plan.grant_valid_for_s)
    decided = status_changed(
        state,
        origin=origin,
        status="decided",
        outcome=outcome,
        reason=reason,
        now=now,
        decision_event_id=decision_event_ids[-1] if decision_event_ids else None,
    )
    closed = task_changed(
        state, origin=origin, change="closed", status="closed", now=now, actor=actor
    )
    opened = gate_changed(
        state,
        origin=origin,
        gate="opened",
        reason=reason,
        now=now,
        grant_id=derived_id(origin, "grant"),
        valid_until=(start + valid).replace(microsecond=0),
        decision_event_ids=decision_event_ids,
        call=call,
    )
    return [decided, closed, *opened]

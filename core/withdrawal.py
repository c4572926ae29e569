"""The requester takes its request back: `interrupt.cancelled`."""

from __future__ import annotations

from core.authority import Failure
from core.context import Context, Event
from core.facts import gate_changed, status_changed, task_changed
from core.lineage import is_first_signer
from core.refusals import refused
from core.transitions import Cell
from schemas.requests import InterruptCancelled
from schemas.state import ControlPointState


def cancel_received(
    state: ControlPointState, command: InterruptCancelled, context: Context, cell: Cell
) -> list[Event]:
    """Cancels an open interrupt; revokes an untaken grant; a taken one is past taking back."""
    failure = _failure(state, command, context, cell)
    if failure is not None:
        return [refused(state, command, context, [failure])]
    if cell == "withdraw":
        return list(
            gate_changed(
                state, origin=context.origin, gate="revoked", reason="cancelled", now=context.now
            )
        )
    cancelled = status_changed(
        state,
        origin=context.origin,
        status="cancelled",
        outcome="cancelled",
        reason=command.reason,
        now=context.now,
    )
    closed = task_changed(
        state,
        origin=context.origin,
        change="closed",
        status="closed",
        now=context.now,
        actor=command.requested_by,
    )
    denied = gate_changed(
        state, origin=context.origin, gate="denied", reason="cancelled", now=context.now
    )
    return [cancelled, closed, *denied]


def _failure(
    state: ControlPointState, command: InterruptCancelled, context: Context, cell: Cell
) -> Failure | None:
    accepted = state.accepted
    assert accepted is not None
    if not is_first_signer(accepted.lineage, command.requested_by, context):
        return Failure("NOT_REQUESTER", "only the agent that asked may cancel")
    if command.interrupt_id != accepted.request.interrupt_id:
        known = any(seen.interrupt_id == command.interrupt_id for seen in state.interrupts)
        message = f"the current interrupt is {accepted.request.interrupt_id}; cancel that one"
        return Failure("NOT_OPEN" if known else "UNKNOWN_PACKAGE", message)
    if cell == "withdraw" and state.gate == "consumed":
        return Failure("GRANT_TAKEN", "an executor has taken the grant; it cannot be taken back")
    if cell == "withdraw" and state.gate != "open":
        return Failure("NOT_OPEN", f"the interrupt is decided with {state.outcome}")
    return None

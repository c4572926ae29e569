"""The one door of the shell into the rules: judge an input, fire what is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from core.auditing import audit_opened
from core.authentication import Signer
from core.context import Context, Event, Input, ReviewerCommand
from core.decide import decide, not_admitted
from core.evolve import evolve
from core.replanning import replanned
from core.timeouts import timed_out, timer_origin
from core.timers import Timer, running
from schemas.events import CommandParked, CommandRefused, CommandUnparked
from schemas.registry import INPUT_TYPES
from schemas.state import ControlPointState

Verdict = Literal["recorded", "refused", "duplicate", "parked", "fired"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one input brought about. `state` None: the control point does not exist (any more)."""

    events: tuple[Event, ...]
    state: ControlPointState | None
    verdict: Verdict


def judge(state: ControlPointState | None, command: Input, context: Context) -> Step:
    """Judges one input, and after a request the commands that waited for it, in their order."""
    replan: list[Event] = []
    if state is not None and not_admitted(command, context) is None:
        replan = replanned(state, context)
        state = _folded(state, replan)
    judged = decide(state, command, context)
    verdict = _verdict(judged[0])
    state = _folded(state, judged)
    events = [*replan, *judged]
    if state is not None and state.status != "awaited":
        for parked in state.parked:
            released = [_unparked(parked)]
            state = _folded(state, released)
            assert state is not None
            judged = decide(state, _command_of(parked), _context_of(parked, context))
            state = _folded(state, judged)
            assert state is not None
            events += [*released, *judged]
    return _step(events, state, verdict, context)


def due_timer(state: ControlPointState, context: Context) -> Timer | None:
    """The clock to fire: due before everything that can still be read."""
    first = next(iter(running(state)), None)
    return first if first is not None and first.due < context.now else None


def fire(state: ControlPointState, context: Context) -> Step:
    """Fires the first clock that is due before `context.now`; no events when none is."""
    timer = due_timer(state, context)
    if timer is None:
        return Step((), state, "fired")
    events = timed_out(state, timer, context)
    # Clocks of many packages fire at one input: its coordinates alone would not tell them apart.
    context = replace(context, origin=timer_origin(state, timer))
    return _step(events, _folded(state, events), "fired", context)


def _step(
    events: list[Event], state: ControlPointState | None, verdict: Verdict, context: Context
) -> Step:
    """The step, with the audit of its decision if one is drawn."""
    audit = audit_opened(state, events, context) if state is not None else []
    return Step((*events, *audit), _folded(state, audit), verdict)


def _folded(state: ControlPointState | None, events: Iterable[Event]) -> ControlPointState | None:
    for event in events:
        state = evolve(state, event)
    return state


def _verdict(first: Event) -> Verdict:
    match first:
        case CommandRefused():
            return "duplicate" if first.code == "DUPLICATE_COMMAND" else "refused"
        case CommandParked():
            return "parked"
        case _:
            return "recorded"


def _unparked(parked: CommandParked) -> Event:
    return CommandUnparked(
        command_id=parked.command_id,
        origin=parked.origin,
        tenant_id=parked.tenant_id,
        decision_package_id=parked.decision_package_id,
    )


def _command_of(parked: CommandParked) -> ReviewerCommand:
    command = INPUT_TYPES[parked.ce_type].model_validate_json(parked.body_json)
    assert isinstance(command, ReviewerCommand)
    return command


def _context_of(parked: CommandParked, context: Context) -> Context:
    """A parked command is judged by its own append time and its own signature."""
    signer = None
    if parked.signer_id is not None and parked.kid is not None:
        signer = Signer(
            kid=parked.kid,
            kind=parked.signer_kind or "reviewer",
            subject=parked.signer_id,
            tenant_id=parked.tenant_id,
            sid=parked.sid,
            auth_time=parked.auth_time,
            amr=tuple(parked.amr),
        )
    return replace(
        context,
        now=parked.appended_at,
        origin=parked.origin,
        signer=signer,
        failure=None,
        signature_present=signer is not None,
    )

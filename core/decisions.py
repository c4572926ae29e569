"""Decisions: approve, reject, revise, request_more_evidence, escalate, defer, object
(requirements, sections 4, 8, 12).

The order of the checks is the order of the rules; up to ACTION_DIGEST_MISMATCH the first failure
stops, after it all are collected.
"""

from __future__ import annotations

from typing import Final

from core.authority import Failure, counted_approvals, failures, standing_approvals
from core.context import Context, Event
from core.deferral import deferred_by, refusal_of_deferral
from core.escalation import after, escalation, has_next_step, until_eligible
from core.evolve import approval_of
from core.exceptions import ended_exceptions
from core.facts import gate_changed, status_changed, task_changed
from core.gates import approved
from core.limits import APPROVALS_PER_VERSION_MAX
from core.overriding import confirmation_received, names_override, override_waits
from core.quorum import current_slots
from core.recording import decision_recorded
from core.refusals import key_answered
from core.standing import claim_of, other_version, out_of_time, refusal_of
from schemas.commands import HumanDecisionCommand
from schemas.events import HumanDecisionEvent, Quorum
from schemas.state import Approval, ControlPointState, Plan
from schemas.vocabulary import Routing

_ROUTING: Final[dict[str, Routing]] = {"revise": "drafting", "request_more_evidence": "evidence"}
_CLOSING: Final = frozenset({"reject", "revise", "request_more_evidence", "object"})
_DENYING: Final = frozenset({"reject", "object"})


def decision_received(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    """The events of an authenticated decision on an open interrupt."""
    stop = _stopping_failure(state, command, context)
    if stop is not None:
        return refusal_of(state, command, context, [stop])
    if names_override(state, command):
        return confirmation_received(state, command, context, _missing_words(command, state))
    found = _collected_failures(state, command, context)
    if found:
        return refusal_of(state, command, context, found)
    match command.decision:
        case "approve":
            return _approved(state, command, context)
        case "escalate":
            return _escalated(state, command, context)
        case "defer":
            return _deferred(state, command, context)
        case _:
            return _closed(state, command, context)


def objection_after(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    """A decision on what is decided: only an objection to what ran on the loop still counts, and
    only until an executor has taken the grant; it takes the gate back."""
    assert state.accepted is not None
    stop: Failure | None = None
    if command.decision != "object" or state.accepted.plan.mode != "on_the_loop":
        message = f"the interrupt is closed with {state.outcome}; nothing is to be decided any more"
        stop = Failure("NOT_OPEN", message)
    elif state.gate == "consumed":
        stop = Failure("GRANT_TAKEN", "an executor has taken the grant; it cannot be taken back")
    elif state.gate != "open":
        stop = Failure("NOT_OPEN", f"the gate is {state.gate}; there is nothing to take back")
    stop = stop or other_version(state, command) or _other_action(state, command)
    if stop is not None:
        return refusal_of(state, command, context, [stop])
    found = failures(state, claim_of(command, "object", context), context.tenant, context.now)
    if found:
        return refusal_of(state, command, context, found)
    event = _recorded(state, command, context, final=False)
    revoked = gate_changed(
        state,
        origin=context.origin,
        gate="revoked",
        reason="object",
        now=context.now,
        decision_event_ids=[event.event_id],
    )
    return [event, key_answered(command, context, event.event_id), *revoked]


def _stopping_failure(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> Failure | None:
    late = out_of_time(state, context)
    if command.decision == "object" and state.decide_by_source == "objection_window":
        late = (
            None  # the window's end opens the gate; an objection is never too late to keep it shut
        )
    return late or other_version(state, command) or _other_action(state, command)


def _other_action(state: ControlPointState, command: HumanDecisionCommand) -> Failure | None:
    assert state.accepted is not None
    digest = command.action_digest
    if digest is None or digest == state.accepted.action_digest or names_override(state, command):
        return None
    message = "the action is not the one you saw; read the package and decide again"
    return Failure("ACTION_DIGEST_MISMATCH", message)


def _collected_failures(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Failure]:
    claim = claim_of(command, command.decision, context)
    found = failures(state, claim, context.tenant, context.now)
    found += _not_allowed(state, command, context)
    found += _missing_words(command, state)
    if not found and len(state.approvals) >= APPROVALS_PER_VERSION_MAX:
        message = "too many approvals of this version lost their standing; send a new version"
        found.append(Failure("PACKAGE_FULL", message))
    return found


def _not_allowed(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Failure]:
    """DECISION_NOT_ALLOWED: what this control point, as it stands, does not offer."""
    assert state.accepted is not None
    mode, decision = state.accepted.plan.mode, command.decision
    said: str | None = None
    if decision == "object" and mode != "on_the_loop":
        said = f"an objection is for what runs on the loop; this is {mode}: reject it instead"
    elif decision in ("approve", "defer") and state.decide_by_source == "objection_window":
        said = "on the loop nobody approves: the gate opens unless somebody objects; object, reject or escalate"
    elif decision == "approve" and override_waits(state, context):
        said = (
            "an override waits for a second person: confirm it by its action_digest, or reject; the "
            "action it replaces is not approved meanwhile"
        )
    elif decision == "escalate" and not has_next_step(state):
        said = "the escalation ladder has no further step; decide, or let the time run out"
    elif decision == "approve" and (ended := ended_exceptions(state, context.tenant, context.now)):
        said = (
            f"it rests on the policy exception {', '.join(ended)}, which has ended; ask for a new "
            "one, or send a version that needs none"
        )
    elif decision == "defer":
        return refusal_of_deferral(state, command, context)
    return [Failure("DECISION_NOT_ALLOWED", said)] if said else []


def _missing_words(command: HumanDecisionCommand, state: ControlPointState) -> list[Failure]:
    """The comment or rationale that the decision lacks, if it does."""
    assert state.accepted is not None
    plan: Plan = state.accepted.plan
    comment = (command.comment or "").strip()
    rationale = (command.reviewer_rationale or "").strip()
    found = []
    if command.decision == "approve" and plan.comment_required and not comment:
        message = "approval at this risk needs a comment; add one"
        found.append(Failure("COMMENT_REQUIRED", message))
    if command.decision == "revise" and not comment:
        message = "say in the comment what the agent should change"
        found.append(Failure("COMMENT_REQUIRED", message))
    if command.decision == "request_more_evidence" and not (comment or _said(command)):
        message = "say what is missing, in evidence_requested or the comment"
        found.append(Failure("COMMENT_REQUIRED", message))
    if command.decision == "approve" and plan.mode == "human_led" and not rationale:
        message = "a human-led decision needs the reviewer's own rationale; fill reviewer_rationale"
        found.append(Failure("REASON_REQUIRED", message))
    return found


def _said(command: HumanDecisionCommand) -> bool:
    return any(line.strip() for line in command.evidence_requested)


def _recorded(
    state: ControlPointState,
    command: HumanDecisionCommand,
    context: Context,
    *,
    final: bool,
    **more: object,
) -> HumanDecisionEvent:
    return decision_recorded(
        state,
        command,
        context,
        command.decision,
        comment=command.comment,
        final=final,
        evidence_requested=command.evidence_requested,
        reviewer_rationale=command.reviewer_rationale,
        **more,
    )


def _counted_with(
    state: ControlPointState, decision: HumanDecisionEvent, context: Context
) -> list[Approval]:
    """The approvals that fill a slot, recounted by today's directory, this decision with them."""
    approvals = standing_approvals(state, context.tenant, context.now)
    if decision.decision == "approve":
        approvals.append(approval_of(decision))
    return counted_approvals(state, approvals, context.tenant, context.now)


def _with_quorum(
    state: ControlPointState, decision: HumanDecisionEvent, context: Context
) -> tuple[HumanDecisionEvent, list[Approval]]:
    counted, need = _counted_with(state, decision, context), len(current_slots(state))
    quorum = Quorum(have=len(counted), need=need)
    return decision.model_copy(update={"quorum": quorum}), counted


def _approved(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    standing = {one.event_id for one in standing_approvals(state, context.tenant, context.now)}
    void = [one.event_id for one in state.approvals if one.event_id not in standing]
    decision, counted = _with_quorum(
        state, _recorded(state, command, context, final=False, approvals_void=void), context
    )
    complete = decision.quorum.have == decision.quorum.need
    decision = decision.model_copy(update={"final": complete})
    events: list[Event] = [decision, key_answered(command, context, decision.event_id)]
    if not complete:
        return events
    ids = [approval.event_id for approval in counted]
    return events + approved(
        state,
        origin=context.origin,
        reason="approve",
        now=context.now,
        start=context.window_start,
        decision_event_ids=[*(own for own in ids if own != decision.event_id), decision.event_id],
        actor=command.reviewer_id,
    )


def _escalated(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    decision, _ = _with_quorum(state, _recorded(state, command, context, final=False), context)
    step = escalation(
        state,
        origin=context.origin,
        reason=f"escalated by {command.reviewer_id}",
        now=context.now,
        start=context.window_start,
        decision_event_id=decision.event_id,
        actor=command.reviewer_id,
    )
    events: list[Event] = [decision, key_answered(command, context, decision.event_id), *step]
    return events + until_eligible(after(state, events), context, origin=context.origin)


def _deferred(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    decision, _ = _with_quorum(
        state,
        _recorded(
            state,
            command,
            context,
            final=False,
            defer_until=command.defer_until,
            defer_condition=command.defer_condition,
        ),
        context,
    )
    return [
        decision,
        key_answered(command, context, decision.event_id),
        *deferred_by(state, command, context, decision.event_id),
    ]


def _closed(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    """What closes without approving: reject and object deny, the others go back to the agent."""
    assert command.decision in _CLOSING
    decision, _ = _with_quorum(state, _recorded(state, command, context, final=True), context)
    decided = status_changed(
        state,
        origin=context.origin,
        status="decided",
        outcome=command.decision,
        reason=f"{command.decision} by {command.reviewer_id}",
        now=context.now,
        decision_event_id=decision.event_id,
        routing=_ROUTING.get(command.decision),
    )
    closed = task_changed(
        state,
        origin=context.origin,
        change="closed",
        status="closed",
        now=context.now,
        actor=command.reviewer_id,
    )
    events: list[Event] = [decision, key_answered(command, context, decision.event_id)]
    events += [decided, closed]
    if command.decision not in _DENYING:
        return events
    denied = gate_changed(
        state,
        origin=context.origin,
        gate="denied",
        reason=command.decision,
        now=context.now,
        decision_event_ids=[decision.event_id],
    )
    return [*events, *denied]

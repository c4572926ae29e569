"""Override: a person of higher authority chooses another action than the system recommended
(requirements, section 11). Never silent: both actions and every reason stand in the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.actions import MEMORY_EFFECT, MEMORY_TOOL, digest_of
from core.authority import Claim, Failure, failures, identities_of, personal_failures
from core.context import Context, Event
from core.facts import gate_changed, status_changed, task_changed
from core.gates import approved
from core.needs import is_grave, override_role
from core.planning import meets_role, risk_rank, tool_row
from core.quorum import same_approver
from core.recording import decision_recorded
from core.refusals import key_answered
from core.standing import claim_of, other_version, out_of_time, refusal_of
from schemas.canonical import is_canonical
from schemas.commands import HumanDecisionCommand, HumanOverrideCommand
from schemas.events import HumanDecisionEvent, OverrideRecord, Quorum
from schemas.requests import ToolCall
from schemas.state import ControlPointState, PendingOverride


def override_received(
    state: ControlPointState, command: HumanOverrideCommand, context: Context
) -> list[Event]:
    """An override of an open interrupt. Low and medium risk, or one that opens nothing: decided.
    High and critical: it waits for a second person of that authority."""
    stop = out_of_time(state, context) or other_version(state, command)
    found = [stop] if stop else _failures(state, command, context)
    if found:
        return refusal_of(state, command, context, found)
    call = command.override_tool_call
    waits = call is not None and _is_grave(state, call, context)
    event = _recorded(state, command, context, waits=waits)
    events: list[Event] = [event, key_answered(command, context, event.event_id)]
    if waits:
        return events
    if call is None:
        return events + _nothing_opens(state, command, context, event.event_id)
    return events + approved(
        state,
        origin=context.origin,
        reason="override",
        now=context.now,
        start=context.window_start,
        decision_event_ids=[event.event_id],
        actor=command.reviewer_id,
        outcome="override",
        call=call,
    )


def names_override(state: ControlPointState, command: HumanDecisionCommand) -> bool:
    """Whether a decision is about the overriding action of an override that waits."""
    pending = state.override
    return (
        pending is not None
        and command.decision == "approve"
        and command.action_digest == pending.action_digest
    )


def override_waits(state: ControlPointState, context: Context) -> bool:
    """Whether an override waits for its second person, and who made it still may."""
    return state.override is not None and _still_stands(state, state.override, context)


def confirmation_received(
    state: ControlPointState,
    command: HumanDecisionCommand,
    context: Context,
    missing: Sequence[Failure],
) -> list[Event]:
    """An approval that names the overriding action: by another person of that authority it opens
    the gate for that action. `missing`: the words that the approval lacks."""
    pending = state.override
    assert pending is not None and pending.record.override_tool_call is not None
    found = [*_confirmation_failures(state, pending, command, context), *missing]
    if found:
        return refusal_of(state, command, context, found)
    event = decision_recorded(
        state,
        command,
        context,
        "approve",
        comment=command.comment,
        final=True,
        action_digest=pending.action_digest,
        quorum=Quorum(have=2, need=2),
        override=pending.record,
        reviewer_rationale=command.reviewer_rationale,
    )
    return [
        event,
        key_answered(command, context, event.event_id),
        *approved(
            state,
            origin=context.origin,
            reason="override",
            now=context.now,
            start=context.window_start,
            decision_event_ids=[pending.by.event_id, event.event_id],
            actor=command.reviewer_id,
            outcome="override",
            call=pending.record.override_tool_call,
        ),
    ]


def _failures(
    state: ControlPointState, command: HumanOverrideCommand, context: Context
) -> list[Failure]:
    found = failures(state, claim_of(command, "override", context), context.tenant, context.now)
    if not found:
        found += _tool_failures(state, command, context)
    if override_waits(state, context):
        message = "an override waits for its confirmation; approve or reject that one"
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    call = command.override_tool_call
    assert state.accepted is not None
    canonical = call is not None and is_canonical(call.args_json)
    if canonical and digest_of(call) == state.accepted.action_digest:
        message = "that is the action the package proposes; approve it instead"
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    words = {
        "override_reason": command.override_reason,
        "override_decision": command.override_decision,
        "original_recommendation": command.original_recommendation,
    }
    found += [
        Failure(
            "REASON_REQUIRED", f"{name} is empty; an override says what, instead of what, and why"
        )
        for name, text in words.items()
        if not text.strip()
    ]
    if not any(line.strip() for line in command.evidence_refs):
        message = "an override names the evidence it rests on; fill evidence_refs"
        found.append(Failure("EVIDENCE_REQUIRED", message))
    return found


def _tool_failures(
    state: ControlPointState, command: HumanOverrideCommand, context: Context
) -> list[Failure]:
    """What the tools table says about the overriding action, whatever was said of it."""
    call, policy = command.override_tool_call, context.tenant.policy
    if call is None or policy is None:
        return []
    if call.effect_type == MEMORY_EFFECT or call.tool_name == MEMORY_TOOL:
        message = "a memory is written from a package that says where it comes from; ask for one"
        return [Failure("DECISION_NOT_ALLOWED", message)]
    if not is_canonical(call.args_json):
        message = "override_tool_call.args_json is not RFC 8785 canonical JSON; canonicalise it"
        return [Failure("ARGS_NOT_CANONICAL", message)]
    row = tool_row(policy, call.tool_name)
    found = _unfit_for(state, call, [command.reviewer_id], context)
    if row is not None and row.effect_type != call.effect_type:
        message = (
            f"tool {call.tool_name} has the effect {row.effect_type}, not {call.effect_type}; "
            "declare the effect of the policy's table"
        )
        found.insert(0, Failure("EFFECT_MISMATCH", message))
    return found


def _unfit_for(
    state: ControlPointState, call: ToolCall, people: Iterable[str], context: Context
) -> list[Failure]:
    """MISSING_ROLE, RISK_ABOVE_LIMIT: what the overriding tool asks of who overrides and of who
    confirms, beyond what the package asks. A grave tool, or one that the table does not know, is
    for higher authority at whatever risk the package is."""
    policy = context.tenant.policy
    assert state.accepted is not None and policy is not None
    row, found = tool_row(policy, call.tool_name), []
    asked = {row.min_reviewer_role} if row is not None and row.min_reviewer_role else set()
    if row is None or risk_rank(row.min_risk) >= risk_rank("high"):
        asked.add(override_role(state.accepted.plan))
    for name in people:
        reviewer = context.tenant.reviewer(name, context.now)
        if reviewer is None:
            continue  # that is a failure of its own
        for role in sorted(asked):
            if not any(meets_role(policy.role_order, held, role) for held in reviewer.roles):
                message = f"tool {call.tool_name} asks for the role {role}, which {name} lacks"
                found.append(Failure("MISSING_ROLE", message))
        if row is not None and risk_rank(row.min_risk) > risk_rank(reviewer.max_risk_level):
            message = f"tool {call.tool_name} has the risk {row.min_risk}, above {name}'s ceiling"
            found.append(Failure("RISK_ABOVE_LIMIT", message))
    return found


def _is_grave(state: ControlPointState, call: ToolCall, context: Context) -> bool:
    """Whether the package or the overriding tool is high or critical; an unlisted tool is."""
    assert state.accepted is not None
    policy = context.tenant.policy
    row = tool_row(policy, call.tool_name) if policy else None
    return is_grave(state.accepted.plan) or row is None or risk_rank(row.min_risk) >= 2


def _recorded(
    state: ControlPointState, command: HumanOverrideCommand, context: Context, *, waits: bool
) -> HumanDecisionEvent:
    accepted = state.accepted
    assert accepted is not None
    return decision_recorded(
        state,
        command,
        context,
        "override",
        comment=command.override_reason,
        final=not waits,
        action_digest=digest_of(command.override_tool_call),
        quorum=Quorum(have=1, need=2 if waits else 1),
        override=OverrideRecord(
            original_recommendation=command.original_recommendation,
            override_decision=command.override_decision,
            override_reason=command.override_reason,
            evidence_refs=command.evidence_refs,
            original_action=accepted.request.package.proposed_action,
            original_action_digest=accepted.action_digest,
            override_tool_call=command.override_tool_call,
        ),
    )


def _confirmation_failures(
    state: ControlPointState,
    pending: PendingOverride,
    command: HumanDecisionCommand,
    context: Context,
) -> list[Failure]:
    """The authority of an override, held by another person, whose author still holds it too."""
    tenant, claim = context.tenant, claim_of(command, "override", context)
    found = failures(state, claim, tenant, context.now)
    call = pending.record.override_tool_call
    assert call is not None
    found += _unfit_for(state, call, sorted(claim.persons), context)
    people = identities_of(claim.persons, tenant)
    if people & identities_of(pending.by.persons, tenant):
        message = "who overrode does not confirm it; another person of that authority must"
        if not any(failure.code == "SEPARATION_OF_DUTIES" for failure in found):
            found.append(Failure("SEPARATION_OF_DUTIES", message))
    elif same_approver(people, claim.kid, claim.sid, pending.by):
        message = "the override was signed with the same key or session; use your own"
        found.append(Failure("DUPLICATE_APPROVER", message))
    if not _still_stands(state, pending, context):
        message = "who overrode no longer has the authority; override again"
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    return found


def _still_stands(state: ControlPointState, pending: PendingOverride, context: Context) -> bool:
    by, call = pending.by, pending.record.override_tool_call
    claim = Claim(by.reviewer_id, "override", None, by.kid, by.sid)
    assert call is not None
    return not (
        personal_failures(state, claim, context.tenant, context.now)
        or _unfit_for(state, call, by.persons, context)
    )


def _nothing_opens(
    state: ControlPointState, command: HumanOverrideCommand, context: Context, decision_id: str
) -> list[Event]:
    decided = status_changed(
        state,
        origin=context.origin,
        status="decided",
        outcome="override",
        reason=f"override by {command.reviewer_id}: {command.override_decision}",
        now=context.now,
        decision_event_id=decision_id,
    )
    closed = task_changed(
        state,
        origin=context.origin,
        change="closed",
        status="closed",
        now=context.now,
        actor=command.reviewer_id,
    )
    denied = gate_changed(
        state,
        origin=context.origin,
        gate="denied",
        reason="override",
        now=context.now,
        decision_event_ids=[decision_id],
    )
    return [decided, closed, *denied]

"""Decisions: approve, reject, revise, request_more_evidence (requirements, sections 4, 8, 12).

The order of the checks is the order of the rules; up to ACTION_DIGEST_MISMATCH the first failure
stops, after it all are collected.
"""

from __future__ import annotations

from typing import Final

from core.authority import (
    Claim,
    Failure,
    counted_approvals,
    failures,
    standing_approvals,
)
from core.context import Context, Event
from core.evolve import approval_of
from core.facts import gate_changed, status_changed, task_changed
from core.gates import approved
from core.identifiers import derived_id
from core.limits import APPROVALS_PER_VERSION_MAX
from core.quorum import current_slots
from core.refusals import BINDING, key_answered, refused
from schemas.commands import HumanDecisionCommand
from schemas.events import HumanDecisionEvent, Quorum
from schemas.state import Approval, ControlPointState, Plan
from schemas.vocabulary import Decision, Routing

OFFERED: Final[frozenset[Decision]] = frozenset(
    {"approve", "reject", "revise", "request_more_evidence"}
)
"""The decisions this release offers."""
_ROUTING: Final[dict[str, Routing]] = {"revise": "drafting", "request_more_evidence": "evidence"}


def decision_received(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Event]:
    """The events of an authenticated decision on an open interrupt."""
    stop = _stopping_failure(state, command, context)
    found = [stop] if stop else _collected_failures(state, command, context)
    if found:
        refusal = refused(state, command, context, found)
        if refusal.code not in BINDING:
            return [refusal]
        return [refusal, key_answered(command, context, refusal.event_id)]
    decision = _decision_event(state, command, context)
    approvals = _counted_with(state, decision, context)
    have, need = len(approvals), len(current_slots(state))
    final = command.decision != "approve" or have == need
    decision = decision.model_copy(update={"final": final, "quorum": Quorum(have=have, need=need)})
    events: list[Event] = [decision, key_answered(command, context, decision.event_id)]
    if command.decision == "approve" and final:
        return events + approved(
            state,
            origin=context.origin,
            reason="approve",
            now=context.now,
            start=context.window_start,
            decision_event_ids=[approval.event_id for approval in approvals],
            actor=command.reviewer_id,
        )
    return events + (_closed(state, command, context, decision.event_id) if final else [])


def _counted_with(
    state: ControlPointState, decision: HumanDecisionEvent, context: Context
) -> list[Approval]:
    """The approvals that fill a slot, this decision last if it is one."""
    approvals = standing_approvals(state, context.tenant, context.now)
    if decision.decision == "approve":
        approvals.append(approval_of(decision))
    return counted_approvals(state, approvals, context.tenant, context.now)


def _stopping_failure(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> Failure | None:
    accepted = state.accepted
    assert accepted is not None
    version = accepted.request.package.version
    if state.decide_by is not None and context.now > state.decide_by:
        return Failure("TOO_LATE", f"the time to decide ended at {state.decide_by.isoformat()}")
    if command.expected_package_version != version:
        message = f"the package stands at version {version}; read it and decide again"
        return Failure("STALE_PACKAGE_VERSION", message)
    if command.action_digest is not None and command.action_digest != accepted.action_digest:
        message = "the action is not the one you saw; read the package and decide again"
        return Failure("ACTION_DIGEST_MISMATCH", message)
    return None


def _collected_failures(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> list[Failure]:
    assert state.accepted is not None
    signer = context.signer
    claim = Claim(
        command.reviewer_id,
        command.decision,
        command.on_behalf_of,
        kid=signer.kid if signer else None,
        sid=signer.sid if signer else None,
    )
    found = failures(state, claim, context.tenant, context.now)
    if command.decision not in OFFERED:
        message = f"{command.decision} is not offered here; use one of {', '.join(sorted(OFFERED))}"
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    found += _missing_words(command, state.accepted.plan)
    if not found and len(state.approvals) >= APPROVALS_PER_VERSION_MAX:
        message = "too many approvals of this version lost their standing; send a new version"
        found.append(Failure("PACKAGE_FULL", message))
    return found


def _missing_words(command: HumanDecisionCommand, plan: Plan) -> list[Failure]:
    """The comment or rationale that the decision lacks, if it does."""
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


def _decision_event(
    state: ControlPointState, command: HumanDecisionCommand, context: Context
) -> HumanDecisionEvent:
    """The event, before it is known how far the quorum is with it."""
    accepted = state.accepted
    assert accepted is not None
    request = accepted.request
    reviewer = context.tenant.reviewer(command.reviewer_id, context.now)
    assert reviewer is not None
    return HumanDecisionEvent(
        event_id=derived_id(context.origin, "decision"),
        tenant_id=state.tenant_id,
        run_id=request.run_id,
        interrupt_id=request.interrupt_id,
        decision_package_id=state.decision_package_id,
        reviewer_id=command.reviewer_id,
        decision=command.decision,
        comment=command.comment,
        policy_version=accepted.plan.policy_version,
        occurred_at=context.now,
        command_id=command.command_id,
        final=False,
        package_version=request.package.version,
        package_digest=accepted.package_digest,
        action_digest=accepted.action_digest,
        quorum=Quorum(have=0, need=len(current_slots(state))),
        reviewer_roles=reviewer.roles,
        on_behalf_of=command.on_behalf_of,
        kid=context.signer.kid if context.signer else None,
        sid=context.signer.sid if context.signer else None,
        thread_id=request.thread_id,
        checkpoint_id=request.checkpoint_id,
        evidence_requested=command.evidence_requested,
        reviewer_rationale=command.reviewer_rationale,
    )


def _closed(
    state: ControlPointState, command: HumanDecisionCommand, context: Context, decision_id: str
) -> list[Event]:
    """What a final decision other than approve closes: reject denies, the others go back."""
    decided = status_changed(
        state,
        origin=context.origin,
        status="decided",
        outcome=command.decision,
        reason=f"{command.decision} by {command.reviewer_id}",
        now=context.now,
        decision_event_id=decision_id,
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
    if command.decision != "reject":
        return [decided, closed]
    denied = gate_changed(
        state,
        origin=context.origin,
        gate="denied",
        reason="reject",
        now=context.now,
        decision_event_ids=[decision_id],
    )
    return [decided, closed, *denied]

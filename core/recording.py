"""The one shape of `human.decision_recorded`: what every recorded act says of itself (section 9)."""

from __future__ import annotations

from core.context import Context, ReviewerCommand
from core.exceptions import exceptions_used
from core.identifiers import derived_id
from core.quorum import current_slots
from schemas.commands import HumanDecisionCommand
from schemas.events import HumanDecisionEvent, Quorum
from schemas.state import ControlPointState
from schemas.vocabulary import RecordedDecision


def decision_recorded(
    state: ControlPointState,
    command: ReviewerCommand,
    context: Context,
    decision: RecordedDecision,
    *,
    comment: str | None,
    **more: object,
) -> HumanDecisionEvent:
    """The event of an act that was allowed; `more`: the fields of this act alone. Not final and
    with no slot filled unless `more` says otherwise."""
    accepted = state.accepted
    assert accepted is not None
    request = accepted.request
    reviewer = context.tenant.reviewer(command.reviewer_id, context.now)
    assert reviewer is not None
    shown = next((p for p in state.presented if p.reviewer_id == command.reviewer_id), None)
    principal = command.on_behalf_of if isinstance(command, HumanDecisionCommand) else None
    fields: dict[str, object] = {
        "event_id": derived_id(context.origin, "decision"),
        "tenant_id": state.tenant_id,
        "run_id": request.run_id,
        "interrupt_id": request.interrupt_id,
        "decision_package_id": state.decision_package_id,
        "reviewer_id": command.reviewer_id,
        "decision": decision,
        "comment": comment,
        "policy_version": accepted.plan.policy_version,
        "occurred_at": context.now,
        "command_id": command.command_id,
        "final": False,
        "package_version": request.package.version,
        "package_digest": accepted.package_digest,
        "action_digest": accepted.action_digest,
        "quorum": Quorum(have=0, need=len(current_slots(state))),
        "exceptions_used": exceptions_used(state, context.now),
        "reviewer_roles": reviewer.roles,
        "on_behalf_of": principal,
        "presented_at": shown.presented_at if shown else None,
        "presented_digest": shown.presented_digest if shown else None,
        "kid": context.signer.kid if context.signer else None,
        "sid": context.signer.sid if context.signer else None,
        "auth_time": context.signer.auth_time if context.signer else None,
        "amr": list(context.signer.amr) if context.signer else [],
        "thread_id": request.thread_id,
        "checkpoint_id": request.checkpoint_id,
        "authority_transition": accepted.plan.authority_transition,
    }
    return HumanDecisionEvent.model_validate(fields | more)

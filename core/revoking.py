"""Revoking an open gate: by who approved it or somebody above, until it is taken."""

from __future__ import annotations

from core.authority import Failure, failures, identities_of
from core.context import Context, Event
from core.facts import gate_changed
from core.grants import approvals_behind
from core.planning import meets_role
from core.quorum import current_slots
from core.recording import decision_recorded
from core.refusals import key_answered
from core.standing import claim_of, other_version, refusal_of
from schemas.commands import GrantRevocationCommand
from schemas.headers import rfc3339
from schemas.state import ControlPointState


def revocation_received(
    state: ControlPointState, command: GrantRevocationCommand, context: Context
) -> list[Event]:
    """The gate is revoked, or it is said why it cannot be any more."""
    stop = other_version(state, command) or _ended(state, command, context)
    if stop is not None:
        return refusal_of(state, command, context, [stop])
    found = failures(state, claim_of(command, "revoke", context), context.tenant, context.now)
    if not any(failure.code == "UNKNOWN_REVIEWER" for failure in found):
        found += _rank_failure(state, command, context)
    if not command.reason.strip():
        found.append(Failure("REASON_REQUIRED", "say why the grant is taken back"))
    if found:
        return refusal_of(state, command, context, found)
    assert state.grant is not None
    event = decision_recorded(
        state,
        command,
        context,
        "revoke",
        comment=command.reason,
        action_digest=state.grant.action_digest,
        grant_id=state.grant.grant_id,
    )
    revoked = gate_changed(
        state,
        origin=context.origin,
        gate="revoked",
        reason="revoke",
        now=context.now,
        decision_event_ids=[event.event_id],
    )
    return [event, key_answered(command, context, event.event_id), *revoked]


def _ended(
    state: ControlPointState, command: GrantRevocationCommand, context: Context
) -> Failure | None:
    grant = state.grant
    if grant is None or (command.grant_id is not None and command.grant_id != grant.grant_id):
        return Failure("UNKNOWN_GRANT", "the package has no such grant; read its latest gate event")
    if state.gate == "consumed":
        return Failure("GRANT_TAKEN", "an executor has taken the grant; it cannot be taken back")
    if state.gate == "revoked":
        return Failure("GRANT_REVOKED", "the grant is revoked already")
    if state.gate != "open" or context.now > grant.valid_until:
        return Failure("GRANT_EXPIRED", f"the grant ended at {rfc3339(grant.valid_until)}")
    return None


def _rank_failure(
    state: ControlPointState, command: GrantRevocationCommand, context: Context
) -> list[Failure]:
    """MISSING_ROLE: neither an approver of the grant nor above the role that was asked. Where
    policy or a window opened the gate, the role that was asked will do."""
    assert state.accepted is not None and state.grant is not None
    reviewer = context.tenant.reviewer(command.reviewer_id, context.now)
    assert reviewer is not None
    people = identities_of([command.reviewer_id], context.tenant)
    approvals = approvals_behind(state.grant.decision_event_ids, state)
    if any(people & set(approval.persons) for approval in approvals):
        return []
    order, slots = state.accepted.plan.role_order, current_slots(state)
    nobody_decided = not state.grant.decision_event_ids
    if any(
        meets_role(order, held, slot.role)
        and (nobody_decided or held != slot.role or held == order[-1])
        for held in reviewer.roles
        for slot in slots
    ):
        return []
    asked = ", ".join(sorted({slot.role for slot in slots}))
    message = f"{reviewer.reviewer_id} did not approve it and holds no role above {asked}"
    return [Failure("MISSING_ROLE", message)]

"""Who may: the ordered checks of a reviewer against a control point (requirements, sections 8, 15).

Identity comes from the verified signature, authority from the reviewer directory of today; never
from the message or a model. Every rule that fails is named, in the order of the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.directory import TenantContext
from core.lineage import barred
from core.planning import meets_role, risk_rank
from core.quorum import Approver, current_slots, same_approver, seated
from schemas.directory import ReviewerAuthorization
from schemas.requests import DecisionPackage
from schemas.state import Approval, ControlPointState, Plan, Slot
from schemas.vocabulary import Code, Decision


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that failed: its code and a sentence that says what to mend."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person wants to do at a control point, and the credential that shows who it is.

    kid: thumbprint of the key that signed. sid: the session, where the key is a gateway's; a
    personal key has none. Both None: unsigned, where that is allowed.
    """

    reviewer_id: str
    decision: Decision
    on_behalf_of: str | None = None
    kid: str | None = None
    sid: str | None = None

    @property
    def persons(self) -> frozenset[str]:
        """The people it counts as: delegate and principal count as one person."""
        return frozenset({self.reviewer_id, *([self.on_behalf_of] if self.on_behalf_of else [])})


def failures(
    state: ControlPointState, claim: Claim, tenant: TenantContext, now: datetime
) -> list[Failure]:
    """Every personal rule that fails, from UNKNOWN_REVIEWER to NO_OPEN_SLOT, in order."""
    found = _personal_failures(state, claim, tenant, now)
    if claim.decision == "approve":
        found += _approval_failures(state, claim, tenant, now, found)
    return found


def standing_approvals(
    state: ControlPointState, tenant: TenantContext, now: datetime
) -> list[Approval]:
    """The approvals of people who could still give them today."""
    return [
        approval
        for approval in state.approvals
        if not _personal_failures(state, _claim_of(approval), tenant, now)
    ]


def counted_approvals(
    state: ControlPointState, approvals: Sequence[Approval], tenant: TenantContext, now: datetime
) -> list[Approval]:
    """Those of the approvals that fill a slot, one slot a person, as many slots as can be."""
    assert state.accepted is not None
    approvers = [_approver(_claim_of(approval), tenant, now) for approval in approvals]
    chosen = seated(current_slots(state), approvers, state.accepted.plan.role_order)
    return [approvals[index] for index in chosen]


def can_be_decided(state: ControlPointState, tenant: TenantContext, now: datetime) -> bool:
    """Whether the people of today could fill the slots at all."""
    assert state.accepted is not None
    slots = current_slots(state)
    eligible = [
        Approver(person)
        for person in tenant.reviewers.values()
        if not _personal_failures(state, Claim(person.reviewer_id, "approve"), tenant, now)
    ]
    return len(seated(slots, eligible, state.accepted.plan.role_order)) == len(slots)


def _personal_failures(
    state: ControlPointState, claim: Claim, tenant: TenantContext, now: datetime
) -> list[Failure]:
    """UNKNOWN_REVIEWER to CONFLICT_OF_INTEREST: what does not depend on other people's approvals."""
    accepted = state.accepted
    assert accepted is not None
    reviewer = tenant.reviewer(claim.reviewer_id, now)
    if reviewer is None:
        return [
            Failure(
                "UNKNOWN_REVIEWER",
                f"{claim.reviewer_id} is not an active reviewer of {state.tenant_id}; "
                "add them with `reviewers apply`",
            )
        ]
    plan, slots = accepted.plan, current_slots(state)
    found = _standing(reviewer, claim.decision, plan, slots)
    principal = tenant.reviewer(claim.on_behalf_of, now) if claim.on_behalf_of else None
    if claim.on_behalf_of and not _delegated(principal, claim, plan, slots, now):
        found.append(
            Failure(
                "DELEGATION_INVALID",
                f"{claim.on_behalf_of} has no delegation to {claim.reviewer_id} in force that "
                "covers this; add it to the directory or decide in your own name",
            )
        )
    people = claim.persons & barred(accepted.lineage)
    if people:
        found.append(
            Failure(
                "SEPARATION_OF_DUTIES",
                f"{', '.join(sorted(people))} requested, drafted or owns this package; "
                "another reviewer must decide",
            )
        )
    conflict = _conflict(accepted.request.package, [r for r in (reviewer, principal) if r])
    if conflict:
        found.append(
            Failure(
                "CONFLICT_OF_INTEREST",
                f"a declared conflict with {conflict}; another reviewer must decide",
            )
        )
    return found


def _approval_failures(
    state: ControlPointState,
    claim: Claim,
    tenant: TenantContext,
    now: datetime,
    found: Sequence[Failure],
) -> list[Failure]:
    """DUPLICATE_APPROVER, or NO_OPEN_SLOT for a person who has role and scope."""
    standing = standing_approvals(state, tenant, now)
    if any(same_approver(claim.persons, claim.kid, claim.sid, approval) for approval in standing):
        return [
            Failure(
                "DUPLICATE_APPROVER",
                f"{claim.reviewer_id}, their principal, key or session has approved this version; "
                "another person must fill the next slot",
            )
        ]
    not_seatable = {"UNKNOWN_REVIEWER", "MISSING_ROLE", "MISSING_SCOPE", "DELEGATION_INVALID"}
    if any(failure.code in not_seatable for failure in found):
        return []
    assert state.accepted is not None
    slots, order = current_slots(state), state.accepted.plan.role_order
    before = [_approver(_claim_of(approval), tenant, now) for approval in standing]
    after = [*before, _approver(claim, tenant, now)]
    if len(seated(slots, after, order)) > len(seated(slots, before, order)):
        return []
    message = "no free slot of the quorum fits this person's role, scope and team"
    return [Failure("NO_OPEN_SLOT", message)]


def _approver(claim: Claim, tenant: TenantContext, now: datetime) -> Approver:
    reviewer = tenant.reviewer(claim.reviewer_id, now)
    assert reviewer is not None
    principal = tenant.reviewer(claim.on_behalf_of, now) if claim.on_behalf_of else None
    return Approver(reviewer, principal)


def _claim_of(approval: Approval) -> Claim:
    principal = next((name for name in approval.persons if name != approval.reviewer_id), None)
    return Claim(approval.reviewer_id, "approve", principal, approval.kid, approval.sid)


def _standing(
    reviewer: ReviewerAuthorization, decision: Decision, plan: Plan, slots: list[Slot]
) -> list[Failure]:
    """MISSING_SCOPE, MISSING_ROLE, RISK_ABOVE_LIMIT: what one person holds."""
    found = []
    approves = decision == "approve"
    wanted = {slot.scope for slot in slots} if approves else {f"{plan.subject}:{decision}"}
    if not wanted & set(reviewer.scopes):
        names = " or ".join(sorted(wanted))
        found.append(Failure("MISSING_SCOPE", f"{reviewer.reviewer_id} lacks the scope {names}"))
    order = plan.role_order
    if not any(meets_role(order, role, slot.role) for role in reviewer.roles for slot in slots):
        names = ", ".join(sorted({slot.role for slot in slots}))
        found.append(
            Failure("MISSING_ROLE", f"{reviewer.reviewer_id} holds no role that is asked: {names}")
        )
    if risk_rank(plan.effective_risk) > risk_rank(reviewer.max_risk_level):
        found.append(
            Failure(
                "RISK_ABOVE_LIMIT",
                f"the risk is {plan.effective_risk}; {reviewer.reviewer_id} may decide up to "
                f"{reviewer.max_risk_level}",
            )
        )
    return found


def _delegated(
    principal: ReviewerAuthorization | None,
    claim: Claim,
    plan: Plan,
    slots: list[Slot],
    now: datetime,
) -> bool:
    """Whether the principal lent authority to the claimant, now, and has it to lend."""
    return (
        principal is not None
        and any(
            lent.to == claim.reviewer_id and lent.valid_from <= now <= lent.valid_until
            for lent in principal.delegates
        )
        and not _standing(principal, claim.decision, plan, slots)
    )


def _conflict(package: DecisionPackage, people: list[ReviewerAuthorization]) -> str | None:
    entities = {f"{package.subject_type}:{package.subject_id}", *package.subject_relations}
    return next(
        (entity for person in people for entity in person.conflicts if entity in entities), None
    )

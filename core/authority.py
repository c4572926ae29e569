"""Who may: the ordered checks of a reviewer against a control point (requirements, sections 8, 15).

Identity comes from the verified signature, authority from the reviewer directory of today; never
from the message or a model. Every rule that fails is named, in the order of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.directory import TenantContext
from core.lineage import barred
from core.needs import Act, Need, need_of
from core.planning import meets_role, risk_rank
from core.quorum import Approver, current_slots, fits, same_approver, seated
from schemas.directory import ReviewerAuthorization
from schemas.headers import rfc3339
from schemas.requests import DecisionPackage
from schemas.state import Approval, ControlPointState, Plan
from schemas.vocabulary import Code

_HELD: Final[frozenset[Act]] = frozenset(
    {"approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "claim"}
)
"""Acts that only the holder of a held review task may do."""
_BRAKES: Final[frozenset[Act]] = frozenset(
    {"object", "revoke", "revoke_exception", "assign", "take_part", "claim"}
)
"""Acts that stop something or decide nothing: nobody is too busy for them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that failed: its code and a sentence that says what to mend."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Session:
    """A login at an identity provider that a gateway vouches for: when, and how (RFC 8176)."""

    auth_time: datetime | None
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person wants to do at a control point, and the credential that shows who it is.

    kid: thumbprint of the key that signed. sid, session: where the key is a gateway's; a personal
    key has none. All None: unsigned, where that is allowed.
    """

    reviewer_id: str
    act: Act
    on_behalf_of: str | None = None
    kid: str | None = None
    sid: str | None = None
    session: Session | None = None

    @property
    def persons(self) -> frozenset[str]:
        """The people it counts as: delegate and principal count as one person."""
        return frozenset({self.reviewer_id, *([self.on_behalf_of] if self.on_behalf_of else [])})


def failures(
    state: ControlPointState, claim: Claim, tenant: TenantContext, now: datetime
) -> list[Failure]:
    """Every personal rule that fails, from UNKNOWN_REVIEWER to NOT_ASSIGNEE, in order, and at its
    end DECISION_NOT_ALLOWED for who has decided enough for this hour, or whose session does not do."""
    found = personal_failures(state, claim, tenant, now)
    reviewer = tenant.reviewer(claim.reviewer_id, now)
    until = is_absent(reviewer, now) if reviewer is not None else None
    if until is not None:
        message = (
            f"{claim.reviewer_id} is absent until {rfc3339(until)}; the delegate may decide, or "
            "end the absence in the directory"
        )
        found.insert(0, Failure("UNKNOWN_REVIEWER", message))
    if claim.act == "approve":
        found += _approval_failures(state, claim, tenant, now, found)
    holder = present_holder(state, tenant, now) if claim.act in _HELD else None
    if holder is not None and holder not in identities_of(claim.persons, tenant):
        message = f"{holder} holds the review task; ask them to release it, or assign it anew"
        found.append(Failure("NOT_ASSIGNEE", message))
    known = identities_of([claim.reviewer_id], tenant)
    caps = [tenant.caps[name] for name in sorted(known) if name in tenant.caps]
    cap = max(caps, key=lambda one: one.capped_until, default=None)
    if cap is not None and claim.act not in _BRAKES and now < cap.capped_until:
        message = (
            f"{claim.reviewer_id} has decided {cap.decided} packages within the hour, as many as "
            f"the policy allows; decide again after {rfc3339(cap.capped_until)}"
        )
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    if claim.session is not None and claim.act not in _BRAKES:
        assert state.accepted is not None
        found += _session_failures(claim.session, state.accepted.plan, now)
    return found


def _session_failures(session: Session, plan: Plan, now: datetime) -> list[Failure]:
    """DECISION_NOT_ALLOWED for what came through a gateway and is not enough here. The sender is
    proven, and may do other things with this very key: so it is not UNAUTHENTICATED."""
    said: str | None = None
    missing = [method for method in plan.session_amr if method not in session.amr]
    if plan.personal_keys:
        said = (
            f"at {plan.effective_risk} risk the policy takes only keys of one's own, not a "
            "gateway's; sign with your personal key"
        )
    elif missing:
        said = f"the session's login lacks {', '.join(missing)} (amr); log in again with it"
    elif plan.session_max_age_s is not None and session.auth_time is None:
        said = "the gateway does not say when you logged in (auth_time); it must, here"
    elif plan.session_max_age_s is not None and session.auth_time is not None:
        end = session.auth_time + timedelta(seconds=plan.session_max_age_s)
        if now > end:
            said = f"the session was too old since {rfc3339(end)}; log in again"
    return [Failure("DECISION_NOT_ALLOWED", said)] if said else []


def holder_of(state: ControlPointState, now: datetime) -> str | None:
    """Who holds the review task; a claim ends with its lease."""
    if state.lease_until is not None and now > state.lease_until:
        return None
    return state.assigned_to


def present_holder(state: ControlPointState, tenant: TenantContext, now: datetime) -> str | None:
    """Who holds the review task and is there: who has left or is absent holds up nobody."""
    holder = holder_of(state, now)
    reviewer = tenant.reviewer(holder, now) if holder is not None else None
    return holder if reviewer is not None and is_absent(reviewer, now) is None else None


def standing_approvals(
    state: ControlPointState, tenant: TenantContext, now: datetime
) -> list[Approval]:
    """The approvals of people who could still give them today; of those whom the directory has come
    to know as one person, the first."""
    standing, people = [], frozenset[str]()
    for approval in state.approvals:
        if people & set(approval.persons):
            continue
        if not personal_failures(state, _claim_of(approval), tenant, now):
            standing.append(approval)
            people |= identities_of(approval.persons, tenant)
    return standing


def counted_approvals(
    state: ControlPointState, approvals: Sequence[Approval], tenant: TenantContext, now: datetime
) -> list[Approval]:
    """Those of the approvals that fill a slot, one slot a person, as many slots as can be."""
    assert state.accepted is not None
    approvers = [_approver(_claim_of(approval), tenant, now) for approval in approvals]
    chosen = seated(current_slots(state), approvers, state.accepted.plan.role_order)
    return [approvals[index] for index in chosen]


def can_be_decided(state: ControlPointState, tenant: TenantContext, now: datetime) -> bool:
    """Whether the people of today could fill the slots at all; who is absent is not there. Of a
    person's several ids the one that fits most slots counts."""
    assert state.accepted is not None
    slots, order = current_slots(state), state.accepted.plan.role_order
    eligible: dict[frozenset[str], Approver] = {}
    for person in tenant.reviewers.values():
        claim = Claim(person.reviewer_id, "approve")
        if is_absent(person, now) or personal_failures(state, claim, tenant, now):
            continue
        known, one = identities_of(claim.persons, tenant), Approver(person)
        fitting = [
            sum(fits(slot, approver, order) for slot in slots)
            for approver in (eligible.get(known), one)
            if approver is not None
        ]
        if fitting[-1] > fitting[0] or known not in eligible:
            eligible[known] = one
    return len(seated(slots, list(eligible.values()), order)) == len(slots)


def personal_failures(
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
    plan, need = accepted.plan, need_of(state, claim.act)
    found = _standing(reviewer, need, plan)
    principal = tenant.reviewer(claim.on_behalf_of, now) if claim.on_behalf_of else None
    if claim.on_behalf_of and not _delegated(principal, claim, need, plan, now):
        found.append(
            Failure(
                "DELEGATION_INVALID",
                f"{claim.on_behalf_of} has no delegation to {claim.reviewer_id} in force that "
                "covers this; add it to the directory or decide in your own name",
            )
        )
    if need.independent:
        found += _dependence(state, claim, tenant)
    return found


def _dependence(state: ControlPointState, claim: Claim, tenant: TenantContext) -> list[Failure]:
    """SEPARATION_OF_DUTIES, CONFLICT_OF_INTEREST: what ties a person, under whatever id, to the
    package."""
    assert state.accepted is not None
    found = []
    identities = identities_of(claim.persons, tenant)
    people = [tenant.reviewers[name] for name in sorted(identities) if name in tenant.reviewers]
    tied = identities & barred(state.accepted.lineage)
    if tied:
        found.append(
            Failure(
                "SEPARATION_OF_DUTIES",
                f"{', '.join(sorted(tied))} requested, drafted or owns this package; "
                "another reviewer must decide",
            )
        )
    conflict = _conflict(state.accepted.request.package, people)
    if conflict:
        found.append(
            Failure(
                "CONFLICT_OF_INTEREST",
                f"a declared conflict with {conflict}; another reviewer must decide",
            )
        )
    recused = identities & set(state.recused)
    if recused and not conflict:
        message = f"{', '.join(sorted(recused))} stepped aside; another reviewer must decide"
        found.append(Failure("CONFLICT_OF_INTEREST", message))
    return found


def identities_of(persons: Iterable[str], tenant: TenantContext) -> frozenset[str]:
    """The people under every id they are known to have: linked identities are one person."""
    names = frozenset(persons)
    return names.union(*(tenant.identities.get(name, frozenset()) for name in names))


def is_absent(reviewer: ReviewerAuthorization, now: datetime) -> datetime | None:
    """Until when the reviewer is absent; None: they are there."""
    ends = [a.valid_until for a in reviewer.absences if a.valid_from <= now <= a.valid_until]
    return max(ends, default=None)


def _approval_failures(
    state: ControlPointState,
    claim: Claim,
    tenant: TenantContext,
    now: datetime,
    found: Sequence[Failure],
) -> list[Failure]:
    """DUPLICATE_APPROVER, or NO_OPEN_SLOT for a person who has role and scope."""
    standing = standing_approvals(state, tenant, now)
    people = identities_of(claim.persons, tenant)
    if any(same_approver(people, claim.kid, claim.sid, approval) for approval in standing):
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
    filled = len(seated(slots, before, order))
    # A new plan can ask for fewer than have approved: then one more word of anyone who may closes it.
    if filled == len(slots) or len(seated(slots, after, order)) > filled:
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


def _standing(reviewer: ReviewerAuthorization, need: Need, plan: Plan) -> list[Failure]:
    """MISSING_SCOPE, MISSING_ROLE, RISK_ABOVE_LIMIT: what one person holds."""
    found = []
    held = set(reviewer.scopes)
    if need.subject is not None:
        own = any(scope.startswith(f"{need.subject}:") for scope in held)
        if not own and not need.scopes & held:
            message = f"{reviewer.reviewer_id} has no scope of {need.subject}"
            found.append(Failure("MISSING_SCOPE", message))
    elif not need.scopes & held:
        names = " or ".join(sorted(need.scopes))
        found.append(Failure("MISSING_SCOPE", f"{reviewer.reviewer_id} lacks the scope {names}"))
    order = plan.role_order
    if need.roles is not None and not any(
        meets_role(order, held_role, role) for held_role in reviewer.roles for role in need.roles
    ):
        names = ", ".join(sorted(need.roles))
        found.append(
            Failure("MISSING_ROLE", f"{reviewer.reviewer_id} holds no role that is asked: {names}")
        )
    if need.risk and risk_rank(plan.effective_risk) > risk_rank(reviewer.max_risk_level):
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
    need: Need,
    plan: Plan,
    now: datetime,
) -> bool:
    """Whether the principal lent authority to the claimant, now, and has it to lend."""
    if principal is None:
        return False
    lent = any(
        lent.to == claim.reviewer_id and lent.valid_from <= now <= lent.valid_until
        for lent in principal.delegates
    ) or any(
        absence.delegate == claim.reviewer_id and absence.valid_from <= now <= absence.valid_until
        for absence in principal.absences
    )
    return lent and not _standing(principal, need, plan)


def _conflict(package: DecisionPackage, people: Sequence[ReviewerAuthorization]) -> str | None:
    entities = {f"{package.subject_type}:{package.subject_id}", *package.subject_relations}
    return next(
        (entity for person in people for entity in person.conflicts if entity in entities), None
    )

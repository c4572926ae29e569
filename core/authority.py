"""Who may: the ordered checks of a reviewer against a control point (requirements, sections 8, 15).

Identity comes from the verified signature, authority from the reviewer directory of today; never
from the message or a model. Every rule that fails is named, in the order of the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.directory import TenantContext
from core.planning import escalated, meets_role, risk_rank
from schemas.commands import HumanDecisionCommand
from schemas.directory import ReviewerAuthorization
from schemas.requests import DecisionPackage
from schemas.state import Approval, ControlPointState, Lineage, Plan, Slot
from schemas.vocabulary import Code, Decision


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that failed: its code and a sentence that says what to mend."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person wants to do at a control point."""

    reviewer_id: str
    decision: Decision
    on_behalf_of: str | None = None
    kid: str | None = None

    @property
    def persons(self) -> frozenset[str]:
        """The people it counts as: delegate and principal count as one person."""
        return frozenset({self.reviewer_id, *([self.on_behalf_of] if self.on_behalf_of else [])})


OFFERED: frozenset[Decision] = frozenset({"approve", "reject", "revise", "request_more_evidence"})


def current_slots(state: ControlPointState) -> list[Slot]:
    """The quorum as it stands after the escalations so far."""
    assert state.accepted is not None
    plan = state.accepted.plan
    slots = plan.slots
    for step in plan.ladder[: state.ladder_step]:
        slots = escalated(plan.role_order, slots, step.role)
    return slots


def barred(lineage: Lineage) -> frozenset[str]:
    """Who may not decide because the package comes from them, claimed or verified."""
    return frozenset(
        {lineage.first_signer, *lineage.requesters, *lineage.drafters, *lineage.owners}
    )


def failures(
    state: ControlPointState, claim: Claim, tenant: TenantContext, now: datetime
) -> list[Failure]:
    """Every personal rule that fails, from UNKNOWN_REVIEWER to NO_OPEN_SLOT, in order."""
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
    if claim.decision == "approve":
        found += _approval_failures(state, claim, tenant, now, slots, role_met=_has_code(found))
    return found


def standing_approvals(
    state: ControlPointState, tenant: TenantContext, now: datetime
) -> list[Approval]:
    """The approvals whose people still hold their authority today."""
    assert state.accepted is not None
    bar, slots = barred(state.accepted.lineage), current_slots(state)
    return [
        approval
        for approval in state.approvals
        if not (set(approval.persons) & bar)
        and (reviewer := tenant.reviewer(approval.reviewer_id, now)) is not None
        and not _standing(reviewer, "approve", state.accepted.plan, slots)
    ]


def filled(
    slots: Sequence[Slot], people: Sequence[ReviewerAuthorization], role_order: list[str]
) -> int:
    """How many slots the people can fill at once: a maximum matching, one slot a person."""
    best = 0

    def place(
        index: int, taken: frozenset[int], teams: tuple[tuple[str | None, bool], ...]
    ) -> None:
        nonlocal best
        best = max(best, len(taken))
        if index == len(people) or best == len(slots):
            return
        person = people[index]
        for number, slot in enumerate(slots):
            if number in taken or not fits(slot, person, role_order):
                continue
            same_team = [alone for team, alone in teams if team is not None and team == person.team]
            if (slot.distinct_team and same_team) or any(same_team):
                continue
            place(index + 1, taken | {number}, (*teams, (person.team, slot.distinct_team)))
        place(index + 1, taken, teams)

    place(0, frozenset(), ())
    return best


def fits(slot: Slot, person: ReviewerAuthorization, role_order: list[str]) -> bool:
    """Whether the person has the slot's role (or one above) and scope."""
    return slot.scope in person.scopes and any(
        meets_role(role_order, role, slot.role) for role in person.roles
    )


def can_be_decided(state: ControlPointState, tenant: TenantContext, now: datetime) -> bool:
    """Whether the people of today could fill the slots at all (teams aside)."""
    assert state.accepted is not None
    slots, order = current_slots(state), state.accepted.plan.role_order
    eligible = [
        person for person in tenant.reviewers.values() if not _is_barred(state, person, tenant, now)
    ]
    holder: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for number, slot in enumerate(slots):
            if number in tried or not fits(slot, eligible[person], order):
                continue
            tried.add(number)
            if number not in holder or seat(holder[number], tried):
                holder[number] = person
                return True
        return False

    for person in range(len(eligible)):
        if len(holder) == len(slots):
            break
        seat(person, set())
    return len(holder) == len(slots)


def missing_words(command: HumanDecisionCommand, plan: Plan) -> Failure | None:
    """The comment, reason or evidence that the decision lacks, if it does."""
    comment = (command.comment or "").strip()
    match command.decision:
        case "approve" if plan.comment_required and not comment:
            return Failure("COMMENT_REQUIRED", "approval at this risk needs a comment; add one")
        case "approve" if (
            plan.mode == "human_led" and not (command.reviewer_rationale or "").strip()
        ):
            return Failure(
                "REASON_REQUIRED",
                "a human-led decision needs the reviewer's own rationale; fill reviewer_rationale",
            )
        case "revise" if not comment:
            return Failure("COMMENT_REQUIRED", "say in the comment what the agent should change")
        case "request_more_evidence" if not comment and not command.evidence_requested:
            return Failure(
                "COMMENT_REQUIRED", "say what is missing, in evidence_requested or the comment"
            )
        case _:
            return None


def _is_barred(
    state: ControlPointState, person: ReviewerAuthorization, tenant: TenantContext, now: datetime
) -> bool:
    assert state.accepted is not None
    if tenant.reviewer(person.reviewer_id, now) is None:
        return True
    plan, package = state.accepted.plan, state.accepted.request.package
    return bool(
        _standing(person, "approve", plan, current_slots(state))
        or person.reviewer_id in barred(state.accepted.lineage)
        or _conflict(package, [person])
    )


def _standing(
    reviewer: ReviewerAuthorization, decision: Decision, plan: Plan, slots: list[Slot]
) -> list[Failure]:
    found = []
    wanted = {slot.scope for slot in slots} if decision == "approve" else set[str]()
    scope = f"{plan.subject}:{decision}"
    if not (wanted & set(reviewer.scopes) or scope in reviewer.scopes):
        names = " or ".join(sorted(wanted)) or scope
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


def _has_code(found: list[Failure]) -> bool:
    return not any(failure.code in ("MISSING_ROLE", "MISSING_SCOPE") for failure in found)


def _approval_failures(
    state: ControlPointState,
    claim: Claim,
    tenant: TenantContext,
    now: datetime,
    slots: list[Slot],
    *,
    role_met: bool,
) -> list[Failure]:
    assert state.accepted is not None
    if any(
        claim.persons & set(approval.persons) or (claim.kid and claim.kid == approval.kid)
        for approval in state.approvals
    ):
        return [
            Failure(
                "DUPLICATE_APPROVER",
                f"{claim.reviewer_id}, their principal or their key has approved this version; "
                "another person must fill the next slot",
            )
        ]
    if not role_met:
        return []
    standing = standing_approvals(state, tenant, now)
    people = [
        person
        for reviewer_id in (*(a.reviewer_id for a in standing), claim.reviewer_id)
        if (person := tenant.reviewer(reviewer_id, now)) is not None
    ]
    order = state.accepted.plan.role_order
    if filled(slots, people, order) > filled(slots, people[:-1], order):
        return []
    return [
        Failure(
            "NO_OPEN_SLOT", "no free slot of the quorum fits this person's role, scope and team"
        )
    ]

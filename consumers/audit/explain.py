"""Why a control point stands where it stands: what it waits for, who may act, and who may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from consumers.audit.blinding import BLIND, blinded, is_blind
from consumers.audit.excepted import Excepted, excepted_at
from core.authority import (
    Claim,
    Failure,
    counted_approvals,
    failures,
    holder_of,
    identities_of,
    standing_approvals,
)
from core.directory import TenantContext
from core.exceptions import ended_exceptions
from core.needs import Act, override_role
from core.quorum import current_slots
from core.timers import OBJECTION_WINDOW, Timer, TimerName, next_sla_warning, running
from schemas.canonical import record_json
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import FINAL_STATUSES, OnTimeout

_AT_TIMEOUT: Final[dict[OnTimeout, str]] = {
    "escalate": "it goes to the next role of the ladder, and expires after the last",
    "expire": "it expires; the gate stays shut",
    "cancel": "it is cancelled; the gate stays shut",
    "defer": "it is put off once, then expires",
    "auto_reject": "it is rejected; the gate stays shut",
}
_AT_TIMER: Final[dict[TimerName, str]] = {
    "objection_window": "the gate opens, unless somebody objects before",
    "deferral": "it shows in the queue again, and the time to decide goes on",
    "exception_end": "a policy exception ends, and what rests on it cannot be approved any more",
    "grant_valid_until": "the grant ends unused and the gate closes",
    "execute_within": "it is in doubt whether the action was run, and a person is asked",
    "park_ttl": "the commands that wait for the package are refused",
}
_OF_THE_DECISION: Final = ("outcome", "gate", "approved_by", "last_refusals")
WaitsFor = Literal["approvals", "objection_window", "deferral", "confirmation", "audit_verdict"]


@dataclass(frozen=True, slots=True)
class Person:
    """One reviewer, and every rule that bars them; none: they may act."""

    reviewer_id: str
    codes: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What it waits for, in a word and in words, and the act by which a person moves it on.

    have, slots: the slots that approvals fill, of those that are needed, and what each asks.
    """

    kind: WaitsFor
    what: str
    act: Act
    have: int
    slots: Sequence[dict[str, Any]]

    @property
    def need(self) -> int:
        """How many slots there are."""
        return len(self.slots)

    def form(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "kind": self.kind,
            "what": self.what,
            "act": self.act,
            "have": self.have,
            "need": self.need,
            "slots": list(self.slots),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a control point stands where it stands. `waiting` None: nothing is to be decided.

    holder: who holds the review task. clocks: each that runs and what it brings, the next first.
    excepted: the policy exceptions here. blind: an audit is open, and what was decided is left out.
    """

    state: ControlPointState
    because: str
    waiting: Waiting | None
    people: Sequence[Person]
    holder: str | None
    clocks: Sequence[tuple[Timer, str]]
    excepted: Sequence[Excepted]
    blind: bool

    @property
    def timer(self) -> Timer | None:
        """The clock that is due next."""
        return self.clocks[0][0] if self.clocks else None

    def form(self) -> dict[str, Any]:
        """The explanation as JSON."""
        state = self.state
        request = state.accepted.request if state.accepted else None
        clocks = [
            {"name": timer.name, "due": rfc3339(timer.due), "then": then}
            for timer, then in self.clocks
        ]
        form = {
            "tenant_id": state.tenant_id,
            "decision_package_id": state.decision_package_id,
            "blind": self.blind,
            "interrupt_id": request.interrupt_id if request else None,
            "package_version": request.package.version if request else None,
            "status": state.status,
            "outcome": state.outcome,
            "gate": state.gate,
            "because": self.because,
            "waits_for": self.waiting.form() if self.waiting else None,
            "approved_by": [approval.reviewer_id for approval in state.approvals],
            "held_by": self.holder,
            "recused": state.recused,
            "shown_to": [record_json(one) for one in state.presented],
            "may_act": [person.reviewer_id for person in self.people if not person.codes],
            "may_not": [
                {
                    "reviewer_id": person.reviewer_id,
                    "codes": list(person.codes),
                    "reasons": list(person.reasons),
                }
                for person in self.people
                if person.codes
            ],
            "next_timer": clocks[0] if clocks else None,
            "clocks": clocks,
            "exceptions": [one.form() for one in self.excepted],
            "last_refusals": [record_json(refusal) for refusal in state.refusals],
        }
        # What is left out is missing, so that no program takes it for the truth.
        hidden = _OF_THE_DECISION if self.blind else ()
        return {name: value for name, value in form.items() if name not in hidden}


def explained(
    state: ControlPointState, tenant: TenantContext, now: datetime, *, unblind: bool = False
) -> Explanation:
    """Explains a control point by the directory of today; the worker judges by the same rules.

    While an audit is open nothing of the decision is told, unless `unblind`.
    """
    waiting = _waiting(state, tenant, now) if state.accepted is not None else None
    people = _people(state, waiting.act, tenant, now) if waiting else ()
    blind = is_blind(state) and not unblind
    seen = state
    if blind:
        deciders = identities_of(state.deciders, tenant)
        people = tuple(
            one for one in people if not deciders & identities_of({one.reviewer_id}, tenant)
        )
        seen = blinded(state, tenant)
    return Explanation(
        state=seen,
        because=BLIND if blind else _because(state),
        waiting=waiting,
        people=people,
        holder=holder_of(seen, now),
        clocks=tuple((timer, _then(seen, timer)) for timer in running(seen)),
        excepted=excepted_at(state, tenant, now),
        blind=blind,
    )


def ended_with(status: str, outcome: str | None) -> str:
    """The status, and the outcome where that says more."""
    return status if outcome in (None, status) else f"{status} with {outcome}"


def _because(state: ControlPointState) -> str:
    if state.accepted is None:
        return f"{len(state.parked)} command(s) wait for a package that nobody has asked for yet"
    if state.status not in FINAL_STATUSES:
        plan = state.accepted.plan
        return (
            f"rule {plan.rule!r} of policy version {plan.policy_version} asks for "
            f"{plan.mode} at {plan.effective_risk} risk; it waits for {state.required_role}"
        )
    ended = f"the interrupt is {ended_with(state.status, state.outcome)}"
    grant = state.grant
    match state.gate:
        case "open":
            return f"{ended}; the gate is open and no executor has taken the grant yet"
        case "consumed" if grant and grant.in_doubt:
            return (
                f"{ended}; {grant.executor_id} took the grant and it is in doubt what became of it"
            )
        case "consumed" if grant and grant.receipt_type:
            return f"{ended}; {grant.executor_id} took the grant and reported {grant.receipt_type}"
        case "consumed" if grant:
            return f"{ended}; {grant.executor_id} took the grant and has not reported yet"
        case "closed":
            return f"{ended}; no gate was opened"
        case _:
            return f"{ended}; the gate is {state.gate}"


def _waiting(state: ControlPointState, tenant: TenantContext, now: datetime) -> Waiting | None:
    """What it waits for, if for a person; the first of what applies."""
    slots = [record_json(slot) for slot in current_slots(state)]
    if state.status in FINAL_STATUSES:
        if state.audit is None or state.audit.closed:
            return None
        what = "the verdict of the audit, by somebody who had no part in the decision"
        return Waiting("audit_verdict", what, "audit_verdict", 0, ())
    have = len(counted_approvals(state, standing_approvals(state, tenant, now), tenant, now))
    if state.override is not None:
        return Waiting("confirmation", _confirmation(state), "override", have, slots)
    if state.decide_by_source == OBJECTION_WINDOW and state.decide_by is not None:
        what = f"the end of the objection window at {rfc3339(state.decide_by)}; nobody approves"
        return Waiting("objection_window", what, "object", 0, ())
    what = f"{len(slots) - have} of {len(slots)} approvals"
    if state.deferred_until is not None:
        until = f"deferred until {rfc3339(state.deferred_until)}"
        if state.defer_condition:
            until += f", or until it is said that this is met: {state.defer_condition}"
        return Waiting("deferral", f"{until}; then for {what}", "approve", have, slots)
    return Waiting("approvals", what, "approve", have, slots)


def _confirmation(state: ControlPointState) -> str:
    assert state.accepted is not None and state.override is not None
    override = state.override
    return (
        f"another {override_role(state.accepted.plan)}, or above, who confirms the override by "
        f"{override.by.reviewer_id} with an approval that names action {override.action_digest}"
    )


def _people(
    state: ControlPointState, act: Act, tenant: TenantContext, now: datetime
) -> tuple[Person, ...]:
    """Every reviewer of the directory, with the rules that bar them from the act."""
    people = []
    for reviewer_id in sorted(r for r, one in tenant.reviewers.items() if not one.removed):
        found = failures(state, Claim(reviewer_id, act), tenant, now)
        found += _of_this_moment(state, reviewer_id, act, tenant, now)
        codes = tuple(dict.fromkeys(failure.code for failure in found))
        people.append(Person(reviewer_id, codes, tuple(failure.message for failure in found)))
    return tuple(people)


def _of_this_moment(
    state: ControlPointState, reviewer_id: str, act: Act, tenant: TenantContext, now: datetime
) -> list[Failure]:
    """What bars them by what was done here before, beside the rules of authority."""
    found, mine = [], identities_of({reviewer_id}, tenant)
    if act == "approve" and (ended := ended_exceptions(state, tenant, now)):
        message = f"it rests on the policy exception {', '.join(ended)}, which has ended"
        found.append(Failure("DECISION_NOT_ALLOWED", message))
    author = state.override.by.persons if act == "override" and state.override else ()
    if mine & identities_of(author, tenant):
        found.append(Failure("SEPARATION_OF_DUTIES", "who overrode does not confirm it"))
    if act == "audit_verdict" and mine & set(state.deciders):
        found.append(Failure("SEPARATION_OF_DUTIES", "who decided does not audit it"))
    return found


def _then(state: ControlPointState, timer: Timer) -> str:
    if timer.name == "sla_warning":
        return f"a warning: {next_sla_warning(state)} % of the time to decide is gone"
    if timer.name == "claim_lease":
        return f"the claim of {state.assigned_to} ends, and others may decide"
    if timer.name != "decide_by":
        return _AT_TIMER[timer.name]
    assert state.accepted is not None
    if state.decide_by_source not in (None, "policy"):
        return f"it ends, for that is the requester's {state.decide_by_source}; nothing approves"
    return _AT_TIMEOUT[state.accepted.plan.on_timeout]

"""Why a control point stands where it stands: what it waits for, who may act, and who may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.authority import Claim, counted_approvals, failures, standing_approvals
from core.directory import TenantContext
from core.quorum import current_slots
from core.timers import Timer, TimerName, running
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
    "grant_valid_until": "the grant ends unused and the gate closes",
    "execute_within": "it is in doubt whether the action was run, and a person is asked",
    "park_ttl": "the commands that wait for the package are refused",
}


@dataclass(frozen=True, slots=True)
class Person:
    """One reviewer, and every rule that bars them; none: they may act."""

    reviewer_id: str
    codes: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Slots that approvals fill, of those that are needed, and the roles and scopes asked."""

    have: int
    slots: Sequence[dict[str, Any]]

    @property
    def need(self) -> int:
        """How many slots there are."""
        return len(self.slots)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a control point stands where it stands. `waiting` None: nothing is to be decided."""

    state: ControlPointState
    because: str
    waiting: Waiting | None
    people: Sequence[Person]
    timer: Timer | None
    at_timer: str | None

    def form(self) -> dict[str, Any]:
        """The explanation as JSON."""
        state, timer = self.state, self.timer
        request = state.accepted.request if state.accepted else None
        return {
            "tenant_id": state.tenant_id,
            "decision_package_id": state.decision_package_id,
            "interrupt_id": request.interrupt_id if request else None,
            "package_version": request.package.version if request else None,
            "status": state.status,
            "outcome": state.outcome,
            "gate": state.gate,
            "because": self.because,
            "waits_for": {
                "have": self.waiting.have,
                "need": self.waiting.need,
                "slots": list(self.waiting.slots),
            }
            if self.waiting
            else None,
            "approved_by": [approval.reviewer_id for approval in state.approvals],
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
            "next_timer": {"name": timer.name, "due": rfc3339(timer.due), "then": self.at_timer}
            if timer
            else None,
            "last_refusals": [record_json(refusal) for refusal in state.refusals],
        }


def explained(state: ControlPointState, tenant: TenantContext, now: datetime) -> Explanation:
    """Explains a control point by the directory of today; the worker judges by the same rules."""
    timer = next(iter(running(state)), None)
    open_ = state.accepted is not None and state.status not in FINAL_STATUSES
    return Explanation(
        state=state,
        because=_because(state),
        waiting=_waiting(state, tenant, now) if open_ else None,
        people=_people(state, tenant, now) if open_ else (),
        timer=timer,
        at_timer=_then(state, timer) if timer else None,
    )


def _because(state: ControlPointState) -> str:
    if state.accepted is None:
        return f"{len(state.parked)} command(s) wait for a package that nobody has asked for yet"
    if state.status not in FINAL_STATUSES:
        plan = state.accepted.plan
        return (
            f"rule {plan.rule!r} of policy version {plan.policy_version} asks for "
            f"{plan.mode} at {plan.effective_risk} risk; it waits for {state.required_role}"
        )
    ended = f"the interrupt is {state.status}" + (f" with {state.outcome}" if state.outcome else "")
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


def _waiting(state: ControlPointState, tenant: TenantContext, now: datetime) -> Waiting:
    standing = standing_approvals(state, tenant, now)
    return Waiting(
        have=len(counted_approvals(state, standing, tenant, now)),
        slots=[record_json(slot) for slot in current_slots(state)],
    )


def _people(state: ControlPointState, tenant: TenantContext, now: datetime) -> tuple[Person, ...]:
    """Every reviewer of the directory, with the rules that bar them from approving."""
    people = []
    for reviewer_id in sorted(r for r, one in tenant.reviewers.items() if not one.removed):
        found = failures(state, Claim(reviewer_id, "approve"), tenant, now)
        codes = tuple(failure.code for failure in found)
        people.append(Person(reviewer_id, codes, tuple(failure.message for failure in found)))
    return tuple(people)


def _then(state: ControlPointState, timer: Timer) -> str:
    if timer.name != "decide_by":
        return _AT_TIMER[timer.name]
    assert state.accepted is not None
    if state.decide_by_source not in (None, "policy"):
        return f"it ends, for that is the requester's {state.decide_by_source}; nothing approves"
    return _AT_TIMEOUT[state.accepted.plan.on_timeout]

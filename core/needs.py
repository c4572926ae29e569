"""What each act asks of the person who does it: scope, role, risk ceiling, independence.

One row an act, so that the rules of authority stand in one place (requirements, sections 8, 11, 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.planning import risk_rank
from core.quorum import current_slots
from schemas.state import ControlPointState, Plan
from schemas.vocabulary import Decision

Act = Literal[
    Decision,
    "override",
    "revoke",
    "audit_verdict",
    "grant_exception",
    "revoke_exception",
    "claim",
    "assign",
    "take_part",
]


@dataclass(frozen=True, slots=True)
class Need:
    """scopes: one of these. subject: or, when set, any scope of the subject too. roles: one of these or
    one above it; None: no role is asked. risk: whether the person's ceiling counts. independent:
    whether lineage, conflicts and recusal bar."""

    scopes: frozenset[str] = frozenset()
    subject: str | None = None
    roles: frozenset[str] | None = None
    risk: bool = True
    independent: bool = True


def need_of(state: ControlPointState, act: Act) -> Need:
    """What an act at this control point asks. What only stops something asks for its scope alone:
    nobody is too junior or too close to pull the brake."""
    assert state.accepted is not None
    plan, slots = state.accepted.plan, current_slots(state)
    roles, own = frozenset(slot.role for slot in slots), frozenset({f"{plan.subject}:{act}"})
    approving = frozenset(slot.scope for slot in slots)
    match act:
        case "approve":
            return Need(approving, roles=roles)
        case "object" | "revoke" | "revoke_exception" | "assign":
            return Need(own, risk=False, independent=False)
        case "override":
            return Need(own, roles=frozenset({override_role(plan)}) if is_grave(plan) else roles)
        case "audit_verdict":
            return Need(own)
        case "claim":
            return Need(approving, subject=plan.subject, roles=roles)
        case "take_part":
            return Need(approving, subject=plan.subject, risk=False, independent=False)
        case _:
            return Need(own, roles=roles)


def is_grave(plan: Plan) -> bool:
    """Whether the risk is high or critical: then an override needs two people of higher authority."""
    return risk_rank(plan.effective_risk) >= risk_rank("high")


def override_role(plan: Plan) -> str:
    """The role of higher authority: the first of the escalation ladder, else the highest there is."""
    return plan.ladder[0].role if plan.ladder else plan.role_order[-1]

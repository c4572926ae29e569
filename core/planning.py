"""From a policy and a request to the plan that is pinned at intake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from core.actions import tool_of
from core.calendar import WEEKDAYS
from core.exceptions import Lifted
from core.policy import ApprovalSlot, Calendar, Defaults, Policy, Rule, ToolRow, When
from schemas.requests import InterruptRequested
from schemas.state import LadderStep, Plan, Slot, WorkCalendar, WorkHours
from schemas.vocabulary import RISK_LEVELS, ControlMode, RiskLevel

NOTHING_LIFTED: Final = Lifted()
WITHOUT_PEOPLE: Final[frozenset[ControlMode]] = frozenset({"out_of_the_loop", "on_the_loop"})


def risk_rank(risk: RiskLevel) -> int:
    """0 for low to 3 for critical."""
    return RISK_LEVELS.index(risk)


def meets_role(role_order: list[str], held: str, wanted: str) -> bool:
    """Whether `held` is `wanted` or above it; a role outside the order is met by itself alone."""
    if held == wanted:
        return True
    if held not in role_order or wanted not in role_order:
        return False
    return role_order.index(held) > role_order.index(wanted)


def tightened(role_order: list[str], slots: list[Slot], role: str) -> list[Slot]:
    """The slots with every lower one lifted to `role`, and at least one slot that asks for it."""
    lifted = [
        slot.model_copy(update={"role": role}) if _is_below(role_order, slot.role, role) else slot
        for slot in slots
    ]
    if not any(meets_role(role_order, slot.role, role) for slot in lifted):
        lifted.append(Slot(role=role, scope=slots[0].scope))
    return lifted


def escalated(role_order: list[str], slots: list[Slot], role: str) -> list[Slot]:
    """The slots after an escalation: ordered slots below `role`, or all ordered ones when `role`
    stands outside the order, now ask for it. Slots of other roles stay, unless nothing would ask
    for `role` then: whoever is asked must be able to answer."""
    outside = role not in role_order
    lifted = [
        slot.model_copy(update={"role": role})
        if _is_below(role_order, slot.role, role) or (outside and slot.role in role_order)
        else slot
        for slot in slots
    ]
    if any(meets_role(role_order, slot.role, role) for slot in lifted):
        return lifted
    return [slot.model_copy(update={"role": role}) for slot in slots]


def _is_below(role_order: list[str], low: str, high: str) -> bool:
    return low != high and meets_role(role_order, high, low)


def tool_row(policy: Policy, tool_name: str) -> ToolRow | None:
    """The first row of the tools table that names the tool."""
    return next((row for row in policy.tools if fnmatchcase(tool_name, row.tool)), None)


def matching_rule(policy: Policy, request: InterruptRequested, risk: RiskLevel) -> Rule | None:
    """The first rule whose every condition holds; None: the default plan."""
    return next((rule for rule in policy.rules if _matches(rule.when, request, risk)), None)


def terms_of(policy: Policy, rule: Rule | None) -> Defaults:
    """What holds under a rule: its own keys, else those of `defaults`."""
    fallback = policy.defaults
    chosen = {
        name: value
        for name in type(fallback).model_fields
        if (value := getattr(rule, name, None)) is not None
    }
    return fallback.model_copy(update=chosen)


def effective_risk(
    policy: Policy, request: InterruptRequested, lifted: Lifted = NOTHING_LIFTED
) -> RiskLevel:
    """The higher of what the agent says and what the tools table says, unless an exception lifts
    the table's threshold."""
    tool = tool_of(request.package)
    row = tool_row(policy, tool[0]) if tool else None
    declared = request.package.risk_level
    if row is None or lifted.has("threshold"):
        return declared
    return max(declared, row.min_risk, key=risk_rank)


def plan_for(
    policy: Policy,
    request: InterruptRequested,
    *,
    signed: bool,
    lifted: Lifted = NOTHING_LIFTED,
    exceptions: Sequence[str] = (),
) -> Plan:
    """The plan of a request that passed intake; `exceptions` are those that it rests on. An
    unlisted tool, an unsigned request, a tool whose row asks for approval, what rests on an
    exception or reopens a closed package: never out of or on the loop."""
    tool = tool_of(request.package)
    row = tool_row(policy, tool[0]) if tool else None
    risk = effective_risk(policy, request, lifted)
    rule = matching_rule(policy, request, risk)
    terms = terms_of(policy, rule)
    mode: ControlMode = rule.mode if rule else "in_the_loop"
    special = bool(exceptions) or request.package.reopens is not None
    unsafe = not signed or special or (tool is not None and (row is None or row.approval_required))
    if mode in WITHOUT_PEOPLE and unsafe:
        mode = "in_the_loop"
    subject = (rule.subject if rule else None) or _default_subject(request)
    slots = _slots(policy, rule.approvals if rule else [], subject)
    for role in (row.min_reviewer_role if row else None, request.required_role):
        if role is not None:
            slots = tightened(policy.role_order, slots, role)
    return Plan(
        policy_version=policy.policy_version,
        rule=rule.name if rule else "default",
        mode=mode,
        subject=subject,
        effective_risk=risk,
        role_order=policy.role_order,
        slots=slots,
        decide_within_s=terms.decide_within,
        on_timeout=terms.on_timeout,
        ladder=[LadderStep(role=step.role, within_s=step.within) for step in terms.escalation],
        comment_required=risk in terms.comment_required,
        objection_window_s=terms.objection_window if mode == "on_the_loop" else 0,
        grant_valid_for_s=terms.grant_valid_for,
        execute_within_s=terms.execute_within,
        defer_max_s=terms.defer_max,
        audit_sample=terms.audit_sample,
        authority_transition=request.authority_transition,
        priority=terms.priority,
        claim_for_s=terms.claim_for,
        exception_max_s=terms.exception_max,
        calendar=_calendar(policy, terms.calendar),
        exceptions=list(exceptions),
        personal_keys=risk in terms.personal_keys,
        session_max_age_s=terms.session_max_age,
        session_amr=terms.session_amr,
    )


def _calendar(policy: Policy, name: str | None) -> WorkCalendar | None:
    found: Calendar | None = next((c for c in policy.calendars if c.name == name), None)
    if found is None:
        return None
    hours = [
        WorkHours(weekday=WEEKDAYS.index(day), opens_min=opens, closes_min=closes)
        for day, stretches in found.hours.items()
        for opens, closes in stretches
    ]
    return WorkCalendar(name=found.name, zone=found.zone, hours=hours, holidays=found.holidays)


def _slots(policy: Policy, approvals: list[ApprovalSlot], subject: str) -> list[Slot]:
    asked = approvals or [ApprovalSlot(role=policy.role_order[-1])]
    return [
        Slot(
            role=slot.role,
            scope=slot.scope or f"{subject}:approve",
            distinct_team=slot.distinct_team,
        )
        for slot in asked
    ]


def _default_subject(request: InterruptRequested) -> str:
    tool = tool_of(request.package)
    return re.split(r"[_.]", tool[1], maxsplit=1)[0] if tool else "decision"


def _matches(when: When, request: InterruptRequested, risk: RiskLevel) -> bool:
    memory = request.package.memory
    tool, effect = tool_of(request.package) or (None, None)
    return (
        (not when.tools or (tool is not None and any(fnmatchcase(tool, t) for t in when.tools)))
        and (not when.effect_types or effect in when.effect_types)
        and (not when.risk_levels or risk in when.risk_levels)
        and (
            not when.authority_transitions
            or request.authority_transition in when.authority_transitions
        )
        and (not when.interrupt_types or request.interrupt_type in when.interrupt_types)
        and (
            not when.memory_sensitivity
            or (memory is not None and memory.sensitivity in when.memory_sensitivity)
        )
        and (not when.tenants or request.tenant_id in when.tenants)
    )

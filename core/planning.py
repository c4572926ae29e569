"""From a policy and a request to the plan that is pinned at intake."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from core.policy import ApprovalSlot, Policy, Rule, ToolRow, When
from schemas.requests import InterruptRequested
from schemas.state import LadderStep, Plan, Slot
from schemas.vocabulary import RISK_LEVELS, ControlMode, RiskLevel

_WITHOUT_PEOPLE: frozenset[ControlMode] = frozenset({"out_of_the_loop", "on_the_loop"})


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


def uncertainties_bound(policy: Policy, rule: Rule | None) -> float:
    """Under this confidence, known uncertainties may not be empty."""
    if rule is not None and rule.uncertainties_required_below is not None:
        return rule.uncertainties_required_below
    return policy.defaults.uncertainties_required_below


def effective_risk(policy: Policy, request: InterruptRequested) -> RiskLevel:
    """The higher of what the agent says and what the tools table says."""
    call = request.package.tool_call
    row = tool_row(policy, call.tool_name) if call else None
    declared = request.package.risk_level
    return max(declared, row.min_risk, key=risk_rank) if row else declared


def plan_for(policy: Policy, request: InterruptRequested, *, signed: bool) -> Plan:
    """The plan of a request that passed intake. An unlisted tool, an unsigned request, a tool
    whose row asks for approval: never out of or on the loop."""
    call = request.package.tool_call
    row = tool_row(policy, call.tool_name) if call else None
    risk = effective_risk(policy, request)
    rule = matching_rule(policy, request, risk)
    given, fallback = rule, policy.defaults
    chosen = {
        name: value
        for name in type(fallback).model_fields
        if (value := getattr(given, name, None)) is not None
    }
    terms = fallback.model_copy(update=chosen)
    mode: ControlMode = rule.mode if rule else "in_the_loop"
    unsafe = not signed or (call is not None and (row is None or row.approval_required))
    if mode in _WITHOUT_PEOPLE and unsafe:
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
    )


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
    call = request.package.tool_call
    return re.split(r"[_.]", call.effect_type, maxsplit=1)[0] if call else "decision"


def _matches(when: When, request: InterruptRequested, risk: RiskLevel) -> bool:
    call, memory = request.package.tool_call, request.package.memory
    tool = call.tool_name if call else None
    return (
        (not when.tools or (tool is not None and any(fnmatchcase(tool, t) for t in when.tools)))
        and (not when.effect_types or (call is not None and call.effect_type in when.effect_types))
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

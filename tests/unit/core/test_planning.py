"""From policy and request to the plan: which rule, which mode, which slots, which clocks."""

from __future__ import annotations

from typing import Any

import pytest

from core.planning import escalated, meets_role, plan_for, tightened
from core.policy import Policy, parse_policy
from schemas.requests import InterruptRequested, MemoryApprovalPackage
from schemas.state import Plan, Slot
from tests import examples as e

ORDER = ["reviewer", "senior_reviewer", "head_of_enforcement"]
FREE_TOOL = {"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}


def _policy(*rules: dict[str, Any], **over: Any) -> Policy:
    return parse_policy(e.a_policy_form(**({"rules": list(rules)} | over)))


def _plan(policy: Policy, request: InterruptRequested | None = None, signed: bool = True) -> Plan:
    return plan_for(policy, request or e.a_request(), signed=signed)


def _slot(role: str, scope: str = "notice:approve") -> Slot:
    return Slot(role=role, scope=scope)


def _roles(slots: list[Slot]) -> list[str]:
    return [slot.role for slot in slots]


def test_the_first_rule_that_matches_wins() -> None:
    """Of two rules that match, the one that stands first makes the plan."""
    policy = _policy({"name": "first"}, {"name": "second"})

    assert "first" == _plan(policy).rule


MATCHES: dict[str, tuple[list[Any], list[Any]]] = {
    # key of when: values that match the example, values that do not
    "tools": ([e.TOOL, "notice.*"], ["mail.*"]),
    "effect_types": ([e.EFFECT], ["payment"]),
    "risk_levels": (["high"], ["critical"]),
    "authority_transitions": (["draft_to_send"], ["low_to_high_risk"]),
    "interrupt_types": (["approval"], ["question"]),
    "tenants": ([e.TENANT], ["globex"]),
}


@pytest.mark.parametrize("key", MATCHES)
def test_a_condition_chooses(key: str) -> None:
    """Each condition of `when` lets matching requests through, and only them."""
    matching, other = MATCHES[key]

    plans = [
        _plan(_policy({"name": "it", "when": {key: values}})).rule
        for values in ([matching[0]], matching, [*other, matching[-1]], other)
    ]

    assert ["it", "it", "it", "default"] == plans


def test_the_sensitivity_of_a_memory_chooses() -> None:
    """memory_sensitivity matches memory writes of that class, and nothing else."""
    memory = MemoryApprovalPackage(
        package_id="m",
        proposed_memory="x",
        subject_type="case",
        subject_id="1",
        sensitivity="secret",
        retention="1y",
        proposed_by=e.AGENT,
    )
    policy = _policy({"name": "it", "when": {"memory_sensitivity": ["secret"]}})

    plans = [_plan(policy, e.a_request(package=e.a_package(memory=m))) for m in (memory, None)]

    assert ["it", "default"] == [plan.rule for plan in plans]


def test_all_conditions_must_hold() -> None:
    """A rule with one condition that fails does not match."""
    when = {"tools": ["notice.*"], "risk_levels": ["low"]}

    assert "default" == _plan(_policy({"name": "it", "when": when})).rule


def test_without_a_rule_the_highest_role_approves() -> None:
    """No rule matches: in the loop, one approval by the highest role of role_order."""
    plan = _plan(_policy())

    assert ("default", "in_the_loop", "external") == (plan.rule, plan.mode, plan.subject)
    assert [_slot("head_of_enforcement", "external:approve")] == plan.slots


def test_without_a_tool_the_subject_is_decision() -> None:
    """Scopes of a package without tool call are decision:<decision>."""
    plan = _plan(_policy(), e.a_request(package=e.a_package(tool_call=None)))

    assert "decision" == plan.subject


@pytest.mark.parametrize(
    ("declared", "least", "effective"),
    [("low", "high", "high"), ("critical", "medium", "critical"), ("high", "high", "high")],
)
def test_the_effective_risk_is_the_higher(declared: Any, least: str, effective: str) -> None:
    """The agent's own risk counts only where it is the higher one."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "min_risk": least}]

    plan = _plan(_policy(tools=tools), e.a_request(package=e.a_package(risk_level=declared)))

    assert effective == plan.effective_risk


def test_rules_look_at_the_effective_risk() -> None:
    """A tool's least risk chooses the rule, whatever the agent declared."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "min_risk": "critical"}]
    policy = _policy({"name": "it", "when": {"risk_levels": ["critical"]}}, tools=tools)

    plan = _plan(policy, e.a_request(package=e.a_package(risk_level="low")))

    assert "it" == plan.rule


@pytest.mark.parametrize("mode", ["out_of_the_loop", "on_the_loop"])
def test_a_listed_free_tool_runs_without_people(mode: str) -> None:
    """Only where the table says that no approval is required does the rule's mode hold."""
    plan = _plan(_policy({"name": "it", "mode": mode}, tools=[FREE_TOOL]))

    assert mode == plan.mode


@pytest.mark.parametrize("mode", ["out_of_the_loop", "on_the_loop"])
@pytest.mark.parametrize(
    ("tools", "signed"),
    [
        ([], True),
        ([FREE_TOOL | {"tool": "mail.*"}], True),
        ([FREE_TOOL | {"approval_required": True}], True),
        ([{"tool": "notice.*", "effect_type": e.EFFECT}], True),
        ([FREE_TOOL], False),
    ],
)
def test_anything_in_doubt_needs_a_person(
    mode: str, tools: list[dict[str, Any]], signed: bool
) -> None:
    """An unlisted tool, one that needs approval, an unsigned request: always in the loop."""
    plan = _plan(_policy({"name": "it", "mode": mode}, tools=tools), signed=signed)

    assert "in_the_loop" == plan.mode


def test_the_first_row_that_names_a_tool_counts() -> None:
    """A wider row below does not loosen a narrow one above, whatever effect the agent declares."""
    narrow = {"tool": "notice.send", "effect_type": e.EFFECT, "min_risk": "critical"}

    plan = _plan(_policy(tools=[narrow, FREE_TOOL]))

    assert "critical" == plan.effective_risk


def test_a_rule_replaces_any_default() -> None:
    """Every key of `defaults` may stand in a rule, which then counts for it."""
    own: dict[str, Any] = {
        "decide_within": "1m",
        "on_timeout": "expire",
        "escalation": [{"role": "legal", "within": "2m"}],
        "defer_max": "3m",
        "grant_valid_for": "4m",
        "execute_within": "5m",
        "comment_required": ["high"],
        "audit_sample": 0.5,
    }

    plan = _plan(_policy({"name": "it"} | own))

    assert (60, "expire", 180, 240, 300, True, 0.5) == (
        plan.decide_within_s,
        plan.on_timeout,
        plan.defer_max_s,
        plan.grant_valid_for_s,
        plan.execute_within_s,
        plan.comment_required,
        plan.audit_sample,
    )
    assert [("legal", 120)] == [(step.role, step.within_s) for step in plan.ladder]


def test_an_empty_ladder_of_a_rule_replaces_the_default_one() -> None:
    """A rule that says `escalation: []` has no ladder."""
    assert [] == _plan(_policy({"name": "it", "escalation": []})).ladder


def test_the_tool_table_lifts_the_slots() -> None:
    """min_reviewer_role: no slot below it stays below it."""
    policy = _policy({"name": "it", "approvals": [{"role": "reviewer"}, {"role": "legal"}]})

    assert ["senior_reviewer", "legal"] == _roles(_plan(policy).slots)


@pytest.mark.parametrize(
    ("wanted", "roles"),
    [
        ("reviewer", ["senior_reviewer"]),
        ("senior_reviewer", ["senior_reviewer"]),
        ("head_of_enforcement", ["head_of_enforcement"]),
        ("legal", ["senior_reviewer", "legal"]),
    ],
)
def test_required_role_can_only_tighten(wanted: str, roles: list[str]) -> None:
    """A requester asks for a higher role or one more; never for a lower one."""
    policy = _policy({"name": "it", "approvals": [{"role": "senior_reviewer"}]})

    assert roles == _roles(_plan(policy, e.a_request(required_role=wanted)).slots)


def test_a_slot_has_the_scope_of_the_subject() -> None:
    """A slot without scope asks for <subject>:approve."""
    rule = {"name": "it", "subject": "mail", "approvals": [{"role": "senior_reviewer"}]}

    assert [_slot("senior_reviewer", "mail:approve")] == _plan(_policy(rule)).slots


@pytest.mark.parametrize(
    ("held", "wanted", "met"),
    [
        ("senior_reviewer", "reviewer", True),
        ("reviewer", "senior_reviewer", False),
        ("legal", "legal", True),
        ("head_of_enforcement", "legal", False),
        ("legal", "reviewer", False),
    ],
)
def test_a_role_is_met_by_it_or_one_above(held: str, wanted: str, met: bool) -> None:
    """role_order decides; a role outside it is met by itself alone."""
    assert met is meets_role(ORDER, held, wanted)


@pytest.mark.parametrize(
    ("roles", "role", "after"),
    [
        (["reviewer", "legal"], "head_of_enforcement", ["head_of_enforcement", "legal"]),
        (["head_of_enforcement"], "senior_reviewer", ["head_of_enforcement"]),
        (["senior_reviewer", "legal"], "ombud", ["ombud", "legal"]),
        (["legal"], "head_of_enforcement", ["head_of_enforcement"]),
        (["legal", "ombud"], "ombud", ["legal", "ombud"]),
    ],
)
def test_an_escalation_asks_for_its_role(roles: list[str], role: str, after: list[str]) -> None:
    """Slots below are lifted, none is lowered, and somebody with the role can always answer."""
    assert after == _roles(escalated(ORDER, [_slot(one) for one in roles], role))


def test_tightening_keeps_the_scope_of_the_rule() -> None:
    """A slot that is added asks for the scope of the first one."""
    slots = tightened(ORDER, [_slot("senior_reviewer", "mail:approve")], "legal")

    assert _slot("legal", "mail:approve") == slots[-1]

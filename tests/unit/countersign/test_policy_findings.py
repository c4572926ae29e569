"""`policy check`: what is valid, and cannot be meant, is a warning at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.countersign.command import Command

HEAD = """\
tenant_id: acme
policy_version: "7"
role_order: [reviewer, senior_reviewer]
defaults: {escalation: [{role: senior_reviewer, within: 1h}]}
tools:
  - {tool: "notice.*", effect_type: external_notice}
  - {tool: "note.add", effect_type: note, approval_required: false}
rules:
"""
TWO = "approvals: [{role: reviewer}, {role: senior_reviewer}]"


def checked(command: Command, *rules: str, head: str = HEAD) -> list[str]:
    """The warnings about a policy of these rules, from line 9 on, one a line."""
    lines = [f"  - {{name: r{number}, {rule}}}" for number, rule in enumerate(rules)]
    Path("p.yaml").write_text(head + "\n".join(lines or ["  []"]) + "\n")

    ran = command("policy", "check", "p.yaml", "--json")

    assert (ran.code, ran.json["valid"]) == (0, True), ran.err
    warnings: list[str] = ran.json["warnings"]
    assert ran.err.splitlines() == [f"warning: {line}" for line in warnings]
    return warnings


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("escalation: [{role: legal, within: 1h}]", "'legal' is not in role_order"),
        ("approvals: [{role: senior_reviwer}]", "'senior_reviwer' is not in role_order, so only"),
        (
            "subject: note, approvals: [{role: reviewer, scope: 'notice:approve'}]",
            "rules[0].approvals[0].scope: 'notice:approve' is not note:approve",
        ),
        (
            "subject: note, approvals: [{role: reviewer, scope: 'note:reject'}]",
            "'note:reject' is not note:approve",
        ),
        ("approvals: [{role: reviewer, scope: approver}]", "is not <subject>:approve"),
        ("escalation: []", "there is no escalation"),
        ("on_timeout: escalate, escalation: []", "there is no escalation"),
        ("when: {tenants: [other]}", "never matches: this policy is of tenant acme"),
        ("mode: human_led", "human_led with one approval"),
        ("mode: human_led, approvals: [{role: reviewer}]", "human_led with one approval"),
        (
            "when: {tools: [note.add]}, mode: out_of_the_loop",
            "out_of_the_loop with audit_sample 0: nobody ever looks",
        ),
        (
            'when: {tools: ["notice.*"]}, mode: on_the_loop',
            "on_the_loop never takes effect: notice.* is approval_required",
        ),
        (
            "when: {tools: [notice.send]}, mode: on_the_loop",
            "on_the_loop never takes effect: notice.send is approval_required",
        ),
        (
            "when: {tools: [other]}, mode: on_the_loop",
            "on_the_loop never takes effect: other is not in tools",
        ),
        (
            "when: {tools: [notice.send, note.add]}, mode: on_the_loop",
            "on_the_loop is not for all: notice.send is approval_required",
        ),
        (
            "when: {effect_types: [external_notice]}, mode: on_the_loop",
            "on_the_loop never takes effect: every tool with such an effect",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_warning(command: Command, rule: str, words: str) -> None:
    """With its line and its mend; the file is valid."""
    [warning] = checked(command, rule)

    assert warning.startswith("p.yaml:9: ")
    assert words in warning


@pytest.mark.parametrize(
    "rule",
    [
        "mode: in_the_loop",
        "subject: note, approvals: [{role: reviewer, scope: 'note:approve'}]",
        "approvals: [{role: reviewer, scope: 'note:approve'}]",
        "escalation: [{role: reviewer, within: 1h}]",
        "on_timeout: expire, escalation: []",
        f"mode: human_led, {TWO}",
        "when: {tools: [note.add]}, mode: out_of_the_loop, audit_sample: 0.1",
        "when: {tools: [note.add]}, mode: on_the_loop, objection_window: 9d",
        'when: {tools: ["note*"]}, mode: on_the_loop',
        "when: {effect_types: [note]}, mode: on_the_loop",
        "mode: on_the_loop",
        "when: {tenants: [acme]}",
    ],
)
def test_what_may_be_meant_is_not(command: Command, rule: str) -> None:
    """A long objection window too: nothing is opened before it ends."""
    assert checked(command, rule) == []


@pytest.mark.parametrize(
    ("above", "below", "never"),
    [
        ("mode: in_the_loop", "when: {tools: [x]}", True),
        ("when: {tools: ['*']}", "when: {tools: [x]}", True),
        ("when: {tools: ['a.*']}", "when: {tools: [a.b, 'a.c.*']}", True),
        ("when: {tools: ['a.*']}", "when: {tools: [a.b], risk_levels: [low]}", True),
        ("when: {risk_levels: [low, high]}", "when: {risk_levels: [high]}", True),
        ("when: {tools: ['*']}", "mode: in_the_loop", False),
        ("when: {tools: [x]}", "when: {tools: [x, y]}", False),
        ("when: {tools: ['a.b']}", "when: {tools: ['a.*']}", False),
        ("when: {risk_levels: [low]}", "when: {risk_levels: [low, high]}", False),
        ("when: {risk_levels: [low]}", "when: {tools: [x]}", False),
        ("when: {authority_transitions: [draft_to_send]}", "when: {effect_types: [x]}", False),
    ],
)
def test_a_rule_below_one_that_takes_all_never_matches(
    command: Command, above: str, below: str, never: bool
) -> None:
    """It names the one above."""
    warnings = checked(command, above, below)

    assert [True] * never == ["p.yaml:10: rules[1]: never matches: the rule 'r0'" in line
                              for line in warnings]  # fmt: skip


def test_defaults_without_a_ladder_expire(command: Command) -> None:
    """`escalate` is what on_timeout is when nothing is said."""
    head = HEAD.replace("defaults: {escalation: [{role: senior_reviewer, within: 1h}]}\n", "")

    [warning] = checked(command, "mode: in_the_loop", head=head)

    assert "there is no escalation: what nobody decides expires" in warning


def test_no_rules_at_all_is_warned_of(command: Command) -> None:
    """It says what holds then: one approval of the highest role."""
    [warning] = checked(command)

    assert warning.startswith("p.yaml:8: rules: there are none: every request needs one approval")


def test_apply_warns_too(command: Command) -> None:
    """Whoever does not check first sees it all the same."""
    Path("p.yaml").write_text(HEAD + "  - {name: led, mode: human_led}\n")

    ran = command("policy", "apply", "p.yaml", settings={"PARTITIONS": "many"})

    assert (ran.code, "warning: p.yaml:9: rules[0].mode: human_led" in ran.err) == (2, True)

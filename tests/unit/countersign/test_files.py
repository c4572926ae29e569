"""`policy check`, `reviewers check`: errors name the line and the mend."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from countersign.commands.reviewers import read_directory_file, who
from countersign.directory_file import changes, entries
from schemas.directory import Absence, ReviewerAuthorization
from tests import examples as e
from tests.unit.countersign.command import Command

POLICY = """\
tenant_id: acme
policy_version: "7"
role_order: [reviewer, senior_reviewer]
defaults: {decide_within: 24h}
rules:
  - name: notices
    when: {tools: ["notice.*"]}
    approvals: [{role: senior_reviewer}]
"""
DIRECTORY = """\
tenant_id: acme
reviewers:
  - reviewer_id: r.a
    roles: [reviewer]
    scopes: ["notice:approve"]
    max_risk_level: high
    active_until: 2027-01-01T00:00:00Z
    delegates: [{to: r.b, from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00Z}]
    absences: [{from: 2026-03-01T00:00:00Z, until: 2026-04-01T00:00:00Z, delegate: r.b}]
    linked_identities: ["svc:a"]
  - reviewer_id: r.b
    roles: [reviewer]
    scopes: []
    max_risk_level: low
    linked_identities: ["svc:b"]
agents:
  - {agent_id: "agent:x", owner: r.a}
"""


def test_a_valid_policy_is_summed_up(command: Command) -> None:
    """Tenant, version, and the digest of what would be published."""
    Path("p.yaml").write_text(POLICY)

    ran = command("policy", "check", "p.yaml", "--json")

    assert ran.code == 0
    assert (ran.json["tenant_id"], ran.json["policy_version"], ran.json["rules"]) == (
        "acme",
        "7",
        1,
    )


def test_yaml_and_json_of_the_same_policy_have_one_digest(command: Command) -> None:
    """The canonical form is published, not the file."""
    import json

    import yaml

    Path("p.yaml").write_text(POLICY)
    Path("p.json").write_text(json.dumps(yaml.safe_load(POLICY), indent=4))

    digests = {
        command("policy", "check", name, "--json").json["document_digest"]
        for name in ("p.yaml", "p.json")
    }

    assert len(digests) == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "mend"),
    [
        ("rules:", "rulez:", 5, "did you mean rules?"),
        ('"7"', "7", 2, "put it in quotes"),
        ("24h", "1 day", 4, "write a duration"),
        ("role: senior_reviewer", "rol: senior_reviewer", 8, "unknown key; did you mean role?"),
        ("decide_within: 24h", "on_timeout: approve", 4, "a timeout never approves"),
        ("    when:", "    on_timeout: auto_approve\n    when:", 7, "a timeout never approves"),
        ("    when:", "    on_timeout: Grant\n    when:", 7, "a timeout never approves"),
        ("    when:", "    colour: red\n    when:", 7, "unknown key; remove it (known here: "),
        ("    when:", "    mode: in_loop\n    when:", 7, "did you mean 'in_the_loop'?"),
        ("    when:", "    audit_sample: some\n    when:", 7, "audit_sample: must be a number"),
        ("    when:", "    audit_sample: 3\n    when:", 7, "audit_sample: must be at most 1"),
        ("    when:", "    calendar: none\n    when:", 7, "no calendar is named 'none'"),
        ("tenant_id: acme", "tenant_id: acme\ntenant_id: acme", 2, "stands twice"),
        ("tenant_id: acme\n", "", 1, "tenant_id: is missing"),
        ("[reviewer, senior_reviewer]", "[a, a]", 3, "names a role twice"),
        ("rules:", "rules:\n  - {name: notices}", 7, "two rules are named 'notices'"),
        ("rules:", "rules:\n  - &a {name: a}\n  - {<<: *a, name: notices}", 8, "two rules are"),
        (
            "rules:",
            "tools:\n  - {tool: x, effect_type: e, min_reviewer_role: legal}\nrules:",
            6,
            "asks for role 'legal'",
        ),
        ("rules:", "rules: [", 6, "not YAML"),
        ("tenant_id: acme", "tenant_id: acme\n1: x", 1, "a key must be text; put it in quotes"),
    ],
)
def test_an_error_in_a_policy_names_its_line_and_mend(
    command: Command, old: str, new: str, line: int, mend: str
) -> None:
    """`file:line: where: what`; exit 2."""
    Path("p.yaml").write_text(POLICY.replace(old, new, 1))

    ran = command("policy", "check", "p.yaml")

    assert ran.code == 2
    assert any(one.startswith(f"p.yaml:{line}:") and mend in one for one in ran.err.splitlines()), (
        ran.err
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "mend"),
    [
        ("to: r.b", "to: r.c", 8, "r.c is not in this file"),
        ("until: 2026-02-01", "until: 2025-02-01", 8, "ends before it begins"),
        ("reviewer_id: r.b", "reviewer_id: r.a", 11, "stands twice"),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00", 7, "add the time zone"),
        ('"notice:approve"', "approve", 5, "write a scope as subject:decision"),
        ("to: r.b", "to: r.a", 8, "cannot stand in for themselves"),
        ("delegates", "absenses", 8, "did you mean absences?"),
        ("delegate: r.b", "delegate: r.c", 9, "r.c is not in this file"),
        ("delegate: r.b", "delegate: r.a", 9, "cannot stand in for themselves"),
        ("until: 2026-04-01", "until: 2026-02-01", 9, "ends before it begins"),
        ("svc:a", "r.b", 10, "another reviewer of this file; link it, or list it, not both"),
        ("svc:a", "r.a", 10, "own id; remove it"),
        ("svc:a", "svc:b", 15, "svc:b is linked to r.a already"),
        ("max_risk_level: low", "max_risk_level: tiny", 14, "must be"),
        ("owner:", "ownr:", 17, "did you mean owner?"),
    ],
)
def test_an_error_in_a_directory_names_its_line_and_mend(
    command: Command, old: str, new: str, line: int, mend: str
) -> None:
    """The same for people."""
    Path("d.yaml").write_text(DIRECTORY.replace(old, new, 1))

    ran = command("reviewers", "check", "d.yaml")

    assert ran.code == 2
    assert any(one.startswith(f"d.yaml:{line}:") and mend in one for one in ran.err.splitlines()), (
        ran.err
    )


def test_a_valid_directory_is_summed_up(command: Command) -> None:
    """Counts and the digest of the file."""
    Path("d.yaml").write_text(DIRECTORY)

    ran = command("reviewers", "check", "d.yaml", "--json")

    assert (ran.code, ran.json["reviewers"], ran.json["agents"]) == (0, 2, 1)


def test_absences_and_linked_identities_are_published() -> None:
    """Where tasks read them."""
    Path("d.yaml").write_text(DIRECTORY)

    first, second, _ = entries(*read_directory_file(Path("d.yaml")))

    assert isinstance(first, ReviewerAuthorization) and isinstance(second, ReviewerAuthorization)
    [absence] = first.absences
    assert absence == Absence(
        valid_from=datetime(2026, 3, 1, tzinfo=UTC),
        valid_until=datetime(2026, 4, 1, tzinfo=UTC),
        delegate="r.b",
    )
    assert (first.linked_identities, second.linked_identities) == (["svc:a"], ["svc:b"])
    assert second.absences == []


def test_only_what_changed_is_published_and_who_left_is_removed() -> None:
    """Entries that differ in nothing but the file's digest are left alone."""
    same, other, gone = (e.a_reviewer(reviewer_id=name) for name in ("same", "other", "gone"))
    wanted = [
        same.model_copy(update={"directory_digest": "new"}),
        other.model_copy(update={"max_risk_level": "low", "directory_digest": "new"}),
    ]

    found = changes(list(wanted), [same, other, gone], "new")

    assert [(who(one), one.removed) for one in found] == [("other", False), ("gone", True)]


@pytest.mark.parametrize("group", ["policy", "reviewers"])
def test_a_file_that_is_not_there_is_named(command: Command, group: str) -> None:
    """Exit 2."""
    ran = command(group, "check", "nowhere.yaml")

    assert (ran.code, "nowhere.yaml: No such file" in ran.err) == (2, True)

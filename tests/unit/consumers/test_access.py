"""The table of rights, what is made of it, and the comparison with what a broker has."""

from __future__ import annotations

import os
import stat
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from consumers.access import (
    ACCESS,
    CLUSTER,
    DEFAULT_PRINCIPALS,
    ROLES,
    Operation,
    Principals,
    Right,
    Role,
    quotas,
    rights,
    role_that_writes,
)
from consumers.acls_admin import Found, compare
from consumers.acls_script import SCRIPT, script
from schemas.topics import INPUT_TOPICS, TOPICS

ALL = rights(DEFAULT_PRINCIPALS, "t.")
PREFIXED = [f"t.{name}" for name in TOPICS]


def writers(topic: str) -> set[Role]:
    return {role for role in ROLES if topic in ACCESS[role].writes}


def as_found(right: Right) -> Found:
    return Found(right.principal, right.resource, right.name, right.pattern, right.operation)


def test_every_topic_has_the_writers_that_the_topics_table_names() -> None:
    """`written_by` of each topic, and the worker's clock ticks on its inputs."""
    named: dict[str, set[Role]] = {
        "agents": {"agent"},
        "reviewers' programs": {"reviewer", "balancer"},
        "executors, the notifier": {"executor", "notifier"},
        "the notifier": {"notifier"},
        "worker": {"worker"},
        "policy apply": {"governor"},
        "reviewers apply": {"governor"},
        "worker, balancer": {"worker", "balancer"},
    }

    for name, spec in TOPICS.items():
        ticks: set[Role] = {"worker"} if name in INPUT_TOPICS else set()
        assert named[spec.written_by] | ticks == writers(name), name


def test_only_the_worker_writes_what_decides() -> None:
    """Decisions, gates, journal, checkpoints, states; and only it may begin its transactions."""
    for name in ("human.decision_recorded", "tool-gate", "audit-journal", "audit-checkpoint"):
        assert {"worker"} == writers(name)
    assert {("User:countersign-worker", "t.control-", "PREFIXED")} == {
        (right.principal, right.name, right.pattern)
        for right in ALL
        if right.resource == "TRANSACTIONAL_ID"
    }
    assert {"User:countersign-worker"} == {
        right.principal
        for right in ALL
        if right.operation == "READ" and right.name == "t.control-worker"
    }


def test_reviewers_do_not_read_what_tells_the_draw() -> None:
    """The journal says what will be audited, before it is."""
    for role in ROLES:
        reads = "audit-journal" in ACCESS[role].reads
        assert reads == (role in ("worker", "auditor"))


def test_names_of_the_table_are_topics() -> None:
    """A topic that is renamed is renamed here too."""
    for access in ACCESS.values():
        assert {*access.reads, *access.writes} <= TOPICS.keys()


def test_rights_carry_the_prefix() -> None:
    """Of topics, groups and transactional ids; the reader's group has none, nor has the cluster."""
    bare = {right.name for right in ALL if not right.name.startswith("t.")}

    assert {CLUSTER, "countersign-reader"} == bare


def test_a_role_is_known_by_what_it_writes() -> None:
    """Exactly; a mixture is nobody's."""
    for role in ROLES:
        assert role == role_that_writes(reversed(ACCESS[role].writes))
    assert role_that_writes(["interrupt-requested", "decision-command"]) is None


def test_nobody_is_slowed_whom_all_wait_for() -> None:
    """The worker has no limit, also not where it plays another role; several roles add up."""
    both: Principals = {"worker": ["User:w"], "agent": ["User:w", "User:a"], "executor": ["User:a"]}

    limits = quotas(both)

    one, other = ACCESS["agent"].quota, ACCESS["executor"].quota
    assert one is not None
    assert other is not None
    assert {"User:a"} == limits.keys()
    assert limits["User:a"]["producer_byte_rate"] == (
        one.producer_byte_rate + other.producer_byte_rate
    )


# --- the script -----------------------------------------------------------------------------------


def test_the_script_is_current() -> None:
    """`deploy/acls.sh` is what the table says; else: python -m consumers.acls_script --write."""
    assert SCRIPT.read_text(encoding="utf-8") == script()


def test_the_script_gives_exactly_these_rights(tmp_path: Path) -> None:
    """Run by a real shell, with a kafka-acls.sh that writes down what it is asked for."""
    said = tmp_path / "said"
    fake = tmp_path / "kafka-acls.sh"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\037" "$@" >>{said}\nprintf "\\n" >>{said}\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "BOOTSTRAP": "b:1",
        "COUNTERSIGN_TOPIC_PREFIX": "t.",
        "AGENT": "User:billing agent",
    }

    subprocess.run(["sh", str(SCRIPT)], env=env, check=True)

    given = {right for line in said.read_text().splitlines() for right in _rights_asked_for(line)}
    principals: Principals = {**DEFAULT_PRINCIPALS, "agent": ("User:billing agent",)}
    assert given == set(rights(principals, "t."))


def _rights_asked_for(line: str) -> list[Right]:
    """The rights that a call of kafka-acls.sh asks for."""
    words = line.removesuffix("\037").split("\037")
    assert words[:4] == ["--bootstrap-server", "b:1", "--add", "--force"]
    principal = words[words.index("--allow-principal") + 1]
    asked = words[words.index("--operation") + 1]
    [operation] = [one for one in get_args(Operation) if one.replace("_", "") == asked.upper()]
    prefixed = "--resource-pattern-type" in words
    pattern = "PREFIXED" if prefixed else "LITERAL"
    kinds = {
        "--topic": "TOPIC",
        "--group": "GROUP",
        "--transactional-id": "TRANSACTIONAL_ID",
    }
    found = [
        Right(principal, kinds[flag], name, pattern, operation)  # type: ignore[arg-type]
        for flag, name in pairwise(words)
        if flag in kinds
    ]
    if "--cluster" in words:
        found.append(Right(principal, "CLUSTER", CLUSTER, "LITERAL", operation))
    return found


# --- the comparison -------------------------------------------------------------------------------


def test_nothing_is_missing_when_all_is_there() -> None:
    """And what others may do elsewhere is not ours to say."""
    elsewhere = [
        Found("User:x", "TOPIC", "t.other", "LITERAL", "WRITE"),
        Found("User:x", "GROUP", "*", "LITERAL", "ALL"),
        Found("User:x", "TOPIC", "t.tool-gate", "LITERAL", "READ"),
    ]

    acls = compare(ALL, [*map(as_found, ALL), *elsewhere], PREFIXED)

    assert acls.missing == ()
    assert acls.strange == ()


def test_a_right_from_one_host_is_not_the_right() -> None:
    """Nor is one that is denied."""
    right = ALL[0]
    told = (right.principal, right.resource, right.name, right.pattern, right.operation)

    for found in (Found(*told, host="10.0.0.1"), Found(*told, allows=False)):
        assert right in compare(ALL, [found], PREFIXED).missing


@pytest.mark.parametrize(
    "found",
    [
        Found("User:x", "TOPIC", "t.audit-journal", "LITERAL", "WRITE"),
        Found("User:x", "TOPIC", "t.audit-journal", "LITERAL", "DELETE", host="10.0.0.1"),
        Found("User:x", "TOPIC", "*", "LITERAL", "ALL"),
        Found("User:x", "TOPIC", "t.", "PREFIXED", "WRITE"),
        Found("User:x", "TOPIC", "", "PREFIXED", "ALTER_CONFIGS"),
        Found("User:x", "TRANSACTIONAL_ID", "t.control-1", "LITERAL", "WRITE"),
        Found("User:x", "TRANSACTIONAL_ID", "t.", "PREFIXED", "ALL"),
        Found("User:countersign-agent", "TOPIC", "t.decision-command", "LITERAL", "WRITE"),
        Found("User:countersign-worker", "TOPIC", "*", "LITERAL", "WRITE", allows=False),
    ],
    ids=str,
)
def test_who_else_may_change_what_is_ours_is_said(found: Found) -> None:
    """By name, by prefix, by a star; and a denial of a principal of ours."""
    acls = compare(ALL, [*map(as_found, ALL), found], PREFIXED)

    assert acls.strange == (str(found),)

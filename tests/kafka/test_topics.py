"""`topics plan` and `apply` against a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from consumers.settings import load
from consumers.topics_admin import Difference, TopicsWrong, apply, assert_topics, differences, mend
from schemas.topics import TOPICS
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def countersign(env: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "countersign", *arguments],
        env=dict(env),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_after_apply_nothing_differs(deployment: Deployment) -> None:
    """The topics are as they must be, and to apply again changes nothing."""
    assert_topics(deployment.settings)

    assert apply(deployment.settings) == []


def test_missing_topics_are_planned_and_made(deployment: Deployment) -> None:
    """plan changes nothing; apply makes all of them; then plan has nothing to say."""
    env = {**deployment.env, "COUNTERSIGN_TOPIC_PREFIX": f"{deployment.settings.topic_prefix}b."}
    settings = load(env)
    try:
        planned = countersign(env, "topics", "plan", "--json")
        applied = countersign(env, "topics", "apply")
        after = countersign(env, "topics", "plan", "--json")
    finally:
        admin = AdminClient(deployment.config)
        for future in admin.delete_topics([settings.topic(name) for name in TOPICS]).values():
            future.result(timeout=20)

    missing: dict[str, Any] = json.loads(planned[1])
    assert planned[0] == 0
    assert {one["topic"] for one in missing["differences"]} == {settings.topic(n) for n in TOPICS}
    assert applied[0] == 0, applied[2]
    assert "17 topics are as they must be" in applied[1]
    found: dict[str, Any] = json.loads(after[1])
    assert (found["right"], found["differences"]) == (True, [])


def test_a_changed_configuration_is_mended(deployment: Deployment) -> None:
    """Only what differs is set."""
    settings = deployment.settings
    admin = AdminClient(deployment.config)
    journal = deployment.topic("audit-journal")
    mend(settings, admin, [Difference(journal, "config", "3600000", "-1", "retention.ms")])
    found = eventually(lambda: differences(settings))

    done = apply(settings)

    assert [(one.topic, one.key, one.found) for one in found] == [
        (journal, "retention.ms", "3600000")
    ]
    assert done == found
    assert_topics(settings)


def test_another_partition_count_is_refused(deployment: Deployment) -> None:
    """Named, exit 1, with what can be done; nothing is changed."""
    env = {**deployment.env, "COUNTERSIGN_PARTITIONS": "5"}

    with pytest.raises(TopicsWrong, match="partitions is 4, must be 5"):
        assert_topics(load(env))
    status, _, said = countersign(env, "topics", "apply")

    assert status == 1
    assert f"{deployment.topic('tool-gate')}: partitions is 4, must be 5" in said
    assert "COUNTERSIGN_PARTITIONS=4" in said


def test_rights_that_nobody_enforces_are_not_given(deployment: Deployment) -> None:
    """A broker without an authorizer: apply says what to set there; plan shows them all the same."""
    status, _, said = countersign(deployment.env, "topics", "apply", "--acls")
    planned = countersign(deployment.env, "topics", "plan")

    assert status == 1
    assert "authorizer.class.name" in said
    assert planned[0] == 0
    assert "authorizer.class.name" in planned[1]
    assert f"writes: {deployment.topic('interrupt-requested')}" in planned[1]


def test_limits_are_said_where_they_cannot_be_set(deployment: Deployment) -> None:
    """Without kafka-configs.sh: exit 1, with the commands to run where it is."""
    env = {**deployment.env, "PATH": str(deployment.directory)}

    status, _, said = countersign(env, "topics", "apply", "--quotas")

    assert status == 1
    assert "were not set" in said
    assert (
        f"kafka-configs.sh --bootstrap-server {deployment.settings.bootstrap_servers} --alter"
        " --entity-type users --entity-name countersign-agent --add-config producer_byte_rate="
    ) in said


def test_a_broker_out_of_reach_is_said(deployment: Deployment) -> None:
    """Exit 3, with the variable to look at."""
    env = {**deployment.env, "COUNTERSIGN_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    status, _, said = countersign(env, "topics", "plan")

    assert status == 3
    assert "COUNTERSIGN_BOOTSTRAP_SERVERS" in said

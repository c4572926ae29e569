"""What differs between the topics as they must be and as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumers.settings import load
from consumers.topics_admin import Difference, Found, Wanted, compare, wanted
from schemas.topics import TOPICS

TOPIC = Wanted("t.tool-gate", 12, {"cleanup.policy": "delete", "retention.ms": "-1"})
FINE = Found(12, 3, {"cleanup.policy": "delete", "retention.ms": "-1", "min.insync.replicas": "2"})


def differs(found: Found | None, *, brokers: int = 3) -> list[Difference]:
    there = {TOPIC.topic: found} if found is not None else {}
    return compare([TOPIC], there, brokers=brokers)


def test_nothing_differs() -> None:
    """A topic that is as it must be, and others, which are not ours."""
    assert differs(FINE) == []
    assert compare([], {"other": FINE}, brokers=3) == []


@pytest.mark.parametrize(("brokers", "replicas"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_a_missing_topic_is_made(brokers: int, replicas: int) -> None:
    """With three replicas where there are three brokers."""
    [found] = differs(None, brokers=brokers)

    assert found == Difference(
        TOPIC.topic, "missing", f"partitions 12, replicas {replicas}", "nothing"
    )
    assert found.mendable


def test_a_configuration_that_differs_is_mended() -> None:
    """Each key is named; one that is not told counts as different."""
    found = differs(replace(FINE, config={"cleanup.policy": "compact", "retention.ms": "-1"}))

    assert [(one.key, one.found, one.expected) for one in found] == [
        ("cleanup.policy", "compact", "delete"),
        ("min.insync.replicas", "unset", "2"),
    ]
    assert all(one.mendable for one in found)
    assert str(found[0]) == "t.tool-gate: cleanup.policy is compact, must be delete"


def test_a_partition_count_is_for_life() -> None:
    """It cannot be mended, and the line says what can be done."""
    [found] = differs(replace(FINE, partitions=4))

    assert not found.mendable
    assert found.line.startswith("t.tool-gate: partitions is 4, must be 12; the count is fixed")
    assert "COUNTERSIGN_PARTITIONS=4" in found.line


def test_a_directory_has_one_partition() -> None:
    """The setting is no cure there, and is not named as one."""
    topic = replace(TOPIC, partitions=1)

    [found] = compare([topic], {topic.topic: FINE}, brokers=3)

    assert "COUNTERSIGN_PARTITIONS" not in found.mend


def test_too_few_replicas_are_named() -> None:
    """min.insync.replicas follows the replicas there are: two of one would stop every write."""
    found = differs(Found(12, 1, {**FINE.config, "min.insync.replicas": "1"}))

    assert [(one.kind, one.expected, one.found) for one in found] == [("replication", "3", "1")]
    assert not found[0].mendable


def test_a_broker_that_is_away_changes_nothing() -> None:
    """Three replicas are still right while only two brokers answer."""
    assert differs(FINE, brokers=2) == []


def test_every_topic_of_the_table_is_wanted() -> None:
    """Under the prefix, with the partitions that the settings say; directories with one."""
    settings = load({"COUNTERSIGN_TOPIC_PREFIX": "t.", "COUNTERSIGN_PARTITIONS": "7"})

    topics = {topic.topic: topic for topic in wanted(settings)}

    assert set(topics) == {f"t.{name}" for name in TOPICS}
    assert topics["t.tool-gate"].partitions == 7
    assert topics["t.control-policy"].partitions == 1
    assert topics["t.interrupt-state"].config["cleanup.policy"] == "compact"

"""Which task a package belongs to, which worker has it, and how far behind its inputs it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.offsets import ANSWER_WITHIN_S, offsets
from consumers.reading import connected, partitions_of, read_topic
from schemas.topics import INPUT_TOPICS, partition_for, record_key

GROUP: Final = "control-worker"
_COUNTED_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class TaskPosition:
    """owner: the member and its host, None when no worker has the task. lag: records appended and
    not yet handled, by input topic; None where the group has no position yet."""

    partition: int
    owner: str | None
    lag: Mapping[str, int | None]

    def form(self) -> dict[str, Any]:
        """The position as JSON."""
        return {"partition": self.partition, "owner": self.owner, "lag": dict(self.lag)}


def task_position(
    config: Mapping[str, Any],
    named: Callable[[str], str],
    tenant_id: str,
    decision_package_id: str,
) -> TaskPosition:
    """Where the package's task stands. Raises TopicMissing, KafkaException."""
    count = partitions_of(config, named(INPUT_TOPICS[0]))
    partition = partition_for(record_key(tenant_id, decision_package_id), count)
    admin = connected(config)
    group = named(GROUP)
    places = {name: (named(name), partition) for name in INPUT_TOPICS}
    ends = offsets(admin, places.values(), "latest")
    committed = _committed(admin, group, list(places.values()))
    lag: dict[str, int | None] = {}
    for name, place in places.items():
        at = committed.get(place)
        if ends[place] == 0:
            lag[name] = 0  # nothing was ever appended, so there is no position either
        elif at is None:
            lag[name] = None
        else:
            lag[name] = _records(config, place, at, ends[place])
    return TaskPosition(partition, _owner(admin, group, places[INPUT_TOPICS[0]]), lag)


def _records(config: Mapping[str, Any], place: tuple[str, int], at: int, end: int) -> int:
    """How many records lie between; a few offsets may be transaction markers, which are none."""
    if end - at > _COUNTED_MAX:
        return end - at
    topic, partition = place
    return sum(1 for _ in read_topic(config, topic, partitions=[partition], start={partition: at}))


def _committed(
    admin: AdminClient, group: str, places: list[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    asked: Any = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])],
        request_timeout=ANSWER_WITHIN_S,
    )
    found = asked[group].result(timeout=2 * ANSWER_WITHIN_S)
    return {(at.topic, at.partition): at.offset for at in found.topic_partitions if at.offset >= 0}


def _owner(admin: AdminClient, group: str, place: tuple[str, int]) -> str | None:
    asked: Any = admin.describe_consumer_groups([group], request_timeout=ANSWER_WITHIN_S)
    try:
        described = asked[group].result(timeout=2 * ANSWER_WITHIN_S)
    except KafkaException:
        return None  # no such group: no worker has ever run here
    for member in described.members:
        assigned = member.assignment.topic_partitions if member.assignment else []
        if any((at.topic, at.partition) == place for at in assigned):
            return f"{member.client_id} at {member.host} ({member.member_id})"
    return None

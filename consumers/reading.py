"""Reads stretches of topics to their present end, as people's commands and proofs need it.

It joins no group and commits nothing. Only what was committed is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.offsets import ANSWER_WITHIN_S, Place, offsets
from producers.connection import logger
from schemas.headers import Headers

STALLED_AFTER_S: Final = 30.0
"""An open transaction ends within its 10 s time-out; longer means something is wrong."""
_BATCH: Final = 1000
_POLL_S: Final = 0.5
_LEADERLESS: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class TopicMissing(Exception):
    """The topic does not exist; the message names it."""


class ReadStalled(Exception):
    """The broker stopped answering before the end was reached."""


@dataclass(frozen=True, slots=True)
class Read:
    """A record as it stands in the log. `appended` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    appended: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers


Progress = Callable[[int, int], None]
"""Called with (offsets passed, offsets in all)."""


def partitions_of(config: Mapping[str, Any], topic: str) -> int:
    """How many partitions the topic has. Raises TopicMissing, KafkaException."""
    return _partitions(AdminClient(dict(config), logger=logger), topic)


def connected(config: Mapping[str, Any]) -> AdminClient:
    """An admin client that has met its broker: the first question of one that has not can take
    three seconds (measured), unless it is for the list of topics. Raises KafkaException."""
    admin = AdminClient(dict(config), logger=logger)
    admin.list_topics(timeout=ANSWER_WITHIN_S)
    return admin


def read_topic(
    config: Mapping[str, Any],
    topic: str,
    *,
    partitions: Sequence[int] | None = None,
    start: Mapping[int, int] | None = None,
    progress: Progress | None = None,
) -> Iterator[Read]:
    """Every committed record of the partitions (all by default) from their first to their ends.

    start: by partition, the offset to begin at instead of the first.

    The ends are asked once, uncommitted records included, so that a transaction committed before
    the call is always read. Raises TopicMissing, ReadStalled, KafkaException.
    """
    admin = AdminClient(dict(config), logger=logger)
    count = _partitions(admin, topic)
    places = [(topic, number) for number in (range(count) if partitions is None else partitions)]
    first = {place[1]: at for place, at in _offsets(admin, places, "earliest").items()}
    ends = {place[1]: at for place, at in _offsets(admin, places, "latest").items()}
    first |= {number: max(at, first[number]) for number, at in (start or {}).items()}
    open_ends = {number: end for number, end in ends.items() if end > first[number]}
    if not open_ends:
        return
    total = sum(end - first[number] for number, end in open_ends.items())
    consumer = _consumer(config)
    try:
        consumer.assign([TopicPartition(topic, number, first[number]) for number in open_ends])
        position = {number: first[number] for number in open_ends}
        quiet_since = time.monotonic()
        while open_ends:
            batch = _what_came(consumer)
            for message in batch:
                place = _partition(message)
                position[place] = max(position[place], _next_offset(message))
                if message.error() is None and _offset(message) < ends[place]:
                    yield _as_read(message)
                if position[place] >= ends[place] and open_ends.pop(place, None) is not None:
                    consumer.incremental_unassign([TopicPartition(topic, place)])
            if batch:
                quiet_since = time.monotonic()
                if progress is not None:
                    progress(sum(min(position[n], ends[n]) - first[n] for n in position), total)
            elif time.monotonic() - quiet_since > STALLED_AFTER_S:
                raise ReadStalled(f"{topic}: no record for {STALLED_AFTER_S:.0f} s before the end")
    finally:
        consumer.close()


def follow(config: Mapping[str, Any], topics: Sequence[str], *, from_start: bool) -> Iterator[Read]:
    """Records as they come, until the caller stops. Raises TopicMissing, KafkaException."""
    consumer = _consumer(config)
    try:
        admin = AdminClient(dict(config), logger=logger)
        places = [
            (topic, number) for topic in topics for number in range(_partitions(admin, topic))
        ]
        start = _offsets(admin, places, "earliest" if from_start else "latest")
        consumer.assign([TopicPartition(*place, at) for place, at in start.items()])
        while True:
            for message in _what_came(consumer):
                error = message.error()
                if error is None:
                    yield _as_read(message)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
    finally:
        consumer.close()


def _partitions(admin: AdminClient, topic: str) -> int:
    # All topics, for asking about one by name may make it.
    found = admin.list_topics(timeout=ANSWER_WITHIN_S).topics.get(topic)
    if found is None:
        raise TopicMissing(topic)
    return len(found.partitions)


def _consumer(config: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {
            **config,
            "group.id": "countersign-reader",  # required by librdkafka; never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": 20,  # an end is told when a fetch comes back empty
            "topic.metadata.refresh.fast.interval.ms": 20,  # so is a leader, after the first look
        },
        logger=logger,
    )


def _offsets(
    admin: AdminClient, places: Sequence[Place], where: Literal["earliest", "latest"]
) -> dict[Place, int]:
    """`offsets`, asked again while a topic that was just made finds its leaders."""
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            return offsets(admin, places, where)
        except KafkaException as error:
            if error.args[0].code() not in _LEADERLESS or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)


def _what_came(consumer: Consumer) -> list[Message]:
    """Waits for one message and takes what came with it; `consume` alone waits for a whole batch."""
    first = consumer.poll(_POLL_S)
    return [] if first is None else [first, *consumer.consume(_BATCH, timeout=0)]


def _partition(message: Message) -> int:
    partition = message.partition()
    if partition is None or partition < 0:
        error = message.error()
        raise KafkaException(error)
    return partition


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def _next_offset(message: Message) -> int:
    """Where the partition stands after this message; an end names the offset after the last
    record or transaction marker."""
    error = message.error()
    if error is None:
        return _offset(message) + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return _offset(message)
    raise KafkaException(error)


def _as_read(message: Message) -> Read:
    kind, millis = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        millis = 0
    topic = message.topic()
    assert topic is not None
    headers: Any = message.headers() or ()
    return Read(
        topic,
        _partition(message),
        _offset(message),
        datetime.fromtimestamp(millis / 1000, UTC),
        _bytes(message.key()),
        _bytes(message.value()),
        [(name, _bytes(raw)) for name, raw in headers],
    )


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data

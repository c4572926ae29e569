"""The gates as they come, for the executors of one group: the port, and Kafka behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.connection import BrokerUnreachable, KafkaConfig, NotAllowed, logger, unreachable
from schemas.codec import RegistryUnavailable, Undecodable, decode
from schemas.events import ToolGateEvent
from schemas.headers import Headers
from schemas.topics import RECORD_BYTES_MAX

TOPIC: Final = "tool-gate"
BATCH_MAX: Final = 500
"""Records a turn; each may be 256 KiB."""
ACT_WITHIN_S: Final = 900.0
"""How long one action may take. One that takes longer loses its partitions to another copy, which
then raises a doubt about it; it is still reported when it ends."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The feed went past this offset. gate: None when what stands there is no gate event."""

    partition: int
    offset: int
    gate: ToolGateEvent | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything that stood in the partition has been passed."""

    partition: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """These partitions are ours now, from their committed offsets on."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """These partitions are not ours any more; nothing may be committed for them."""

    partitions: tuple[int, ...]


Happening = Passed | CaughtUp | Assigned | Revoked


class GateFeed(Protocol):
    """The gate topic, read_committed, in a consumer group. One thread owns it."""

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """What happened, in order. Raises BrokerUnreachable, NotAllowed."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Keeps where to read on, by partition. False: it could not be; it is only read again."""
        ...

    def hold(self, partitions: Iterable[int], *, held: bool) -> None:
        """Hears nothing more of these partitions while they are held."""
        ...

    def close(self) -> None:
        """Leaves the group."""
        ...


def group_settings(config: KafkaConfig, group: str) -> dict[str, Any]:
    """Every librdkafka key that reading in a group and keeping progress rest on, explicit.

    Always the classic protocol, whatever the setting: a member that is thought dead is fenced by
    its generation. group: without prefix.
    """
    return {
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "max.poll.interval.ms": 300_000,
        **config.common(),
        "group.id": config.topic(group),
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": False,
        "check.crcs": True,
        "queued.max.messages.kbytes": 16_384,
    }


def feed_settings(config: KafkaConfig, group: str) -> dict[str, Any]:
    """The same for a feed: it is told where a partition ends, and waits for an action."""
    return group_settings(config, group) | {
        "enable.partition.eof": True,
        "max.poll.interval.ms": int(ACT_WITHIN_S * 1000),
    }


class KafkaGateFeed:
    """See GateFeed. Callbacks only note what happened."""

    def __init__(self, config: KafkaConfig, group: str) -> None:
        self._config = config
        self._topic = config.topic(TOPIC)
        self._noted: list[Happening] = []
        self._is_away = False
        settings = feed_settings(config, group) | {"error_cb": self._note_error}
        self._consumer = Consumer(settings, logger=logger)
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._note_assigned,
            on_revoke=self._note_revoked,
            on_lost=self._note_revoked,
        )

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """See GateFeed."""
        found: list[Happening] = []
        for number in range(BATCH_MAX):
            message = self._consumer.poll(0 if number else timeout_s)
            found += self._noted  # noted within this poll, so before its message
            self._noted.clear()
            happening = self._heard(message) if message is not None else None
            if happening is None:
                break
            self._is_away = False
            found.append(happening)
        if not found and self._is_away:
            self._is_away = False
            raise BrokerUnreachable(f"{self._config.bootstrap_servers} does not answer")
        return found

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """See GateFeed."""
        places = [TopicPartition(self._topic, number, at) for number, at in offsets.items()]
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            logger.warning("progress was not kept: %s", error.args[0])
            return False
        return all(place.error is None for place in done)

    def hold(self, partitions: Iterable[int], *, held: bool) -> None:
        """See GateFeed."""
        places = [TopicPartition(self._topic, number) for number in partitions]
        (self._consumer.pause if held else self._consumer.resume)(places)

    def close(self) -> None:
        """See GateFeed."""
        self._consumer.close()

    def _heard(self, message: Message) -> Happening | None:
        """What a message says; None: nothing more this turn."""
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and partition is not None:
                return CaughtUp(partition)
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotAllowed(
                    f"topic {self._topic} is not there; make it: countersign topics apply"
                )
            if unreachable(error) or error.code() == KafkaError._MAX_POLL_EXCEEDED:
                return None
            raise NotAllowed(error.str())
        assert partition is not None
        assert offset is not None
        headers: Headers = list(message.headers() or [])  # type: ignore[arg-type]
        try:
            record = decode(
                message.value(),
                headers,
                registry=self._config.registry,
                bytes_max=RECORD_BYTES_MAX,
            )
        except Undecodable as undecodable:
            logger.warning("the gate topic holds what is no record: %s", undecodable.reason)
            record = None
        except RegistryUnavailable as away:
            self._consumer.seek(TopicPartition(self._topic, partition, offset))
            logger.warning("the schema registry does not answer: %s", away)
            return None
        gate = record if isinstance(record, ToolGateEvent) else None
        return Passed(partition, offset, gate)

    def _note_assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._noted.append(Assigned(tuple(sorted(place.partition for place in places))))

    def _note_revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._noted.append(Revoked(tuple(sorted(place.partition for place in places))))

    def _note_error(self, error: KafkaError) -> None:
        self._is_away = self._is_away or error.code() == KafkaError._ALL_BROKERS_DOWN

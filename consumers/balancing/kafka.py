"""Kafka behind the port Log: one consumer that joins no group, one producer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from consumers.balancing.capping import HOUR
from consumers.balancing.ports import Heard, TopicName, Unavailable
from producers.connection import BrokerUnreachable, KafkaConfig, NotAllowed, logger
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from schemas.codec import RegistryUnavailable
from schemas.commands import ReviewTaskCommand
from schemas.directory import ReviewerCapChanged
from schemas.model import Record

BATCH_MAX: Final = 1000
"""Records a turn; each state may be 256 KiB."""
ANSWER_WITHIN_S: Final = 10.0
PUBLISHED_WITHIN_S: Final = 10.0
PROBE_EVERY_S: Final = 5.0
"""How often a broker that went away is asked whether it is back, for /readyz."""
_WHOLE: Final[tuple[TopicName, ...]] = (
    "reviewer-directory",
    "control-policy",
    "review-context",
    "interrupt-state",
)
Place = tuple[str, int]


def consumer_settings(config: KafkaConfig) -> dict[str, Any]:
    """Every librdkafka key that the fold rests on, explicit; pinned by a test."""
    return {
        **config.common(),
        "group.id": config.topic("balancer"),  # required by librdkafka; never joined
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        "queued.max.messages.kbytes": 16_384,
        "fetch.wait.max.ms": 100,
        "allow.auto.create.topics": False,
    }


class KafkaLog:
    """See Log. Raises Unavailable when it is made and no broker answers."""

    def __init__(
        self, config: KafkaConfig, *, key: SigningKey, balancer_id: str, now: datetime
    ) -> None:
        """now: the decisions of the hour before it are read."""
        self._config = config
        self._identity = Identity(key, balancer_id)
        self._publisher: Publisher | None = None
        self._names: dict[str, TopicName] = {}
        self._behind: set[Place] = set()
        self._is_away = False
        self._probe_at = 0.0
        settings = consumer_settings(config) | {"error_cb": self._note_error}
        self._consumer = Consumer(settings, logger=logger)
        try:
            self._consumer.assign(self._beginnings(now - HOUR))
        except KafkaException as error:
            self._consumer.close()
            raise Unavailable("kafka", error.args[0].str()) from None
        except Unavailable:
            self._consumer.close()
            raise

    @property
    def caught_up(self) -> bool:
        """See Log."""
        return not self._behind

    def poll(self, timeout_s: float) -> Sequence[Heard]:
        """See Log. Waits for one message and takes what came with it."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            self._probe()
            return []
        messages = [first, *self._consumer.consume(BATCH_MAX, timeout=0)]
        return [heard for message in messages if (heard := self._heard(message)) is not None]

    def send(self, command: ReviewTaskCommand) -> None:
        """See Log."""
        self._publish(command, self._identity, command.command_id)

    def publish(self, cap: ReviewerCapChanged) -> None:
        """See Log. Signed like a command: the worker believes no cap of anybody else."""
        self._publish(cap, self._identity, cap.event_id)

    def close(self) -> None:
        """Lets go of the broker."""
        self._consumer.close()
        if self._publisher is not None:
            self._publisher.close()

    def _publish(self, record: Record, identity: Identity, record_id: str) -> None:
        """After a failure a new producer begins: the old one may be beyond repair."""
        try:
            if self._publisher is None:
                self._publisher = Publisher(self._config, timeout_s=PUBLISHED_WITHIN_S)
            self._publisher.publish(record, identity=identity, record_id=record_id)
        except (BrokerUnreachable, NotAllowed, KafkaException) as error:
            self._publisher = None
            raise Unavailable("kafka", str(error)) from None
        except RegistryUnavailable as error:
            raise Unavailable("schema registry", str(error)) from None

    def _beginnings(self, since: datetime) -> list[TopicPartition]:
        """Where to begin. Decisions by time: an event is appended no earlier than its command."""
        found = [place for name in _WHOLE for place in self._places(name, OFFSET_BEGINNING)]
        found += self._places("command-refused", OFFSET_END)
        millis = int(since.timestamp() * 1000)
        asked = list(self._places("human.decision_recorded", millis))
        for place in self._consumer.offsets_for_times(asked, timeout=ANSWER_WITHIN_S):
            if place.error is not None:
                raise KafkaException(place.error)
            found.append(place)
        self._behind = {(place.topic, place.partition) for place in found}
        return found

    def _places(self, name: TopicName, offset: int) -> Iterable[TopicPartition]:
        topic = self._config.topic(name)
        # All topics, for asking about one by name may make it.
        known: Mapping[str, Any] = self._consumer.list_topics(timeout=ANSWER_WITHIN_S).topics
        if topic not in known:
            raise Unavailable("kafka", f"topic {topic} is not there; countersign topics apply")
        self._names[topic] = name
        return [TopicPartition(topic, number, offset) for number in known[topic].partitions]

    def _heard(self, message: Message) -> Heard | None:
        error, topic, partition = message.error(), message.topic(), message.partition()
        if error is not None:
            if error.fatal():
                raise KafkaException(error)
            if error.code() == KafkaError._PARTITION_EOF:
                assert topic is not None and partition is not None
                self._behind.discard((topic, partition))
            return None  # librdkafka asks again by itself
        offset = message.offset()
        assert topic is not None and partition is not None and offset is not None
        kind, millis = message.timestamp()
        headers: Any = message.headers() or ()
        return Heard(
            self._names[topic],
            partition,
            offset,
            datetime.fromtimestamp(0 if kind == TIMESTAMP_NOT_AVAILABLE else millis / 1000, UTC),
            _bytes(message.key()),
            _bytes(message.value()),
            [(name, _bytes(raw)) for name, raw in headers],
        )

    def _note_error(self, error: KafkaError) -> None:
        self._is_away = self._is_away or error.code() == KafkaError._ALL_BROKERS_DOWN

    def _probe(self) -> None:
        """While the broker is away, says so, until it answers. Raises Unavailable."""
        if not self._is_away:
            return
        if monotonic() >= self._probe_at:
            self._probe_at = monotonic() + PROBE_EVERY_S
            try:
                self._consumer.list_topics(timeout=1.0)
                self._is_away = False
                return
            except KafkaException:
                pass
        raise Unavailable("kafka", f"{self._config.bootstrap_servers} does not answer")


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data

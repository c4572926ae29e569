"""Kafka behind the port Log: one consumer in the group `notifier`, one producer.

Always the classic group protocol, whatever the setting: the fence rests on its member id, which
librdkafka gives up as soon as the group does not know it any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.notification.kafka_history import History, heard_from
from consumers.notification.ports import Happening, Heard, NotOwner, TopicName, Unavailable
from consumers.notification.progress import Progress, progress_from
from producers.connection import BrokerUnreachable, KafkaConfig, NotAllowed, logger
from producers.executor import Executor
from producers.gate_feed import Assigned, Revoked, group_settings
from producers.publisher import Identity, Publisher
from schemas.codec import RegistryUnavailable
from schemas.headers import TRACEPARENT
from schemas.model import Record

GROUP: Final = "notifier"
BATCH_MAX: Final = 500
"""Records a turn; each may be 256 KiB."""
ANSWER_WITHIN_S: Final = 10.0
PUBLISHED_WITHIN_S: Final = 10.0
PROBE_EVERY_S: Final = 5.0
"""How often a broker that went away is asked whether it is back, for /readyz."""
_HEARD: Final[tuple[TopicName, ...]] = ("tool-gate", "command-refused")
_NOT_OWNER: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._FENCED,
    }
)


def consumer_settings(config: KafkaConfig, instance_id: str | None = None) -> dict[str, Any]:
    """Every librdkafka key that progress and fencing rest on, explicit; pinned by a test."""
    static = {"group.instance.id": instance_id} if instance_id else {}
    return group_settings(config, GROUP) | static


class KafkaLog:
    """See Log. Callbacks only note what happened, and pause what was assigned."""

    def __init__(
        self, config: KafkaConfig, executor: Executor, *, instance_id: str | None = None
    ) -> None:
        self._config = config
        self._identity = Identity(executor.key, executor.executor_id)
        self._names: dict[str, TopicName] = {config.topic(name): name for name in _HEARD}
        self._history = History(config)
        self._publisher: Publisher | None = None
        self._noted: list[Happening] = []
        self._trouble: Unavailable | None = None
        self._member_id: str | None = None
        self._refusals_read: dict[int, int] = {}
        self._is_away = False
        self._probe_at = 0.0
        settings = consumer_settings(config, instance_id) | {"error_cb": self._note_error}
        self._consumer = Consumer(settings, logger=logger)
        self._consumer.subscribe(
            [config.topic(name) for name in _HEARD],
            on_assign=self._note_assigned,
            on_revoke=self._note_revoked,
            on_lost=self._note_revoked,
        )

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """See Log."""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble
        found: list[Happening] = []
        for number in range(BATCH_MAX):
            message = self._consumer.poll(0 if number else timeout_s)
            found += self._noted  # noted within this poll, so before its message
            self._noted.clear()
            if message is None or not self._add(message, found):
                break
        if not found:
            self._probe()
        return found

    def committed(self, partition: int) -> Progress | None:
        """See Log."""
        asked = [TopicPartition(self._config.topic("tool-gate"), partition)]
        try:
            place = self._consumer.committed(asked, timeout=ANSWER_WITHIN_S)[0]
        except KafkaException as error:
            raise Unavailable("kafka", str(error.args[0])) from None
        if place.error is not None:
            raise Unavailable("kafka", place.error.str())
        return progress_from(place.offset, place.metadata) if place.offset >= 0 else None

    def commit(self, progress: Mapping[int, Progress]) -> None:
        """See Log. 1. Commit; 2. see that nobody took the group's word from us meanwhile."""
        gates, refusals = (self._config.topic(name) for name in _HEARD)
        places = [
            TopicPartition(gates, partition, kept.offset, kept.metadata)
            for partition, kept in progress.items()
        ]
        places += [
            TopicPartition(refusals, partition, self._refusals_read[partition])
            for partition in progress
            if partition in self._refusals_read
        ]
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False)  # 1.
            failed = [place.error for place in done if place.error is not None]
        except KafkaException as error:
            failed = [error.args[0]]
        for problem in failed:
            if problem.code() in _NOT_OWNER:
                raise NotOwner(problem.str())
        if failed:
            raise Unavailable("kafka", failed[0].str())
        # 2. One that the group forgot commits as nobody, which an empty group may believe.
        if self._consumer.memberid() != self._member_id:
            raise NotOwner("the group has given this member up")

    def pause(self, partition: int) -> None:
        """See Log."""
        self._consumer.pause([TopicPartition(self._config.topic("tool-gate"), partition)])

    def resume(self, partition: int) -> None:
        """See Log."""
        self._consumer.resume([TopicPartition(self._config.topic("tool-gate"), partition)])

    def end(self, topic: TopicName, partition: int) -> int:
        """See Log."""
        return self._history.end(topic, partition)

    def history(
        self,
        topic: TopicName,
        partition: int,
        *,
        end: int,
        start: int | None = None,
        since: datetime | None = None,
    ) -> Iterator[Heard]:
        """See Log."""
        return self._history.read(topic, partition, end=end, start=start, since=since)

    def publish(self, record: Record, *, record_id: str, traceparent: bytes | None) -> None:
        """See Log. After a failure a new producer begins: the old one may be beyond repair."""
        extra = [(TRACEPARENT, traceparent)] if traceparent else []
        try:
            if self._publisher is None:
                self._publisher = Publisher(self._config, timeout_s=PUBLISHED_WITHIN_S)
            self._publisher.publish(
                record, identity=self._identity, record_id=record_id, extra=extra
            )
        except (BrokerUnreachable, NotAllowed, KafkaException) as error:
            self._publisher = None
            raise Unavailable("kafka", str(error)) from None
        except RegistryUnavailable as error:
            raise Unavailable("schema registry", str(error)) from None

    def close(self) -> None:
        """Leaves the group, without a word about progress: that was committed before."""
        self._consumer.close()
        if self._publisher is not None:
            self._publisher.close()

    def _add(self, message: Message, found: list[Happening]) -> bool:
        """Adds what a message says; False: no more this turn."""
        error = message.error()
        if error is not None:
            if error.fatal():
                raise KafkaException(error)
            if error.code() != KafkaError._MAX_POLL_EXCEEDED:
                self._trouble = Unavailable("kafka", error.str())
            return False
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        name = self._names[topic]
        try:
            found.append(heard_from(message, name, registry=self._config.registry))
        except RegistryUnavailable as unavailable:
            self._consumer.seek(TopicPartition(topic, partition, offset))
            self._trouble = Unavailable("schema registry", str(unavailable))
            return False
        if name == "command-refused":
            self._refusals_read[partition] = offset + 1
        return True

    def _note_assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        gates = [place for place in places if self._names.get(place.topic) == "tool-gate"]
        try:
            consumer.assign(places)
            consumer.pause(gates)
        except KafkaException as error:
            self._trouble = Unavailable("kafka", str(error.args[0]))
        self._member_id = consumer.memberid()
        self._refusals_read.clear()
        self._noted.append(Assigned(tuple(sorted(place.partition for place in gates))))

    def _note_revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        gates = [place for place in places if self._names.get(place.topic) == "tool-gate"]
        self._noted.append(Revoked(tuple(sorted(place.partition for place in gates))))

    def _note_error(self, error: KafkaError) -> None:
        self._is_away = self._is_away or error.code() == KafkaError._ALL_BROKERS_DOWN

    def _probe(self) -> None:
        """While the broker is away, says so, until it answers. Raises Unavailable."""
        if not self._is_away:
            return
        if monotonic() >= self._probe_at:
            self._probe_at = monotonic() + PROBE_EVERY_S
            try:
                self._consumer.list_topics(self._config.topic("tool-gate"), timeout=1.0)
                self._is_away = False
                return
            except KafkaException:
                pass
        raise Unavailable("kafka", f"{self._config.bootstrap_servers} does not answer")

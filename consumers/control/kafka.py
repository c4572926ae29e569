"""The Broker port on Apache Kafka: one consumer, one transactional producer, one reader.

Every key that exactly-once rests on is explicit and pinned by a test (guarantees 1 to 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import (
    OFFSET_STORED,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.control.ports import (
    Batch,
    Change,
    ConsumerLost,
    InputRecord,
    OutputRecord,
    Place,
    ProducerLost,
    StepAborted,
    TaskFenced,
    Unavailable,
)
from consumers.offsets import ANSWER_WITHIN_S, offsets
from producers.connection import KafkaConfig, logger, unreachable
from schemas.topics import INPUT_TOPICS, WRAPPED_BYTES_MAX

TRANSACTION_TIMEOUT_MS: Final = 10_000
"""A worker that dies between two steps holds its partitions up for at most this long."""
SESSION_TIMEOUT_MS: Final = 10_000
POLL_INTERVAL_MAX_MS: Final = 60_000
COMMIT_WITHIN_S: Final = 12.0
"""Until the outcome counts as unknown; above transaction.timeout.ms."""
_CALL_S: Final = 5.0
_READ_PORTION: Final = 1000
_READ_WAIT_S: Final = 0.2
_READ_STALLED_S: Final = 60.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Guard = Callable[[], AbstractContextManager[object]]
"""Watches a call that may hang for ever."""


def consumer_settings(
    config: KafkaConfig, *, protocol: str, instance_id: str | None
) -> dict[str, Any]:
    """Every librdkafka key of the group consumer that our guarantees rest on."""
    settings: dict[str, Any] = {
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": 3000,
        **config.common(),
        "group.id": config.topic("control-worker"),
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "max.poll.interval.ms": POLL_INTERVAL_MAX_MS,
        "queued.max.messages.kbytes": 16_384,
        "fetch.wait.max.ms": 100,
        "enable.partition.eof": False,
        "allow.auto.create.topics": False,
    }
    if instance_id is not None:
        settings["group.instance.id"] = instance_id
    if protocol == "consumer":  # KIP-848: the broker decides these
        settings.pop("session.timeout.ms", None)
        settings.pop("heartbeat.interval.ms", None)
        settings["group.remote.assignor"] = "range"
    else:
        settings["partition.assignment.strategy"] = "range"
    return settings


def producer_settings(config: KafkaConfig) -> dict[str, Any]:
    """Every librdkafka key of the transactional producer that our guarantees rest on."""
    return {
        **config.common(),
        "transactional.id": config.topic(f"control-{uuid4()}"),
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 0,
        "message.max.bytes": WRAPPED_BYTES_MAX,
        "queue.buffering.max.messages": 100_000,
    }


def reader_settings(config: KafkaConfig) -> dict[str, Any]:
    """Keys of the consumer that reads stretches of the log; it joins no group."""
    return {
        **config.common(),
        "group.id": config.topic("control-reader"),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        "fetch.wait.max.ms": 50,
    }


class KafkaBroker:
    """See Broker."""

    def __init__(
        self,
        config: KafkaConfig,
        *,
        protocol: str = "classic",
        instance_id: str | None = None,
        guard: Guard = nullcontext,
    ) -> None:
        """Joins the group at the first poll. guard: runs around calls that are known to hang."""
        self._config = config
        self._guard = guard
        self._admin = AdminClient(config.common(), logger=logger)
        self._readers: list[Consumer] = []  # idle ones; stretches may be read side by side
        self._producer = self._new_producer()
        self._down = self._outlived = False
        self._changes: list[Change] = []
        self._incremental = protocol == "consumer"
        self._next: dict[Place, int] = {}
        self._paused: set[Place] = set()
        settings = consumer_settings(config, protocol=protocol, instance_id=instance_id)
        self._consumer = Consumer({**settings, "error_cb": self._note_error}, logger=logger)
        # Nothing happens in a callback but noting that it happened: what it raises would surface
        # from an unrelated call.
        self._consumer.subscribe(
            [config.topic(name) for name in INPUT_TOPICS],
            on_assign=lambda _, found: self._note("assigned", found),
            on_revoke=lambda _, found: self._note("revoked", found),
            on_lost=lambda _, found: self._note("revoked", found),
        )

    def poll(self, *, records_max: int, timeout_s: float) -> Batch:
        """See Broker."""
        # `consume` alone waits the whole time-out for a full batch; so one record is waited for,
        # and what stands behind it is taken along.
        first = self._consumer.poll(timeout_s)
        messages = [] if first is None else [first]
        messages += self._consumer.consume(max(records_max - len(messages), 1), timeout=0)
        # Taken with the batch: taken at commit, after another poll, a zombie's would be accepted.
        membership = self._consumer.consumer_group_metadata()
        records = [record for message in messages if (record := self._polled(message))]
        if self._down:
            if not records:
                self._ask_whether_down()
            self._down, self._outlived = False, True
        changes, self._changes = self._changes, []
        for change in changes:
            if change.kind != "reset":  # a new assignment starts afresh, unpaused
                self._paused -= change.places
                for place in change.places:
                    self._next.pop(place, None)
        for record in records:
            self._next[record.place] = record.offset + 1
        return Batch(records, membership, changes)

    def commit(
        self, outputs: Iterable[OutputRecord], positions: Mapping[Place, int], membership: object
    ) -> None:
        """See Broker. 1. begin, 2. produce, 3. send the positions, 4. commit."""
        self._transaction(outputs, positions, membership)

    def append(self, outputs: Iterable[OutputRecord]) -> None:
        """See Broker."""
        self._transaction(outputs, {}, None)

    def renew(self) -> None:
        """See Broker. The old producer's transaction ends by its time-out; readers wait for it."""
        self._producer.purge()
        self._producer = self._new_producer()
        self._outlived = False

    def pause(self, places: Iterable[Place]) -> None:
        """See Broker."""
        found = set(places)
        self._flow(self._consumer.pause, found)
        self._paused |= found

    def resume(self, places: Iterable[Place]) -> None:
        """See Broker."""
        found = set(places)
        self._flow(self._consumer.resume, found)
        self._paused -= found

    def start(self, positions: Mapping[Place, int]) -> None:
        """See Broker. By assignment: `seek` fails on what has no position yet, and one given
        while a position is being validated after a broker's restart is lost."""
        self._next.update(positions)
        self._assign_at(positions)
        self.resume(positions)  # a pause outlives an assignment of the same partition

    def seek(self, positions: Mapping[Place, int]) -> None:
        """See Broker."""
        self._next.update(positions)
        try:
            for place, offset in positions.items():
                self._consumer.seek(self._partition(place, offset))
        except KafkaException as error:
            raise self._failure(error) from None

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker. With read_committed librdkafka asks for stable offsets only (KIP-447)."""
        try:
            found = self._consumer.committed(
                [self._partition(place) for place in places], timeout=ANSWER_WITHIN_S
            )
        except KafkaException as error:
            raise self._failure(error) from None
        for item in found:
            if item.error is not None:
                raise Unavailable("kafka", item.error.str())
        return {self._place(item): item.offset for item in found if item.offset >= 0}

    def first_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker."""
        return self._offsets(places, "earliest")

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker."""
        return self._offsets(places, "latest")

    def read(self, place: Place, start: int, end: int) -> Iterator[list[InputRecord]]:
        """See Broker."""
        if start >= end:
            return
        reader = self._readers.pop() if self._readers else self._new_reader()
        position, quiet_since = start, monotonic()
        try:
            reader.assign([self._partition(place, start)])
            while position < end:
                messages = reader.consume(_READ_PORTION, timeout=_READ_WAIT_S)
                found = []
                for message in messages:
                    record = self._read_message(message)
                    if record is None:  # an end: it names the offset behind the last marker
                        position = max(position, message.offset() or 0)
                    else:
                        position = max(position, record.offset + 1)
                        if record.offset < end:
                            found.append(record)
                if messages:
                    quiet_since = monotonic()
                elif monotonic() - quiet_since > _READ_STALLED_S:
                    raise Unavailable("kafka", f"{place[0]}/{place[1]} does not reach its end")
                yield found
        except KafkaException as error:
            raise self._failure(error) from None
        finally:
            reader.unassign()
            self._readers.append(reader)

    def journal_identity(self, partition: int) -> tuple[str, str]:
        """See Broker."""
        topic = self._config.topic("audit-journal")
        try:
            described = self._admin.describe_topics(
                TopicCollection([topic]), request_timeout=ANSWER_WITHIN_S
            )[topic].result(timeout=2 * ANSWER_WITHIN_S)
            cluster = self._admin.list_topics(topic, timeout=ANSWER_WITHIN_S).cluster_id
        except KafkaException as error:
            raise self._failure(error) from None
        return str(cluster), str(described.topic_id)

    def close(self) -> None:
        """See Broker."""
        self._consumer.close()
        for reader in self._readers:
            reader.close()
        self._producer.purge()

    # The steps of a transaction, one a method, in this order.

    def _begin(self) -> None:
        self._producer.begin_transaction()

    def _produce(self, output: OutputRecord) -> None:
        while True:
            try:
                self._producer.produce(
                    self._config.topic(output.topic),
                    partition=output.partition,
                    key=output.key,
                    value=output.value,
                    headers=list(output.headers),
                )
                return
            except BufferError:
                self._producer.poll(0.1)

    def _send_positions(self, positions: Mapping[Place, int], membership: object) -> None:
        moved = [self._partition(place, offset) for place, offset in positions.items()]
        with self._guard():
            self._producer.send_offsets_to_transaction(moved, membership, _CALL_S)

    def _commit(self) -> None:
        with self._guard():
            self._producer.commit_transaction(_CALL_S)

    def _transaction(
        self, outputs: Iterable[OutputRecord], positions: Mapping[Place, int], membership: object
    ) -> None:
        if self._outlived:
            # A producer that outlived all brokers hangs in send_offsets_to_transaction; between
            # two transactions a new one costs nothing.
            self.renew()
        deadline = monotonic() + COMMIT_WITHIN_S
        try:
            self._begin()
            for output in outputs:
                self._produce(output)
            if positions:
                self._retried(lambda: self._send_positions(positions, membership), deadline)
            self._retried(self._commit, deadline)  # after a time-out, calling it again resumes it
        except KafkaException as error:
            self._aborted(error.args[0])

    def _retried(self, call: Callable[[], None], deadline: float) -> None:
        while True:
            try:
                return call()
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not cause.retriable() or cause.txn_requires_abort() or cause.fatal():
                    raise
                if monotonic() > deadline:
                    raise ProducerLost(f"no outcome in time: {cause.str()}") from None

    def _aborted(self, cause: KafkaError) -> None:
        """Ends a failed transaction: aborted for sure, or the producer is lost."""
        if cause.fatal():
            raise ProducerLost(cause.str())
        if not cause.txn_requires_abort() and cause.code() not in _LOCAL:
            raise ProducerLost(f"unknown outcome: {cause.str()}")
        try:
            self._retried(
                lambda: self._producer.abort_transaction(_CALL_S), monotonic() + COMMIT_WITHIN_S
            )
        except KafkaException as error:
            raise ProducerLost(f"not aborted: {error.args[0].str()}") from None
        raise StepAborted(cause.str())

    def _new_reader(self) -> Consumer:
        return Consumer(reader_settings(self._config), logger=logger)

    def _new_producer(self) -> Producer:
        producer = Producer(producer_settings(self._config), logger=logger)
        try:
            with self._guard():
                producer.init_transactions(ANSWER_WITHIN_S * 2)
        except KafkaException as error:
            raise self._failure(error) from None
        return producer

    def _assign_at(self, positions: Mapping[Place, int]) -> None:
        """The group does not notice; what `assign` forgets (pauses, other positions) is said again."""
        try:
            held = {self._place(item) for item in self._consumer.assignment()}
            moved = held & positions.keys()
            if self._incremental:
                self._consumer.incremental_unassign([self._partition(place) for place in moved])
                found = [self._partition(place, positions[place]) for place in moved]
                self._consumer.incremental_assign(found)
            else:
                self._consumer.assign(
                    [self._partition(p, self._next.get(p, OFFSET_STORED)) for p in held]
                )
            self._consumer.pause([self._partition(place) for place in self._paused & held])
        except KafkaException as error:
            raise self._failure(error) from None

    def _note_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True

    def _ask_whether_down(self) -> None:
        """An idle consumer is not told that a broker is back. Raises Unavailable."""
        try:
            self._admin.list_topics(self._config.topic("audit-journal"), timeout=1.0)
        except KafkaException as error:
            raise self._failure(error) from None

    def _note(self, kind: Any, found: list[TopicPartition]) -> None:
        self._changes.append(Change(kind, frozenset(self._place(item) for item in found)))

    def _note_reset(self, message: Message) -> None:
        topic, partition = message.topic(), message.partition()
        if topic is not None and partition is not None:
            self._note("reset", [TopicPartition(topic, partition)])

    def _flow(self, call: Callable[[list[TopicPartition]], None], places: Iterable[Place]) -> None:
        try:
            call([self._partition(place) for place in places])
        except KafkaException as error:
            raise self._failure(error) from None

    def _offsets(self, places: Iterable[Place], where: Any) -> dict[Place, int]:
        named = {(self._config.topic(topic), number): (topic, number) for topic, number in places}
        for tries_left in reversed(range(_LEADER_TRIES)):
            try:
                return {named[p]: at for p, at in offsets(self._admin, named, where).items()}
            except KafkaException as error:
                if tries_left == 0 or error.args[0].code() not in _LEADER_MOVED:
                    raise self._failure(error) from None
                # After a broker's restart it goes on asking with the old leader epoch, for minutes.
                self._admin = AdminClient(self._config.common(), logger=logger)
                Event().wait(_LEADER_WAIT_S)
        raise AssertionError("the last try returns or raises")

    def _polled(self, message: Message) -> InputRecord | None:
        error = message.error()
        if error is None:
            return self._record(message)
        if error.fatal():
            raise ConsumerLost(error.str())
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._note_reset(message)
            return None
        if unreachable(error) or error.code() in _PASSING:
            return None
        raise Unavailable("kafka", error.str())

    def _read_message(self, message: Message) -> InputRecord | None:
        error = message.error()
        if error is None:
            return self._record(message)
        if error.code() == KafkaError._PARTITION_EOF:
            return None
        raise KafkaException(error)

    def _record(self, message: Message) -> InputRecord:
        kind, millis = message.timestamp()
        appended = kind == TIMESTAMP_LOG_APPEND_TIME
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None
        return InputRecord(
            topic=topic.removeprefix(self._config.topic_prefix),
            partition=partition,
            offset=offset,
            append_time=_EPOCH + timedelta(milliseconds=millis) if appended else None,
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            headers=_headers(message),
        )

    def _partition(self, place: Place, offset: int | None = None) -> TopicPartition:
        topic = self._config.topic(place[0])
        if offset is None:
            return TopicPartition(topic, place[1])
        return TopicPartition(topic, place[1], offset)

    def _place(self, item: TopicPartition) -> Place:
        return item.topic.removeprefix(self._config.topic_prefix), item.partition

    def _failure(self, error: KafkaException) -> Exception:
        cause: KafkaError = error.args[0]
        if cause.code() == KafkaError.OFFSET_OUT_OF_RANGE:
            return TaskFenced(cause.str())
        return Unavailable("kafka", cause.str())


_LOCAL: Final = frozenset(
    {KafkaError._MSG_TIMED_OUT, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._INVALID_ARG}
)
"""Failures before anything was sent: the transaction can be aborted."""
_LEADER_TRIES: Final = 5
_LEADER_WAIT_S: Final = 0.2
_LEADER_MOVED: Final = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
"""A partition moved, or its broker came back: what the client knows of it is old."""
_PASSING: Final = frozenset(
    {
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    try:
        found: Any = message.headers()
    except (UnicodeDecodeError, ValueError):
        return []  # names that are no text: it will be dead-lettered for having no ce_type
    return [(name, _bytes(value)) for name, value in found or ()]

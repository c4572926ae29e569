"""Stretches of topics, read aside from the group."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.notification.ports import Heard, TopicName, Unavailable
from consumers.offsets import offsets
from producers.connection import KafkaConfig, logger
from schemas.codec import RegistryUnavailable, SchemaIds, Undecodable, decode
from schemas.topics import RECORD_BYTES_MAX

STALLED_AFTER_S: Final = 30.0
"""An open transaction ends within its 10 s time-out; longer means something is wrong."""
_BATCH: Final = 1000


class History:
    """Reads what stands in a topic, and joins no group. Every failure is Unavailable."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin = AdminClient(config.common(), logger=logger)

    def end(self, topic: TopicName, partition: int) -> int:
        """The offset after the last record, uncommitted ones included."""
        return self._bound(topic, partition, "latest")

    def read(
        self,
        topic: TopicName,
        partition: int,
        *,
        end: int,
        start: int | None,
        since: datetime | None,
    ) -> Iterator[Heard]:
        """See Log.history."""
        first = self._bound(topic, partition, "earliest") if start is None else start
        if first >= end:
            return
        consumer = Consumer(self._settings(), logger=logger)
        try:
            place = TopicPartition(self._config.topic(topic), partition, first)
            if since is not None:
                place = _at(consumer, place, since)
                if place.offset < 0:
                    return  # nothing was appended since
            consumer.assign([place])
            yield from self._until(consumer, topic, end)
        except KafkaException as error:
            raise Unavailable("kafka", str(error.args[0])) from None
        except RegistryUnavailable as error:
            raise Unavailable("schema registry", str(error)) from None
        finally:
            consumer.close()

    def _until(self, consumer: Consumer, topic: TopicName, end: int) -> Iterator[Heard]:
        quiet_since = monotonic()
        while True:
            batch = consumer.consume(_BATCH, timeout=0.5)
            for message in batch:
                error, offset = message.error(), message.offset()
                if error is None:
                    assert offset is not None
                    if offset < end:
                        yield heard_from(message, topic, registry=self._config.registry)
                    offset += 1
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if offset is not None and offset >= end:
                    return
            if batch:
                quiet_since = monotonic()
            elif monotonic() - quiet_since > STALLED_AFTER_S:
                raise Unavailable("kafka", f"{topic}: no record for {STALLED_AFTER_S:.0f} s")

    def _bound(self, topic: TopicName, partition: int, where: Any) -> int:
        place = (self._config.topic(topic), partition)
        try:
            return offsets(self._admin, [place], where)[place]
        except (KafkaException, TimeoutError) as error:
            raise Unavailable("kafka", f"{topic}: {error}") from None

    def _settings(self) -> dict[str, Any]:
        return {
            **self._config.common(),
            "group.id": f"{self._config.topic_prefix}notifier-history",  # never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "check.crcs": True,
        }


def heard_from(message: Message, topic: TopicName, *, registry: SchemaIds | None) -> Heard:
    """A message as the port has it. Raises RegistryUnavailable."""
    kind, millis = message.timestamp()
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    value = _bytes(message.value())
    raw: Any = message.headers() or ()
    headers = [(name, _bytes(data)) for name, data in raw]
    try:
        record = decode(value, headers, registry=registry, bytes_max=RECORD_BYTES_MAX)
    except Undecodable:
        record = None
    return Heard(
        topic=topic,
        partition=partition,
        offset=offset,
        appended=datetime.fromtimestamp(
            0 if kind == TIMESTAMP_NOT_AVAILABLE else millis / 1000, UTC
        ),
        record=record,
        value=value or b"",
        headers=headers,
    )


def _at(consumer: Consumer, place: TopicPartition, since: datetime) -> TopicPartition:
    millis = max(0, int(since.timestamp() * 1000))
    asked = TopicPartition(place.topic, place.partition, millis)
    found = consumer.offsets_for_times([asked], timeout=STALLED_AFTER_S)[0]
    if found.error is not None:
        raise KafkaException(found.error)
    return found


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data

"""Waiting for the answer to a record: found by its id on the answer topics (contract, Answers).

The reader takes its position before the record is published, so that no answer can slip by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from uuid import uuid4

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from producers.connection import BrokerUnreachable, KafkaConfig, NotAllowed, logger, unreachable
from schemas.codec import Undecodable, decode
from schemas.headers import CE_ID, Headers, header
from schemas.model import Record
from schemas.topics import RECORD_BYTES_MAX, partition_for

METADATA_TIMEOUT_S: Final = 10.0
DEAD_LETTER: Final = "dead-letter"
_REASON: Final = "dlq_reason"
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class NoAnswer(Exception):
    """No answer came in time. It may still come: nothing is known."""


class DeadLettered(Exception):
    """The record could not be read by the worker; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A record on an answer topic and its headers; the bytes it was, and the broker's time of it."""

    record: Record
    headers: Headers
    value: bytes = field(default=b"", repr=False)
    appended: datetime = _NO_TIME


class AnswerReader:
    """Reads the answers about one key, read_committed, from a position taken when it is made."""

    def __init__(
        self,
        config: KafkaConfig,
        topics: Iterable[str],
        *,
        key: bytes | None,
        start: Literal["end", "beginning"] | datetime = "end",
    ) -> None:
        """topics: names without prefix. key: only answers about it; None: all partitions, all keys.
        start: an instant means what was appended since.

        Raises BrokerUnreachable, NotAllowed.
        """
        self._config = config
        self._key = key
        self._consumer = Consumer(_settings(config), logger=logger)
        try:
            places = [place for name in topics for place in self._positions(name, key, start)]
            self._consumer.assign(places)
            self._unread = {(place.topic, place.partition) for place in places}
        except KafkaException as error:
            self._consumer.close()
            raise _failure(error.args[0], config) from None
        except (BrokerUnreachable, NotAllowed):
            self._consumer.close()
            raise

    def wait(
        self, pick: Callable[[Answer], T | None], *, timeout_s: float, record_id: str | None = None
    ) -> T:
        """The first answer that `pick` does not answer with None. Raises as `answers`."""
        answers = self.answers(timeout_s=timeout_s, record_id=record_id)
        return next(found for answer in answers if (found := pick(answer)) is not None)

    def answers(self, *, timeout_s: float, record_id: str | None = None) -> Iterator[Answer]:
        """Answers as they come, until the caller has what it waits for.

        record_id: a dead letter with this `ce_id` ends the wait too. It never just ends: it raises
        NoAnswer when the time is over, DeadLettered, BrokerUnreachable, NotAllowed.
        """
        deadline = monotonic() + timeout_s
        for message in self._messages(deadline):
            answer = self._answer(message, record_id)
            if answer is not None:
                yield answer
        raise NoAnswer(f"no answer within {timeout_s:g} s")

    def so_far(self, *, timeout_s: float) -> Iterator[Answer]:
        """What stands there now, to its end. Raises NoAnswer: the end was not reached in time."""
        for message in self._messages(monotonic() + timeout_s, until_end=True):
            answer = self._answer(message, None)
            if answer is not None:
                yield answer
        if self._unread:
            raise NoAnswer(f"the end was not reached within {timeout_s:g} s")

    def close(self) -> None:
        """Lets go of the broker."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _positions(
        self, name: str, key: bytes | None, start: Literal["end", "beginning"] | datetime
    ) -> Iterator[TopicPartition]:
        topic = self._config.topic(name)
        metadata = self._consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
        count = len(metadata.partitions)
        if metadata.error is not None or count == 0:
            raise NotAllowed(f"topic {topic} is not there; make it: countersign topics apply")
        partitions = range(count) if key is None else [partition_for(key, count)]
        for partition in partitions:
            offset = OFFSET_BEGINNING
            if start != "beginning":
                offset = self._end(TopicPartition(topic, partition))
            if isinstance(start, datetime):
                # The end is asked first: what comes between the two questions is not missed.
                since = self._since(TopicPartition(topic, partition), start)
                offset = since if since >= 0 else offset
            yield TopicPartition(topic, partition, offset)

    def _end(self, place: TopicPartition) -> int:
        found = self._consumer.get_watermark_offsets(place, timeout=METADATA_TIMEOUT_S)
        if found is None:
            raise BrokerUnreachable(f"{self._config.bootstrap_servers} did not answer")
        return int(found[1])

    def _since(self, place: TopicPartition, start: datetime) -> int:
        """The first offset that was appended at `start` or later; below zero: there is none."""
        place.offset = max(0, int(start.timestamp() * 1000))
        found = self._consumer.offsets_for_times([place], timeout=METADATA_TIMEOUT_S)[0]
        if found.error is not None:
            raise _failure(found.error, self._config)
        return int(found.offset)

    def _messages(self, deadline: float, *, until_end: bool = False) -> Iterator[Message]:
        while (left := deadline - monotonic()) > 0 and not (until_end and not self._unread):
            message = self._consumer.poll(min(left, 0.5))
            if message is None:
                continue
            error = message.error()
            if error is None:
                # A partition is shared: another tenant may use the same ids in it.
                if self._key is None or message.key() == self._key:
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard((str(message.topic()), message.partition() or 0))
            elif not unreachable(error):
                raise _failure(error, self._config)

    def _answer(self, message: Message, record_id: str | None) -> Answer | None:
        headers: Headers = list(message.headers() or [])  # type: ignore[arg-type]
        if message.topic() == self._config.topic(DEAD_LETTER):
            if record_id is not None and _first(headers, CE_ID) == record_id.encode():
                reason = _first(headers, _REASON) or b"unknown"
                raise DeadLettered(reason.decode(errors="replace"))
            return None
        try:
            record = decode(
                message.value(),
                headers,
                registry=self._config.registry,
                bytes_max=RECORD_BYTES_MAX,  # an answer carries its question and more
            )
        except Undecodable as error:
            logger.warning("an answer topic holds what is no record: %s", error.reason)
            return None
        kind, millis = message.timestamp()
        known = kind != TIMESTAMP_NOT_AVAILABLE
        appended = datetime.fromtimestamp(millis / 1000, UTC) if known else _NO_TIME
        return Answer(record, headers, _bytes(message.value()), appended)


def _bytes(data: str | bytes | None) -> bytes:
    return data.encode() if isinstance(data, str) else data or b""


def _first(headers: Headers, name: str) -> bytes | None:
    try:
        return header(headers, name)
    except ValueError:
        return None


def _failure(error: KafkaError, config: KafkaConfig) -> BrokerUnreachable | NotAllowed:
    if unreachable(error):
        return BrokerUnreachable(f"{config.bootstrap_servers}: {error.str()}")
    return NotAllowed(error.str())


def _settings(config: KafkaConfig) -> dict[str, Any]:
    return {
        **config.common(),
        "group.id": f"{config.topic_prefix}answers-{uuid4()}",  # never joined, never committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
    }

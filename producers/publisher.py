"""Publishing a record: encoded, keyed, signed, delivered. Idempotent and outside transactions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from core.authentication import typ_of
from producers.connection import (
    BrokerUnreachable,
    KafkaConfig,
    NotAllowed,
    logger,
    unreachable,
)
from producers.keys import SigningKey
from producers.signing import sign_record
from schemas.codec import content_type_of, encode
from schemas.headers import SIGNATURE, ce_headers
from schemas.model import Record
from schemas.registry import ce_type_of, topic_of
from schemas.topics import RECORD_BYTES_MAX, key_of

DELIVERY_TIMEOUT_S: Final = 30.0
"""Until BrokerUnreachable; below the ten minutes a signature lives."""


@dataclass(frozen=True, slots=True)
class Identity:
    """In whose name records are signed. sid, auth_time, amr: the session, when its login was and
    how (RFC 8176), when the key is a gateway's."""

    key: SigningKey
    subject: str
    sid: str | None = None
    auth_time: datetime | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """Where a record landed."""

    topic: str
    partition: int
    offset: int


class Publisher:
    """A producer of signed records. Not for several threads at once."""

    def __init__(self, config: KafkaConfig, *, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._producer = Producer(producer_settings(config, timeout_s), logger=logger)

    def publish(
        self,
        record: Record,
        *,
        identity: Identity | None,
        record_id: str,
        jti: str | None = None,
        cosigners: Sequence[Identity] = (),
        extra: Iterable[tuple[str, bytes]] = (),
        now: datetime | None = None,
    ) -> Published:
        """Publishes one record and waits until the broker has it.

        record_id: `ce_id`, and `jti` unless another is given. identity None: unsigned. cosigners:
        sign as well, under dual control. extra: further headers, such as traceparent. Raises BrokerUnreachable (send again, same id) or NotAllowed.
        """
        topic = topic_of(record)
        assert topic is not None, f"{type(record).__name__} has no topic"
        moment = now or datetime.now(UTC)
        value = encode(record, output=self._config.output, registry=self._config.registry)
        headers = ce_headers(
            record,
            ce_id=record_id,
            source=f"/countersign/{identity.subject}" if identity else "/countersign",
            time=moment,
            extra=extra,
            content_type=content_type_of(self._config.output),
        )
        for signer in (*([identity] if identity is not None else []), *cosigners):
            token = sign_record(
                value,
                key=signer.key,
                typ=typ_of(record),
                audience=self._config.audience,
                sub=signer.subject,
                tenant_id=getattr(record, "tenant_id"),  # noqa: B009 - all signed records have one
                ce_type=ce_type_of(record),
                jti=jti or record_id,
                now=moment,
                sid=signer.sid,
                auth_time=signer.auth_time,
                amr=signer.amr,
            )
            headers.append((SIGNATURE, token.encode()))
        return self.publish_raw(self._config.topic(topic), key_of(record), value, headers)

    def publish_raw(
        self, topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
    ) -> Published:
        """Publishes bytes and waits until the broker has them; `topic` with its prefix."""
        delivery = _Delivery()
        try:
            self._producer.produce(
                topic, value=value, key=key, headers=list(headers), on_delivery=delivery
            )
            deadline = monotonic() + self._timeout_s + 1
            while not delivery.done and monotonic() < deadline:
                self._producer.poll(0.1)
        except BufferError:
            raise BrokerUnreachable(
                f"{self._config.bootstrap_servers}: the queue is full"
            ) from None
        except KafkaException as error:
            raise _failure(error.args[0], self._config.bootstrap_servers) from None
        if delivery.error is not None:
            raise _failure(delivery.error, self._config.bootstrap_servers)
        if delivery.published is None:
            raise BrokerUnreachable(f"{self._config.bootstrap_servers} did not answer")
        return delivery.published

    def close(self) -> None:
        """Lets go of the broker; nothing is in flight, for publish waits."""
        self._producer.flush(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Delivery:
    """Notes the delivery report; a callback must not do more."""

    def __init__(self) -> None:
        self.done = False
        self.error: KafkaError | None = None
        self.published: Published | None = None

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is None and topic is not None and partition is not None and offset is not None:
            self.published = Published(topic, partition, offset)
        self.error = error
        self.done = True


def producer_settings(config: KafkaConfig, timeout_s: float = DELIVERY_TIMEOUT_S) -> dict[str, Any]:
    """Every librdkafka key that delivery rests on, explicit; pinned by a test."""
    return {
        **config.common(),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 0,
        "message.max.bytes": RECORD_BYTES_MAX,
        "delivery.timeout.ms": int(timeout_s * 1000),
        "request.timeout.ms": min(10_000, int(timeout_s * 1000)),
    }


def _failure(error: KafkaError, servers: str) -> BrokerUnreachable | NotAllowed:
    if unreachable(error):
        return BrokerUnreachable(f"{servers}: {error.str()}")
    return NotAllowed(error.str())

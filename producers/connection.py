"""How to reach Kafka, and under which names: what every client of ours is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError

from schemas.codec import OutputFormat, SchemaIds

logger: Final = logging.getLogger("countersign.kafka")
logger.addHandler(logging.NullHandler())
"""What librdkafka has to say; silent until the program sets up logging."""


class BrokerUnreachable(Exception):
    """No broker answered in time. Nothing is known of what was sent: send it again, same id."""


class NotAllowed(Exception):
    """The broker answered and said no: unknown topic, no rights, too large. Retrying is no use."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where the broker is and what things are called there.

    client: further librdkafka keys (security, timeouts). The keys that our guarantees rest on are
    set by us and win. audience: COUNTERSIGN_AUDIENCE of the deployment.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    audience: str = "countersign"
    client: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    output: OutputFormat = "avro"
    registry: SchemaIds | None = field(default=None, repr=False)

    def topic(self, name: str) -> str:
        """The name of a topic in this deployment."""
        return f"{self.topic_prefix}{name}"

    def common(self, on_error: Callable[[KafkaError], None] | None = None) -> dict[str, Any]:
        """librdkafka keys that producers and consumers share."""
        return {
            **self.client,
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client.get("client.id", "countersign"),
            "error_cb": on_error or _note,
        }


def _note(error: KafkaError) -> None:
    logger.debug("broker trouble: %s", error)


def unreachable(error: KafkaError) -> bool:
    """Whether an error means that the broker is away or busy, and not that it refused."""
    return bool(error.retriable()) or error.code() in _AWAY


_AWAY: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._QUEUE_FULL,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)

"""The topics: names, keys, partitions, retention; and the one partitioner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from schemas.model import Record
from schemas.registry import INPUT_TYPES, OUTPUT_TYPES, topic_of

RECORD_BYTES_MAX: Final = 4 * 1024 * 1024
"""`max.message.bytes` of the topics."""
WRAPPED_BYTES_MAX: Final = 2 * RECORD_BYTES_MAX
"""The same where a record of any other topic is kept whole with more around it: whatever a
producer could append, the worker can journal, forward and dead-letter."""
_DAY_MS: Final = 24 * 60 * 60 * 1000
FOR_EVER: Final = -1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be.

    `partitions`: "task" = as many as there are tasks (`COUNTERSIGN_PARTITIONS`), "one" = one.
    `key`: "package" = `tenant/package`, "tenant", "reviewer" = `tenant/reviewer`, "exception" =
    `tenant/exception` or `tenant/reviewer`, "source" = the raw key of the record it was.
    """

    name: str
    written_by: str
    retention_ms: int = FOR_EVER
    cleanup: Literal["delete", "compact"] = "delete"
    key: Literal["package", "tenant", "reviewer", "exception", "source"] = "package"
    partitions: Literal["task", "one"] = "task"
    record_bytes_max: int = RECORD_BYTES_MAX

    @property
    def config(self) -> dict[str, str]:
        """The topic configuration that is asserted at start-up, every value explicit."""
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.record_bytes_max),
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
        }
        return config

    @property
    def records(self) -> tuple[str, ...]:
        """Avro names of the records on it; empty where original bytes are kept."""
        models = dict.fromkeys((*INPUT_TYPES.values(), *OUTPUT_TYPES.values()))
        return tuple(model.__name__ for model in models if topic_of(model) == self.name)


TOPICS: Final[Mapping[str, TopicSpec]] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            TopicSpec("interrupt-requested", "agents", 30 * _DAY_MS),
            TopicSpec("decision-command", "reviewers' programs", 30 * _DAY_MS),
            TopicSpec("tool-execution", "executors, the notifier"),
            TopicSpec("notice.sent", "the notifier"),
            TopicSpec("human.decision_recorded", "worker"),
            TopicSpec("tool-gate", "worker"),
            TopicSpec("interrupt-status", "worker"),
            TopicSpec("review-task", "worker", 30 * _DAY_MS),
            TopicSpec("command-refused", "worker"),
            TopicSpec("audit-journal", "worker", record_bytes_max=WRAPPED_BYTES_MAX),
            TopicSpec("audit-checkpoint", "worker"),
            TopicSpec("interrupt-state", "worker", cleanup="compact"),
            TopicSpec("rekeyed", "worker", 7 * _DAY_MS, record_bytes_max=WRAPPED_BYTES_MAX),
            TopicSpec("control-policy", "policy apply", key="tenant", partitions="one"),
            TopicSpec("reviewer-directory", "reviewers apply", key="reviewer", partitions="one"),
            TopicSpec("review-context", "worker, balancer", key="exception", partitions="one"),
            TopicSpec(
                "dead-letter",
                "worker",
                90 * _DAY_MS,
                key="source",
                record_bytes_max=WRAPPED_BYTES_MAX,
            ),
        )
    }
)
"""All topics by name, without the prefix."""

INPUT_TOPICS: Final = (
    "interrupt-requested",
    "decision-command",
    "tool-execution",
    "notice.sent",
    "rekeyed",
)
"""What a task reads; its partition of each belongs to one owner."""


def record_key(tenant_id: str, decision_package_id: str) -> bytes:
    """The key that brings everything about a package to one task."""
    return f"{tenant_id}/{decision_package_id}".encode()


def key_of(record: Record) -> bytes | None:
    """The key a record is published with; None for a ClockTick, which is about no package."""
    match topic_of(record):
        case "control-policy":
            return str(getattr(record, "tenant_id")).encode()  # noqa: B009
        case "reviewer-directory":
            person = getattr(record, "reviewer_id", None) or getattr(record, "agent_id")  # noqa: B009
            return record_key(getattr(record, "tenant_id"), person)  # noqa: B009
        case "review-context":
            some_id = getattr(record, "exception_id", None) or getattr(record, "reviewer_id")  # noqa: B009
            return record_key(getattr(record, "tenant_id"), some_id)  # noqa: B009
        case _:
            package = getattr(record, "package", record)
            package_id = getattr(package, "decision_package_id", None)
            if package_id is None:
                return None
            return record_key(getattr(record, "tenant_id"), package_id)  # noqa: B009


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key: murmur2 as Kafka's Java client and `murmur2_random` compute it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 (org.apache.kafka.common.utils.Utils), as an unsigned number."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * m) & mask
        k = ((k ^ (k >> 24)) * m) & mask
        h = ((h * m) & mask) ^ k
    if tail := data[whole:]:
        h = ((h ^ int.from_bytes(tail, "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)

"""The Kafka keys that an executor's progress and fencing rest on."""

from __future__ import annotations

from producers.connection import KafkaConfig
from producers.gate_feed import ACT_WITHIN_S, feed_settings
from producers.waiting_gates import WAITING_MAX


def test_nothing_is_left_to_librdkafkas_defaults() -> None:
    """Committed by us only, committed records only, and never the protocol that cannot fence."""
    hostile = {"session.timeout.ms": "6000", "enable.auto.commit": "true", "group.id": "mine"}
    config = KafkaConfig(topic_prefix="t.", client=hostile)

    settings = feed_settings(config, "executor.payments")

    settings.pop("error_cb")
    assert settings == {
        "bootstrap.servers": "127.0.0.1:9092",
        "client.id": "countersign",
        "session.timeout.ms": "6000",
        "heartbeat.interval.ms": 2_000,
        "max.poll.interval.ms": 900_000,
        "group.id": "t.executor.payments",
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        "queued.max.messages.kbytes": 16_384,
    }


def test_limits_fit_each_other() -> None:
    """What waits fits into memory, arguments of 64 KiB included; an action is bounded too."""
    assert WAITING_MAX * 65_536 < 256 * 1024 * 1024
    assert ACT_WITHIN_S < 3600

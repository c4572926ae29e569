"""The librdkafka keys that delivery rests on: explicit, and not to be overridden."""

from __future__ import annotations

from producers.answers import _settings as answer_settings
from producers.connection import KafkaConfig
from producers.publisher import producer_settings

OVERRIDING = KafkaConfig(
    client={"acks": "0", "enable.idempotence": "false", "isolation.level": "read_uncommitted",
            "partitioner": "random", "security.protocol": "SSL"}
)  # fmt: skip


def test_a_publisher_keeps_its_delivery_keys() -> None:
    """Acknowledged by all, once, in order, where murmur2 says."""
    settings = producer_settings(OVERRIDING)

    pinned = {
        "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random",
        "compression.type": "lz4", "linger.ms": 0, "message.max.bytes": 4 * 1024 * 1024,
        "delivery.timeout.ms": 30_000, "request.timeout.ms": 10_000,
    }  # fmt: skip
    assert pinned.items() <= settings.items()
    assert settings["security.protocol"] == "SSL"


def test_a_reader_of_answers_sees_committed_ones_only_and_commits_nothing() -> None:
    """It is no member of any group."""
    settings = answer_settings(OVERRIDING)

    pinned = {
        "enable.auto.commit": False, "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest", "isolation.level": "read_committed", "check.crcs": True,
    }  # fmt: skip
    assert pinned.items() <= settings.items()

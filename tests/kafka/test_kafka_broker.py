"""The real broker keeps the broker's promises, under both group protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer

from consumers.control.kafka import KafkaBroker, consumer_settings, producer_settings
from consumers.control.ports import Broker, Place
from producers.connection import KafkaConfig
from schemas.headers import Headers
from tests.contract.broker_promises import Bench, BrokerPromises
from tests.support.deployment import Deployment, deployed
from tests.support.servers import TestServers


class KafkaBench(Bench):
    """Topics of its own on the real broker."""

    def __init__(self, deployment: Deployment, protocol: str) -> None:
        self.deployment, self.protocol = deployment, protocol
        self._producer = Producer({"bootstrap.servers": deployment.settings.bootstrap_servers})

    def broker(self) -> Broker:
        return KafkaBroker(self.deployment.kafka, protocol=self.protocol)

    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> int:
        offsets: list[int | None] = []

        def delivered(_: object, message: Message) -> None:
            offsets.append(message.offset())

        self._producer.produce(
            self.deployment.topic(place[0]),
            partition=place[1],
            key=key,
            value=value,
            headers=list(headers),
            on_delivery=delivered,
        )
        self._producer.flush(10)
        offset = offsets[0]
        assert offset is not None
        return offset


class TestKafkaBroker(BrokerPromises):
    """The contract suite on it."""

    @pytest.fixture(params=["classic", "consumer"])
    def bench(
        self, servers: TestServers, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[Bench]:
        """A new deployment of two tasks."""
        with deployed(
            servers.bootstrap_servers, servers.redis_url, tmp_path, partitions=2, people=False
        ) as made:
            yield KafkaBench(made, request.param)


def test_the_keys_that_exactly_once_rests_on_are_explicit() -> None:
    """Pinned here: a default of the library must not decide."""
    config = replace(KafkaConfig(), client={"linger.ms": "5"})
    consumer = consumer_settings(config, protocol="classic", instance_id=None)
    producer = producer_settings(config)

    assert {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "partition.assignment.strategy": "range",
    }.items() <= consumer.items()
    assert {
        "enable.idempotence": True,
        "acks": "all",
        "transaction.timeout.ms": 10_000,
        "partitioner": "murmur2_random",
    }.items() <= producer.items()
    assert producer["transactional.id"].startswith("control-")

"""The in-memory broker keeps the broker's promises."""

from __future__ import annotations

import pytest

from consumers.control.ports import Broker, Place
from schemas.headers import Headers
from tests.contract.broker_promises import Bench, BrokerPromises
from tests.fakes.clock import MovableClock
from tests.fakes.memory_broker import MemoryBroker, MemoryCluster


class MemoryBench(Bench):
    """A cluster in memory."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(MovableClock())

    def broker(self) -> Broker:
        return MemoryBroker(self.cluster)

    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> int:
        return self.cluster.append(*place, key, value, headers)


class TestMemoryBroker(BrokerPromises):
    """The contract suite on it."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A new cluster."""
        return MemoryBench()

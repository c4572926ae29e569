"""What the notifier works with, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address

from consumers.health import Health
from consumers.logs import logger
from consumers.notification.history import Receipts
from consumers.notification.metrics import Metrics
from consumers.notification.ports import Log, Outbox, Unavailable
from core.jwk import TrustedKeys
from producers.executor import Executor
from producers.sealed_records import Sealing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """clock: aware instants. jitter: 0 to 1, by chance. grant_keys raises KeysUnavailable.

    sealing: opens arguments that were sealed.
    """

    log: Log
    outbox: Outbox
    executor: Executor
    receipts: Receipts
    grant_keys: Callable[[], TrustedKeys]
    sender: Address
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    health: Health
    metrics: Metrics
    sealing: Sealing | None = None

    def unavailable(self, error: Unavailable, *, hinders: str | None = None) -> None:
        """Notes what cannot be done now, and logs it when it is news. hinders: the part named."""
        part, why = error.part, error.why
        if hinders is not None and hinders != part:
            part, why = hinders, str(error)
        if self.health.problems.get(part) != why:
            logger().warning("unavailable", part=part, why=why)
        self.health.not_ready(part, why)

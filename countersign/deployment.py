"""The deployment a command speaks to, read from its settings once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consumers.audit.directories import DirectoryLog, read_directories
from consumers.queue import Queue
from consumers.settings import Settings, load
from consumers.trusting import trust_of
from core.jwk import KeySetError, TrustedKeys
from countersign.failure import UsageWrong
from producers.connection import KafkaConfig
from producers.sealed_records import Sealing, readable
from producers.trusted_keys import trusted_keys


@dataclass(frozen=True, slots=True)
class Deployment:
    """Settings, and how commands reach what they name."""

    settings: Settings
    kafka: KafkaConfig

    @property
    def config(self) -> dict[str, Any]:
        """librdkafka keys for reading."""
        return self.kafka.common()

    @property
    def named(self) -> Callable[[str], str]:
        """Adds the deployment's prefix to a topic's name."""
        return self.kafka.topic

    @property
    def sealing(self) -> Sealing | None:
        """How personal texts are sealed and opened; None: they are not."""
        return self.settings.sealing()

    def queue(self) -> Queue:
        """The control points."""
        return Queue(self.config, self.named)

    def readable(self, form: Any, tenant_id: str) -> Any:
        """JSON for people, its sealed texts as what they say or why that cannot be read."""
        return readable(form, tenant_id, self.sealing)

    def directories(self) -> DirectoryLog:
        """Policies and people, as the worker believes them where the trusted keys are set."""
        trust = trust_of(self.settings)
        return read_directories(self.config, self.named, self.kafka.registry, trust)

    def trusted(self) -> TrustedKeys | None:
        """The trusted keys; None where none are set. Raises UsageWrong, KeysUnavailable."""
        if self.settings.trusted_keys is None:
            return None
        try:
            return trusted_keys(self.settings.trusted_keys).current()
        except KeySetError as error:
            raise UsageWrong(f"COUNTERSIGN_TRUSTED_KEYS: {error}") from None


def deployment() -> Deployment:
    """The deployment of the environment. Raises SettingsError."""
    settings = load()
    return Deployment(settings, settings.kafka_config())

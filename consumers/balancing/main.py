"""Entry of the balancer: settings in, exit status out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from consumers.balancing.balancer import Balancer
from consumers.balancing.kafka import KafkaLog
from consumers.balancing.metrics import Metrics
from consumers.balancing.ports import Unavailable
from consumers.health import Health, HealthServer
from consumers.logs import configure, logger
from consumers.settings import Settings, SettingsError
from consumers.topics_admin import TopicsWrong, assert_topics
from consumers.trusting import trust_of
from core.jwk import KeySetError
from producers.connection import BrokerUnreachable, NotAllowed
from producers.keys import KeyFileError, SigningKey, read_key
from producers.trusted_keys import KeysUnavailable, trusted_keys

TURN_S: Final = 0.2
"""How long a turn waits for Kafka; also how late a stop is seen."""
STALLED_AFTER_S: Final = 120.0
"""A turn may publish hundreds of commands, and the last one to a broker that does not answer."""


def run(settings: Settings) -> int:
    """Runs the balancer until SIGTERM or SIGINT; 0 when it left in order. Raises SettingsError."""
    key = check_settings(settings)
    configure(settings.log_format)
    log = logger()
    registry = CollectorRegistry()
    health = Health(stalled_after_s=STALLED_AFTER_S)
    health.not_ready("kafka", "the topics are being read")
    server = _health_server(health, settings, registry)
    stop = _stop_on_signals()
    log.info("started", metrics_port=server.port, balancer_id=settings.balancer_id)
    try:
        kafka = _connected(settings, key, health, stop)
        if kafka is not None:
            try:
                balancer = Balancer(
                    kafka,
                    balancer_id=settings.balancer_id,
                    clock=lambda: datetime.now(UTC),
                    health=health,
                    metrics=Metrics(registry),
                    registry=settings.kafka_config().registry,
                    trust=trust_of(settings),
                )
                while not stop.is_set():
                    balancer.run_once(TURN_S)
            finally:
                kafka.close()
    except KafkaException as error:
        log.error("kafka_gave_up", why=error.args[0].str(), mend="restarting is safe")
        return 1
    finally:
        server.close()
    log.info("stopped")
    return 0


def check_settings(settings: Settings) -> SigningKey:
    """The key to sign with. Raises SettingsError: not there, or known to speak for another."""
    name = "COUNTERSIGN_BALANCER_KEY"
    if settings.balancer_key is None:
        raise SettingsError(
            f"{name}: not set; the balancer signs assign commands with it; make one with: "
            f"countersign keys new --reviewer {settings.balancer_id}"
        )
    try:
        key = read_key(settings.balancer_key)
    except KeyFileError as error:
        raise SettingsError(f"{name}: {error}") from None
    if settings.trusted_keys is not None:
        _check_trusted(settings, settings.trusted_keys, key)
    return key


def _check_trusted(settings: Settings, location: str, key: SigningKey) -> None:
    """Where the trusted keys can be seen from here, a wrong key is found before it is used."""
    try:
        found = trusted_keys(location).current().find(key.kid)
    except (KeySetError, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_TRUSTED_KEYS: {error}") from None
    if found is None:
        raise SettingsError(
            f"COUNTERSIGN_BALANCER_KEY: {location} has no key {key.kid}; add its public JWK"
        )
    if found.reviewer_id != settings.balancer_id and not found.is_gateway:
        raise SettingsError(
            f"COUNTERSIGN_BALANCER_KEY: in {location} it does not sign for {settings.balancer_id}; "
            "set COUNTERSIGN_BALANCER_ID to the reviewer_id it has there, or use a gateway's key"
        )


def _health_server(health: Health, settings: Settings, registry: CollectorRegistry) -> HealthServer:
    host, port = settings.metrics_host, settings.metrics_port
    try:
        return HealthServer(health, host=host, port=port, registry=registry)
    except OSError as error:
        raise SettingsError(
            f"COUNTERSIGN_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror}); "
            "set another port, or 0 for any"
        ) from None


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _connected(
    settings: Settings, key: SigningKey, health: Health, stop: threading.Event
) -> KafkaLog | None:
    """Waits for the broker; None: told to stop. Raises SettingsError when topics are wrong."""

    def connect() -> KafkaLog:
        try:
            assert_topics(settings)
        except BrokerUnreachable as error:
            raise Unavailable("kafka", str(error)) from None
        except NotAllowed as error:
            raise SettingsError(f"COUNTERSIGN_BOOTSTRAP_SERVERS: {error}") from None
        except TopicsWrong as error:
            raise SettingsError(*error.lines) from None
        now = datetime.now(UTC)
        return KafkaLog(settings.kafka_config(), key=key, balancer_id=settings.balancer_id, now=now)

    return _waiting(connect, health, stop)


def _waiting(
    connect: Callable[[], KafkaLog], health: Health, stop: threading.Event
) -> KafkaLog | None:
    while not stop.is_set():
        health.beat()
        try:
            return connect()
        except Unavailable as away:
            if health.problems.get(away.part) != away.why:
                logger().warning("server_away", part=away.part, why=away.why)
            health.not_ready(away.part, away.why)
            stop.wait(1.0)
    return None

"""Entry of the notification service: settings in, exit status out."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from time import monotonic
from typing import Final, Protocol, TypeVar

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from consumers.health import Health, HealthServer
from consumers.logs import configure, logger
from consumers.notification.history import Receipts
from consumers.notification.kafka import KafkaLog
from consumers.notification.mailer import Mailer
from consumers.notification.metrics import Metrics
from consumers.notification.notice import sender_from
from consumers.notification.notifier import Notifier
from consumers.notification.outbox import ThreadedOutbox
from consumers.notification.ports import Log, Outbox, TopicName, Unavailable
from consumers.notification.smtp import SmtpMailer, SmtpServer, SmtpUrlError, smtp_server
from consumers.notification.surroundings import Surroundings
from consumers.reading import TopicMissing, partitions_of
from consumers.settings import Settings, SettingsError
from core.jwk import KeySetError
from producers.connection import unreachable
from producers.executor import Executor, NotAnExecutor, executor_of
from producers.keys import KeyFileError, SigningKey, read_key
from producers.trusted_keys import KeysUnavailable, TrustedKeysSource, trusted_keys

TURN_S: Final = 0.1
"""How long a turn waits for Kafka; also how long the outcome of a mail may lie unread."""
STALLED_AFTER_S: Final = 120.0
"""A turn may publish several receipts to a slow broker, 10 s each, and read a partition's past."""
DRAIN_S: Final = 20.0
"""How long a stop waits for mails on their way; below the 30 s that orchestrators give."""
_TOPICS: Final[tuple[TopicName, ...]] = (
    "tool-gate",
    "command-refused",
    "tool-execution",
    "notice.sent",
)


class ClosableLog(Log, Protocol):
    """A Log that leaves the group when it is closed."""

    def close(self) -> None:
        """Leaves."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What the settings name, read and found usable."""

    executor: Executor
    trusted: TrustedKeysSource
    grant_keys: TrustedKeysSource
    smtp: SmtpServer
    sender: Address


Connect = Callable[[Settings, Executor], ClosableLog]
MakeOutbox = Callable[[Mailer], Outbox]
T = TypeVar("T")


def connect(settings: Settings, executor: Executor) -> ClosableLog:
    """The real Kafka."""
    instance_id = settings.group_instance_id
    return KafkaLog(settings.kafka_config(), executor, instance_id=instance_id)


def run(
    settings: Settings, *, connect: Connect = connect, outbox: MakeOutbox = ThreadedOutbox
) -> int:
    """Runs the notifier until SIGTERM or SIGINT; 0 when it left in order. Raises SettingsError.

    connect, outbox: for tests that end the process between two steps.
    """
    found = check_settings(settings)
    configure(settings.log_format)
    log = logger()
    registry = CollectorRegistry()
    health = Health(stalled_after_s=STALLED_AFTER_S)
    health.not_ready("kafka", "no partitions assigned yet")
    server = _health_server(health, settings, registry)
    stop = _stop_on_signals()
    log.info("started", metrics_port=server.port, executor_id=found.executor.executor_id)
    try:
        if not _topics_are_there(settings, health, stop):
            return 0
        kafka = connect(settings, found.executor)
        try:
            notifier = Notifier(
                Surroundings(
                    log=kafka,
                    outbox=outbox(SmtpMailer(found.smtp)),
                    executor=found.executor,
                    receipts=Receipts(
                        kafka, found.executor, found.trusted.current, settings.audience
                    ),
                    grant_keys=found.grant_keys.current,
                    sender=found.sender,
                    clock=lambda: datetime.now(UTC),
                    jitter=random.random,
                    health=health,
                    metrics=Metrics(registry),
                )
            )
            while not stop.is_set():
                notifier.run_once(TURN_S)
            _drain(notifier)
        finally:
            kafka.close()
    except KafkaException as error:
        log.error("kafka_gave_up", why=error.args[0].str(), mend="restarting is safe")
        return 1
    finally:
        server.close()
    log.info("stopped")
    return 0


def check_settings(settings: Settings) -> Checked:
    """Reads what the settings name. Raises SettingsError, one line for each that is wrong."""
    wrong: list[str] = []
    key = _collected(wrong, lambda: _executor_key(settings))
    trusted = _collected(wrong, lambda: _keys("TRUSTED_KEYS", settings.trusted_keys, "may sign"))
    grants = _collected(
        wrong,
        lambda: _keys("GRANT_TRUSTED_KEYS", settings.grant_trusted_keys, "sign grants (workers)"),
    )
    executor = None
    if key is not None and trusted is not None:
        executor = _collected(wrong, lambda: _executor(key, trusted))
    smtp = _collected(wrong, lambda: _smtp(settings))
    sender = _collected(wrong, lambda: _sender(settings))
    if wrong or not (executor and trusted and grants and smtp and sender):
        raise SettingsError(*wrong)
    return Checked(executor, trusted, grants, smtp, sender)


def _collected(wrong: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except SettingsError as error:
        wrong += error.lines
        return None


def _executor_key(settings: Settings) -> SigningKey:
    if settings.executor_key is None:
        raise SettingsError(
            "COUNTERSIGN_EXECUTOR_KEY: not set; the notifier signs takes and receipts with it; "
            "make one with: countersign keys new --executor"
        )
    try:
        return read_key(settings.executor_key)
    except KeyFileError as error:
        raise SettingsError(f"COUNTERSIGN_EXECUTOR_KEY: {error}") from None


def _keys(name: str, location: str | None, who: str) -> TrustedKeysSource:
    if location is None:
        raise SettingsError(
            f"COUNTERSIGN_{name}: not set; name the JWKS file or https URL of those who {who}"
        )
    try:
        source = trusted_keys(location)
        source.current()
    except (KeySetError, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_{name}: {error}") from None
    return source


def _executor(key: SigningKey, trusted: TrustedKeysSource) -> Executor:
    try:
        return executor_of(key, trusted.current())
    except (NotAnExecutor, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_TRUSTED_KEYS: {error}") from None


def _smtp(settings: Settings) -> SmtpServer:
    try:
        return smtp_server(settings.smtp_url.get_secret_value())
    except SmtpUrlError as error:
        raise SettingsError(f"COUNTERSIGN_SMTP_URL: {error}") from None


def _sender(settings: Settings) -> Address:
    if settings.smtp_from is None:
        raise SettingsError(
            "COUNTERSIGN_SMTP_FROM: not set; name the address that notices come from, such as "
            "notices@agency.example"
        )
    try:
        return sender_from(settings.smtp_from)
    except ValueError as error:
        raise SettingsError(
            f"COUNTERSIGN_SMTP_FROM: {error}; want address, or: Name <address>"
        ) from None


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
    """Set at SIGTERM and SIGINT, where signals can be had: in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    return stop


def _topics_are_there(settings: Settings, health: Health, stop: threading.Event) -> bool:
    """Waits for the broker; False: told to stop. Raises SettingsError when topics do not agree."""
    config = settings.kafka_config().common()
    while not stop.is_set():
        health.beat()
        try:
            for name in _TOPICS:
                found = partitions_of(config, settings.topic(name))
                if found != settings.partitions:
                    raise SettingsError(
                        f"COUNTERSIGN_PARTITIONS: {settings.partitions}, but the topic "
                        f"{settings.topic(name)} has {found}; set it to what all topics have"
                    )
            return True
        except TopicMissing as error:
            raise SettingsError(
                f"COUNTERSIGN_TOPIC_PREFIX: the topic {error} is not there; "
                "mend it, or make the topics with: countersign topics apply"
            ) from None
        except KafkaException as error:
            problem = error.args[0]
            if not unreachable(problem):
                raise
            away = Unavailable("kafka", problem.str())
            if health.problems.get(away.part) != away.why:
                logger().warning("server_away", part=away.part, why=away.why)
            health.not_ready(away.part, away.why)
            stop.wait(1.0)
    return False


def _drain(notifier: Notifier) -> None:
    """Begins nothing new, waits for mails on their way, reports them, and keeps all progress."""
    notifier.draining = True
    until = monotonic() + DRAIN_S
    notifier.run_once(0)
    while not notifier.at_rest and monotonic() < until:
        notifier.run_once(TURN_S)
    notifier.keep_all()

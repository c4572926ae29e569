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
from typing import Final, Protocol

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from consumers.executor_settings import ExecutorKeys, collected, executor_keys
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
from producers.connection import unreachable
from producers.executor import Executor
from producers.sealed_records import Sealing

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

    keys: ExecutorKeys
    smtp: SmtpServer
    sender: Address
    sealing: Sealing | None


Connect = Callable[[Settings, Executor], ClosableLog]
MakeOutbox = Callable[[Mailer], Outbox]


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
    executor, trusted = found.keys.executor, found.keys.trusted
    configure(settings.log_format)
    log = logger()
    registry = CollectorRegistry()
    health = Health(stalled_after_s=STALLED_AFTER_S)
    health.not_ready("kafka", "no partitions assigned yet")
    server = _health_server(health, settings, registry)
    stop = _stop_on_signals()
    log.info("started", metrics_port=server.port, executor_id=executor.executor_id)
    try:
        if not _topics_are_there(settings, health, stop):
            return 0
        kafka = connect(settings, executor)
        try:
            notifier = Notifier(
                Surroundings(
                    log=kafka,
                    outbox=outbox(SmtpMailer(found.smtp)),
                    executor=executor,
                    receipts=Receipts(kafka, executor, trusted.current, settings.audience),
                    grant_keys=found.keys.grant_keys.current,
                    sender=found.sender,
                    clock=lambda: datetime.now(UTC),
                    jitter=random.random,
                    health=health,
                    metrics=Metrics(registry),
                    sealing=found.sealing,
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
    keys = collected(wrong, lambda: executor_keys(settings))
    smtp = collected(wrong, lambda: _smtp(settings))
    sender = collected(wrong, lambda: _sender(settings))
    sealing = collected(wrong, settings.sealing)
    if wrong or not (keys and smtp and sender):
        raise SettingsError(*wrong)
    return Checked(keys, smtp, sender, sealing)


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

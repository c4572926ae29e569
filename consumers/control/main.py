"""Entry of the control worker: settings in, exit status out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic
from typing import Final

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry

from consumers.control.checkpoints import Checkpoints
from consumers.control.drawing import draw_key
from consumers.control.judging import Judge, Known
from consumers.control.kafka import KafkaBroker
from consumers.control.loop import MakeJudge, Worker
from consumers.control.outputs import Writer
from consumers.control.ports import Broker, ConsumerLost, Unavailable
from consumers.control.reception import Receiver
from consumers.control.remembering import RememberingStore
from consumers.control.store import RedisStore
from consumers.health import Health, HealthServer
from consumers.logs import configure
from consumers.metrics import Metrics
from consumers.settings import Settings, SettingsError
from consumers.topics_admin import TopicsWrong, assert_topics
from core.authentication import CONTEXT_TYP
from core.checkpoints import CHECKPOINT_TYP
from core.governing import Trust
from core.jwk import KeySetError, TrustedKeys, public_jwks, trusted_key
from producers.connection import BrokerUnreachable
from producers.keys import KeyFileError, SigningKey, read_key
from producers.signing import sign_grant
from producers.trusted_keys import (
    KeysUnavailable,
    TrustedKeysFile,
    TrustedKeysSource,
    trusted_keys,
)

logger: Final = structlog.get_logger("countersign.control")
HANGS_AFTER_S: Final = 30.0
"""send_offsets_to_transaction can hang for ever (librdkafka #5456); then a restart is the safe path."""
STALLED_AFTER_S: Final = 60.0
_HUNG: Final = 70
"""Exit status of a process that its watchdog ended (EX_SOFTWARE)."""


class Watchdog:
    """Ends the process when a watched call does not return in time: it cannot be interrupted."""

    def __init__(self, hangs_after_s: float = HANGS_AFTER_S) -> None:
        self._hangs_after_s = hangs_after_s
        self._until: float | None = None
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches the calls inside."""
        self._until = monotonic() + self._hangs_after_s
        try:
            yield
        finally:
            self._until = None

    def _watch(self) -> None:
        pause = Event()
        while not pause.wait(1.0):
            until = self._until
            if until is not None and monotonic() > until:
                logger.error("hung", after_s=self._hangs_after_s, mend="restarting is safe")
                os._exit(_HUNG)


def run(
    settings: Settings,
    *,
    insecure_unsigned: bool = False,
    connect: Callable[[Settings, Watchdog], Broker] | None = None,
) -> int:
    """Runs the worker until SIGTERM or SIGINT; 0 when it left in order. Raises SettingsError.

    connect: makes the broker; for tests that end the process between two steps.
    """
    grant_key = _grant_key(settings)
    source = _trusted(settings, insecure_unsigned=insecure_unsigned)
    configure(settings.log_format)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.unsigned_mode.set(1 if insecure_unsigned else 0)
    health = Health(stalled_after_s=STALLED_AFTER_S)
    server = _server(settings, health, registry, grant_key)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logger.info("started", metrics_port=server.port, unsigned=insecure_unsigned)
    secret = worker_secret(grant_key)
    store = RedisStore(
        settings.redis_url.get_secret_value(),
        prefix=settings.topic_prefix,
        mac_key=secret,
        observe=metrics.redis.observe,
    )
    try:
        if not _ready_to_start(settings, store, source, health, stop):
            return 0
        broker = _connected(settings, connect or _kafka, health, stop)
        if broker is None:
            return 0
        worker = Worker(
            broker,
            RememberingStore(store),
            make_judge=judge_maker(
                settings, source, grant_key, secret, insecure_unsigned=insecure_unsigned
            ),
            trust=trust_maker(settings, source, grant_key, insecure_unsigned=insecure_unsigned),
            clock=lambda: datetime.now(UTC),
            health=health,
            metrics=metrics,
            checkpoints=checkpoints_of(settings, grant_key),
        )
        worker.run(stop)
    except ConsumerLost as lost:
        logger.error("consumer_lost", reason=str(lost), mend="start it again")
        return 1
    finally:
        store.close()
        server.close()
    logger.info("stopped")
    return 0


def _server(
    settings: Settings, health: Health, registry: CollectorRegistry, grant_key: SigningKey
) -> HealthServer:
    known = grant_keys_known(settings, grant_key).by_kid.values()
    grants = public_jwks(key for key in known if key.is_bare)
    try:
        return HealthServer(
            health,
            host=settings.metrics_host,
            port=settings.metrics_port,
            registry=registry,
            documents={"/grants/jwks.json": grants},
        )
    except OSError as error:
        raise SettingsError(
            f"COUNTERSIGN_METRICS_PORT: cannot listen on {settings.metrics_host}:"
            f"{settings.metrics_port}: {error.strerror}; choose another port, 0 for any free one"
        ) from None


def judge_maker(
    settings: Settings,
    source: TrustedKeysSource | None,
    grant_key: SigningKey,
    secret: bytes,
    *,
    insecure_unsigned: bool,
) -> MakeJudge:
    """Makes the judge of a batch: with the directories and the keys of that moment."""
    config = settings.kafka_config()
    writer = Writer(
        config.output,
        config.registry,
        prove=lambda claims: grant_key.sign(claims, typ=CONTEXT_TYP),
        audience=settings.audience,
        unsigned=insecure_unsigned,
    )
    drawing = draw_key(secret)

    def make(known: Known) -> Judge:
        return Judge(
            receiver=Receiver(
                keys=_current(source),
                audience=settings.audience,
                partitions=settings.partitions,
                proof_key=secret,
                registry=config.registry,
            ),
            known=known,
            writer=writer,
            sign_grant=lambda claims: sign_grant(claims, grant_key),
            park_ttl=settings.park_ttl,
            draw_key=drawing,
            open_max=settings.open_per_task_max,
            unsigned=insecure_unsigned,
        )

    return make


def trust_maker(
    settings: Settings,
    source: TrustedKeysSource | None,
    grant_key: SigningKey,
    *,
    insecure_unsigned: bool,
) -> Callable[[], Trust]:
    """Whom to believe about the directories at that moment."""
    workers = grant_keys_known(settings, grant_key)

    def make() -> Trust:
        return Trust(
            keys=_current(source),
            audience=settings.audience,
            balancer_id=settings.balancer_id,
            workers=workers,
            unsigned=insecure_unsigned,
        )

    return make


def _current(source: TrustedKeysSource | None) -> TrustedKeys:
    try:
        return source.current() if source is not None else TrustedKeys({})
    except KeysUnavailable as error:
        raise Unavailable("keys", str(error)) from None


def grant_keys_known(settings: Settings, grant_key: SigningKey) -> TrustedKeys:
    """The public keys of the workers of this deployment: our own, and those of former and of other
    ones where GRANT_TRUSTED_KEYS has them. Raises SettingsError."""
    known = {grant_key.kid: trusted_key(grant_key.public_jwk())}
    if settings.grant_trusted_keys is not None:
        try:
            known = dict(trusted_keys(settings.grant_trusted_keys).current().by_kid) | known
        except (KeySetError, KeysUnavailable) as error:
            raise SettingsError(f"COUNTERSIGN_GRANT_TRUSTED_KEYS: {error}") from None
    return TrustedKeys(known)


def checkpoints_of(settings: Settings, grant_key: SigningKey) -> Checkpoints:
    """Signed with the grant key. Those of former grant keys, where GRANT_TRUSTED_KEYS has them,
    are built on too; others are read past, which costs a takeover time and nothing else."""
    return Checkpoints(
        lambda claims: grant_key.sign(claims, typ=CHECKPOINT_TYP),
        grant_keys_known(settings, grant_key),
        entries_max=settings.checkpoint_entries,
        every=settings.checkpoint_every,
    )


def worker_secret(grant_key: SigningKey) -> bytes:
    """What all workers of a deployment know and nobody else: derived from the grant key."""
    raw = grant_key.private.raw_value
    private = raw.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[union-attr]  # private
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"countersign worker").derive(private)


def _grant_key(settings: Settings) -> SigningKey:
    if settings.grant_key is None:
        raise SettingsError(
            "COUNTERSIGN_GRANT_KEY: not set; the worker signs grants with it; make one with: "
            "countersign keys new --grant"
        )
    try:
        key = read_key(settings.grant_key)
    except KeyFileError as error:
        raise SettingsError(f"COUNTERSIGN_GRANT_KEY: {error}") from None
    if key.algorithm != "EdDSA":
        raise SettingsError(
            "COUNTERSIGN_GRANT_KEY: grants are signed with Ed25519; make a key with: "
            "countersign keys new --grant"
        )
    return key


def _trusted(settings: Settings, *, insecure_unsigned: bool) -> TrustedKeysSource | None:
    if insecure_unsigned and not settings.loopback:
        raise SettingsError(
            "--insecure-unsigned: only with a broker on this machine; "
            f"COUNTERSIGN_BOOTSTRAP_SERVERS is {settings.bootstrap_servers}"
        )
    if settings.trusted_keys is None:
        if insecure_unsigned:
            return None
        raise SettingsError(
            "COUNTERSIGN_TRUSTED_KEYS: not set; name the JWKS file or https URL of those who may "
            "sign, or on a development machine: --insecure-unsigned"
        )
    try:
        source = trusted_keys(settings.trusted_keys)
        if isinstance(source, TrustedKeysFile):  # a server may come back, a wrong file does not
            source.current()
    except (KeySetError, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_TRUSTED_KEYS: {error}") from None
    return source


def _ready_to_start(
    settings: Settings,
    store: RedisStore,
    source: TrustedKeysSource | None,
    health: Health,
    stop: Event,
) -> bool:
    """Waits until Redis may be used, the trusted keys are known and the topics are as they must be;
    False: told to stop."""

    def check() -> None:
        if fault := store.policy_fault():
            raise SettingsError(f"COUNTERSIGN_REDIS_URL: {fault}")
        health.ready("redis")
        _current(source)
        health.ready("keys")
        try:
            assert_topics(settings)
        except BrokerUnreachable as error:
            raise Unavailable("kafka", str(error)) from None
        except TopicsWrong as error:
            raise SettingsError(*error.lines) from None

    return _waiting(check, health, stop)


def _connected(
    settings: Settings, connect: Callable[[Settings, Watchdog], Broker], health: Health, stop: Event
) -> Broker | None:
    watchdog, found = Watchdog(), list[Broker]()
    return (
        found[0]
        if _waiting(lambda: found.append(connect(settings, watchdog)), health, stop)
        else None
    )


def _waiting(call: Callable[[], None], health: Health, stop: Event) -> bool:
    while not stop.is_set():
        try:
            call()
        except Unavailable as away:
            health.beat()
            health.not_ready(away.part, away.why)
            logger.warning("server_away", part=away.part, reason=away.why)
            stop.wait(1.0)
        else:
            return True
    return False


def _kafka(settings: Settings, watchdog: Watchdog) -> Broker:
    return KafkaBroker(
        settings.kafka_config(),
        protocol=settings.group_protocol,
        instance_id=settings.group_instance_id,
        guard=watchdog.watched,
    )

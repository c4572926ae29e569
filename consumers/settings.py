"""Settings: environment variables `COUNTERSIGN_*`, read once at the entry point, then passed on.

A wrong one is named with its mend. Secrets have `*_FILE` variants and are never printed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.limits import PARK_TTL_MAX
from core.policy import duration_s
from producers.connection import KafkaConfig
from producers.sealed_records import Sealing
from producers.subject_keys import subject_keys
from schemas.codec import OutputFormat

PREFIX: Final = "COUNTERSIGN_"
_KAFKA_PREFIX: Final = f"{PREFIX}KAFKA_"
_FILE: Final = "_FILE"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})

OURS: Final[Mapping[str, str]] = {
    key: why
    for why, keys in {
        "set COUNTERSIGN_BOOTSTRAP_SERVERS instead": ("bootstrap.servers", "metadata.broker.list"),
        "exactly-once rests on it": (
            "acks",
            "enable.idempotence",
            "transactional.id",
            "transaction.timeout.ms",
            "isolation.level",
            "enable.auto.commit",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "group.id",
            "max.in.flight.requests.per.connection",
            "enable.gapless.guarantee",
        ),
        "co-partitioning rests on it": ("partitioner", "partition.assignment.strategy"),
        "the program sets it": ("error_cb", "stats_cb", "enable.partition.eof", "check.crcs"),
    }.items()
    for key in keys
}
"""librdkafka keys that our guarantees rest on, refused by name with the reason."""


class SettingsError(Exception):
    """A setting is wrong; each line names it and its mend."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def _duration(text: object) -> object:
    return timedelta(seconds=duration_s(text)) if isinstance(text, str) else text


def _log_format() -> Literal["console", "json"]:
    return "console" if sys.stderr.isatty() else "json"


class Settings(BaseSettings):
    """Every setting, by its name without the prefix; see the README for their meaning."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    bootstrap_servers: str = "127.0.0.1:9092"
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    kafka: dict[str, str] = Field(default={}, repr=False, exclude=True)
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 12
    audience: Annotated[str, Field(min_length=1, max_length=256)] = "countersign"
    trusted_keys: str | None = None
    grant_key: Path | None = None
    grant_trusted_keys: str | None = None
    executor_key: Path | None = None
    subject_keys: SecretStr | None = None
    balancer_key: Path | None = None
    balancer_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,128}$")] = "svc:balancer"
    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:25")
    smtp_from: str | None = None
    park_ttl: Annotated[
        timedelta, BeforeValidator(_duration), Field(gt=timedelta(0), le=PARK_TTL_MAX)
    ] = timedelta(seconds=60)
    open_per_task_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    checkpoint_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    checkpoint_every: Annotated[
        timedelta, BeforeValidator(_duration), Field(gt=timedelta(0), le=timedelta(days=1))
    ] = timedelta(minutes=10)
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    metrics_host: str = "127.0.0.1"
    schema_registry_url: SecretStr | None = None
    output_format: OutputFormat = "avro"
    log_format: Literal["console", "json"] = Field(default_factory=_log_format)
    group_protocol: Literal["classic", "consumer"] = "classic"
    group_instance_id: str | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` gives: it reads the environment it is handed, with `*_FILE`."""
        return (init_settings,)

    @property
    def loopback(self) -> bool:
        """Whether every bootstrap server is on this machine."""
        hosts = (server.rpartition(":")[0] for server in self.bootstrap_servers.split(","))
        return all(host.strip() in _LOOPBACK for host in hosts)

    def topic(self, name: str) -> str:
        """The name of a topic, group or transactional id in this deployment."""
        return f"{self.topic_prefix}{name}"

    def kafka_config(self) -> KafkaConfig:
        """How clients reach Kafka. Raises SettingsError when the registry's client is missing."""
        registry = None
        if self.schema_registry_url is not None:
            from schemas.confluent import ConfluentRegistry, RegistryClientMissing

            try:
                registry = ConfluentRegistry(
                    self.schema_registry_url.get_secret_value(), topic_prefix=self.topic_prefix
                )
            except (RegistryClientMissing, ValueError) as error:
                raise SettingsError(f"{PREFIX}SCHEMA_REGISTRY_URL: {error}") from None
        return KafkaConfig(
            bootstrap_servers=self.bootstrap_servers,
            topic_prefix=self.topic_prefix,
            audience=self.audience,
            client=self.kafka,
            output=self.output_format,
            registry=registry,
        )

    def sealing(self) -> Sealing | None:
        """How personal texts are sealed and opened; None: they are not. Raises SettingsError."""
        if self.subject_keys is None:
            return None
        location = self.subject_keys.get_secret_value()
        try:
            return Sealing(subject_keys(location, prefix=self.topic_prefix))
        except ValueError as error:
            raise SettingsError(f"{PREFIX}SUBJECT_KEYS: {error}") from None

    def admin_config(self) -> dict[str, Any]:
        """librdkafka keys for administration and plain reading."""
        return self.kafka_config().common()


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment. Raises SettingsError, one line a wrong setting."""
    env = dict(os.environ if environ is None else environ)
    given, wrong = _from_files(env)
    kafka = {}
    for name, value in env.items():
        if name.startswith(_KAFKA_PREFIX) and not name.endswith(_FILE):
            key = name.removeprefix(_KAFKA_PREFIX).lower().replace("_", ".")
            if key in OURS:
                wrong.append(f"{name}: {key} cannot be set: {OURS[key]}; unset it")
            kafka[key] = value
        field = name.removeprefix(PREFIX).lower()
        if (
            name.startswith(PREFIX)
            and field in Settings.model_fields
            and field != "kafka"
            and value
        ):
            given.setdefault(field, value)
    kafka |= given.pop("kafka", {})
    wrong += _unknown(env)
    try:
        settings = Settings.model_validate({**given, "kafka": kafka})
    except ValidationError as error:
        wrong += [_line(e["loc"], e["type"], e["msg"]) for e in error.errors(include_url=False)]
        raise SettingsError(*wrong) from None
    wrong += _inconsistent(settings)
    if wrong:
        raise SettingsError(*wrong)
    return settings


def _from_files(env: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Values of `*_FILE` variables: the file's text without its last newline."""
    given: dict[str, Any] = {}
    wrong: list[str] = []
    for name, path in env.items():
        if not (name.startswith(PREFIX) and name.endswith(_FILE)):
            continue
        plain = name.removesuffix(_FILE)
        if plain in env:
            wrong.append(f"{name} and {plain} are both set; unset one")
            continue
        try:
            text = Path(path).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            wrong.append(f"{name}: {path} cannot be read ({type(error).__name__}); mend the path")
            continue
        if plain.startswith(_KAFKA_PREFIX):
            key = plain.removeprefix(_KAFKA_PREFIX).lower().replace("_", ".")
            if key in OURS:
                wrong.append(f"{name}: {key} cannot be set: {OURS[key]}; unset it")
            given.setdefault("kafka", {})[key] = text
        else:
            given[plain.removeprefix(PREFIX).lower()] = text
    return given, wrong


def _unknown(env: Mapping[str, str]) -> list[str]:
    import difflib

    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields if name != "kafka"]
    found = []
    for name in env:
        plain = name.removesuffix(_FILE)
        if not name.startswith(PREFIX) or name.startswith(_KAFKA_PREFIX) or plain in known:
            continue
        near = difflib.get_close_matches(plain, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "unset it"
        found.append(f"{name}: no such setting; {hint}")
    return found


def _line(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    name = f"{PREFIX}{str(loc[0]).upper()}" if loc else PREFIX
    said = message.removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}: {said[0].lower()}{said[1:]}" if said else f"{name}: {kind}"


def _inconsistent(settings: Settings) -> list[str]:
    checks: list[tuple[str, Callable[[], bool], str]] = [
        (
            "BOOTSTRAP_SERVERS",
            lambda: all(
                re.fullmatch(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", server.strip())
                for server in settings.bootstrap_servers.split(",")
            ),
            "must be host:port, several with commas between",
        ),
        (
            "REDIS_URL",
            lambda: (
                urlsplit(settings.redis_url.get_secret_value()).scheme
                in ("redis", "rediss", "unix")
            ),
            "must be redis://host:port/db (or rediss://, unix://)",
        ),
        (
            "SUBJECT_KEYS",
            lambda: settings.subject_keys is None or settings.subject_keys != settings.redis_url,
            "is the Redis of COUNTERSIGN_REDIS_URL, which may be emptied; name one that is kept",
        ),
        (
            "SMTP_URL",
            lambda: (
                urlsplit(settings.smtp_url.get_secret_value()).scheme
                in ("smtp", "smtps", "smtp+starttls")
            ),
            "must be smtp://host:port (or smtps://, smtp+starttls://)",
        ),
    ]
    return [f"{PREFIX}{name}: {mend}" for name, fine, mend in checks if not fine()]

"""A broker with authentication, TLS and an authorizer, and a Redis with a password behind TLS."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import redis
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from consumers.access import ROLES, Role
from consumers.settings import PREFIX, Settings, load
from deploy.dev_stack.local import kafka_in, redis_in
from deploy.dev_stack.local_kafka import LocalKafka
from deploy.dev_stack.local_redis import LocalRedis
from deploy.dev_stack.ports import LOOPBACK, free_port
from producers.connection import logger
from tests.support.deployment import Deployment, deployed
from tests.support.tls import Authority, tls_door

ADMIN: Final = "admin"
STRANGER: Final = "mallory"
REDIS_USER: Final = "countersign"
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


def password(user: str) -> str:
    """Looked for in logs, so unlike anything else."""
    return f"pw-of-{user}-7f3a"


def user(role: Role) -> str:
    """The user that the default principal of a role names."""
    return f"countersign-{role}"


@dataclass(frozen=True)
class Guarded:
    """The deployment is set up by the super user; `as_user` gives the settings of another."""

    deployment: Deployment
    kafka: LocalKafka
    sasl: str
    tls: str
    ca: Path
    other_ca: Path
    redis_url: str

    def env(self, name: str, **more: str) -> dict[str, str]:
        """The environment of somebody, with SCRAM over TLS. more: by name without the prefix."""
        return {
            **self.deployment.env,
            **{f"{PREFIX}{key}": value for key, value in {**self.over_tls(name), **more}.items()},
        }

    def settings(self, name: str) -> Settings:
        """The same, read; without TLS, which is no matter of rights."""
        return load(self.env(name, **self.in_the_clear(name)))

    def over_tls(self, name: str) -> dict[str, Any]:
        """SASL_SSL, SCRAM-SHA-512."""
        return {
            "BOOTSTRAP_SERVERS": self.tls,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_LOCATION": str(self.ca),
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": name,
            "KAFKA_SASL_PASSWORD_FILE": str(self.secret(name)),
        }

    def in_the_clear(self, name: str) -> dict[str, Any]:
        """SASL_PLAINTEXT, SCRAM-SHA-256."""
        return self.over_tls(name) | {
            "BOOTSTRAP_SERVERS": self.sasl,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        }

    def secret(self, name: str) -> Path:
        """The file that holds the password."""
        return secret_file(self.deployment.directory, name)


def secret_file(directory: Path, name: str) -> Path:
    """Made when it is missing."""
    path = directory / f"{name}.password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{password(name)}\n", encoding="utf-8")
    return path


@contextmanager
def guarded(directory: Path) -> Iterator[Guarded]:
    """Servers with topics, no rights given yet and nobody's policy."""
    ours, other = Authority(directory, "ours"), Authority(directory, "other")
    kafka, redis_server = kafka_in(directory), redis_in(directory)
    kafka.tethered = redis_server.tethered = True
    sasl, tls = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
    kafka.more = _properties(kafka, sasl, tls, ours.server("broker"))
    with ExitStack() as stack:
        stack.callback(redis_server.kill)
        redis_server.start()
        stack.callback(kafka.kill)
        kafka.start()
        users = [ADMIN, STRANGER, *map(user, ROLES)]
        _give_passwords(kafka.bootstrap_servers, users)
        door = stack.enter_context(tls_door(ours.server("redis"), redis_server.port))
        redis_url = (
            f"rediss://{REDIS_USER}:{quote(password(REDIS_USER))}@{LOOPBACK}:{door}/0"
            f"?ssl_ca_certs={quote(str(ours.ca))}"
        )
        deployment = stack.enter_context(
            deployed(
                sasl,
                redis_url,
                directory,
                partitions=1,
                people=False,
                KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
                KAFKA_SASL_MECHANISM="SCRAM-SHA-256",
                KAFKA_SASL_USERNAME=ADMIN,
                KAFKA_SASL_PASSWORD_FILE=str(secret_file(directory, ADMIN)),
            )
        )
        _close_redis(redis_server, deployment.settings.topic_prefix)
        yield Guarded(deployment, kafka, sasl, tls, ours.ca, other.ca, redis_url)


def _properties(kafka: LocalKafka, sasl: str, tls: str, pem: Path) -> Mapping[str, str]:
    """Beside the plain listener, over which the broker speaks with itself."""
    listeners = {
        "PLAINTEXT": kafka.bootstrap_servers,
        "SASL": sasl,
        "TLS": tls,
        "CONTROLLER": f"{LOOPBACK}:{kafka.controller_port}",
    }
    where = ",".join(f"{name}://{place}" for name, place in listeners.items())
    protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL"
    return {
        "listeners": where,
        "advertised.listeners": where,
        "listener.security.protocol.map": protocols,
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.tls.ssl.keystore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": str(pem),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{ADMIN}",
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": _SCRAM
            for listener in ("sasl", "tls")
            for mechanism in ("scram-sha-256", "scram-sha-512")
        },
    }


def _give_passwords(bootstrap_servers: str, users: Sequence[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers}, logger=logger)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        given: list[Any] = [
            UserScramCredentialUpsertion(
                name, ScramCredentialInfo(mechanism, 4096), password(name).encode()
            )
            for name in users
        ]
        for future in admin.alter_user_scram_credentials(given).values():
            future.result(timeout=20)


def _close_redis(server: LocalRedis, prefix: str) -> None:
    """A user with only this deployment's keys and what the program does; the default one is shut."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(
            *("ACL", "SETUSER", REDIS_USER, "on", f">{password(REDIS_USER)}"),
            *(f"~{{{prefix}p*", "-@all", "+@read", "+@write", "+@scripting", "+@connection"),
            *("+info", "+config|get"),
        )
        client.execute_command("ACL", "SETUSER", "default", "off")

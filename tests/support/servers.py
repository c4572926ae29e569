"""The real broker and the real Redis of a test run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

import deploy
from deploy.dev_stack.answering import kafka_answers, redis_answers, wait_until
from deploy.dev_stack.docker import engine_answers
from deploy.dev_stack.local import isolated
from deploy.dev_stack.ports import LOOPBACK, free_port

_COMPOSE: Final = Path(deploy.__file__).with_name("compose.yaml")


@dataclass(frozen=True, slots=True)
class TestServers:
    """Where they are, and who runs them."""

    __test__ = False

    bootstrap_servers: str
    redis_url: str
    how: str


@contextmanager
def real_servers(directory: Path) -> Iterator[TestServers]:
    """Containers where a Docker engine answers, else processes with their data in `directory`.

    There is no third way: where neither can be had, CannotStart fails the tests.
    """
    if engine_answers():
        with _containers() as servers:
            yield servers
        return
    with isolated(directory) as local:
        yield TestServers(local.bootstrap_servers, local.redis_url, "processes")


@contextmanager
def _containers() -> Iterator[TestServers]:
    """The services of deploy/compose.yaml, by testcontainers, on ports of their own."""
    from testcontainers.core.container import DockerContainer

    services = yaml.safe_load(_COMPOSE.read_text(encoding="utf-8"))["services"]
    ports = {"KAFKA_PORT": str(free_port()), "REDIS_PORT": str(free_port())}
    with ExitStack() as stack:
        for name, host_port in zip(("kafka", "redis"), ports.values(), strict=True):
            service = services[name]
            container = DockerContainer(service["image"])
            inside = int(str(service["ports"][0]).rpartition(":")[2])
            bound: Any = (
                LOOPBACK,
                int(host_port),
            )  # docker's own form; its wrapper names ports only
            container.ports[str(inside)] = bound
            for key, value in service.get("environment", {}).items():
                container.with_env(key, _filled(str(value), ports))
            if "command" in service:
                container.with_command(service["command"])
            stack.enter_context(container)
        servers = TestServers(
            f"{LOOPBACK}:{ports['KAFKA_PORT']}",
            f"redis://{LOOPBACK}:{ports['REDIS_PORT']}/0",
            "containers",
        )
        config: dict[str, Any] = {"bootstrap.servers": servers.bootstrap_servers}
        wait_until("Kafka", lambda: kafka_answers(config))
        wait_until("Redis", lambda: redis_answers(servers.redis_url))
        yield servers


def _filled(text: str, values: dict[str, str]) -> str:
    """The text with compose's `${NAME:-default}` filled in."""
    for name, value in values.items():
        head, found, rest = text.partition("${" + name)
        if found:
            text = head + value + rest.partition("}")[2]
    return text

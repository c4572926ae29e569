"""The servers as containers, where a Docker engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.dev_stack.failures import CannotStart

PROJECT: Final = "countersign-dev"
COMPOSE_FILE: Final = Path(__file__).parent.parent / "compose.yaml"
SERVICES: Final = ("kafka", "redis")
_ENGINE_TIMEOUT_S: Final = 5.0
"""An engine that takes longer to say who it is, is no help to a quick start."""
_UP_TIMEOUT_S: Final = 900.0
"""The first time it pulls images."""


def engine_answers() -> bool:
    """Whether `docker info` names a server, quickly."""
    try:
        answer = _docker(["info", "--format", "{{.ServerVersion}}"], timeout_s=_ENGINE_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() not in ("", "<no value>")


def compose_up(kafka_port: int, redis_port: int) -> None:
    """Starts the containers on these loopback ports. Raises CannotStart."""
    ports = {"KAFKA_PORT": str(kafka_port), "REDIS_PORT": str(redis_port)}
    _compose(["up", "--detach", "--quiet-pull", *SERVICES], ports)


def compose_down() -> None:
    """Ends the containers of this project; their volumes stay. Raises CannotStart."""
    _compose(["down"], {"KAFKA_PORT": "0", "REDIS_PORT": "0"})


def running_services() -> frozenset[str]:
    """Which services of the project run; empty when the engine is away."""
    command = [*_project(), "ps", "--services", "--status", "running"]
    try:
        answer = _docker(command, timeout_s=_ENGINE_TIMEOUT_S * 2)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(answer.stdout.split() if answer.returncode == 0 else ())


def _project() -> list[str]:
    return ["compose", "--project-name", PROJECT, "--file", str(COMPOSE_FILE)]


def _compose(arguments: Sequence[str], ports: dict[str, str]) -> None:
    try:
        done = _docker([*_project(), *arguments], timeout_s=_UP_TIMEOUT_S, more=ports)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotStart(f"docker compose {arguments[0]}: {error}", _MEND) from None
    if done.returncode != 0:
        said = [f"  {line}" for line in done.stderr.splitlines()[-10:]]
        raise CannotStart(f"docker compose {arguments[0]} failed", *said, _MEND)


_MEND: Final = (
    "mend: see `docker compose version` and that images can be pulled; or stop the Docker engine: "
    "then Java and Redis are used instead"
)


def _docker(
    arguments: Sequence[str], *, timeout_s: float, more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker")
    if program is None:
        raise FileNotFoundError("no docker on the PATH")
    return subprocess.run(
        [program, *arguments],
        env={**os.environ, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )

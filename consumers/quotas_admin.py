"""Limits of principals at the broker, by Kafka's own `kafka-configs.sh`.

librdkafka cannot set client quotas (KIP-546; librdkafka issue 5227), so the program is run where it
can be found, and its commands are printed where it cannot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from producers.connection import BrokerUnreachable, NotAllowed

PROGRAMS: Final = ("kafka-configs.sh", "kafka-configs")
_USER: Final = "User:"
_RUNS_WITHIN_S: Final = 60.0
_LINES: Final = 3
"""Of what the program said when it failed: the rest is its stack trace."""


def program() -> str | None:
    """Where the program is; None: not on the PATH."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def commands(
    quotas: Mapping[str, Mapping[str, int]],
    bootstrap_servers: str,
    *,
    program: str = PROGRAMS[0],
    command_config: Path | None = None,
) -> list[list[str]]:
    """A command for each principal; run again it changes nothing.

    command_config: the Java client's properties, with the credentials of a super user.
    """
    reach = ["--bootstrap-server", bootstrap_servers]
    if command_config is not None:
        reach += ["--command-config", str(command_config)]
    return [
        [
            *(program, *reach, "--alter", "--entity-type", "users"),
            *("--entity-name", principal.removeprefix(_USER), "--add-config"),
            ",".join(f"{key}={value}" for key, value in limits.items()),
        ]
        for principal, limits in quotas.items()
    ]


def run(command: Sequence[str]) -> None:
    """Runs one. Raises NotAllowed with what it said, BrokerUnreachable."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_RUNS_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BrokerUnreachable(f"{command[0]} did not end in {_RUNS_WITHIN_S:.0f} s") from None
    except OSError as error:
        raise NotAllowed(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NotAllowed(f"{command[0]}: {' '.join(said[:_LINES])}")

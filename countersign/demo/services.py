"""The worker and the notifier as processes of the demo."""

from __future__ import annotations

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

from deploy.dev_stack.ports import LOOPBACK, free_port
from deploy.dev_stack.process import Started, pause, start, tail

READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1
_ANSWER_WITHIN_S: Final = 2.0
_TAIL_LINES: Final = 12


class ServiceEnded(Exception):
    """A service ended, or did not get ready; the message names it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running `countersign worker` or `notifier`."""

    name: str
    process: Started
    log: Path
    port: int

    def ready(self) -> str | None:
        """None when /readyz says so, else why not."""
        try:
            with urllib.request.urlopen(
                f"http://{LOOPBACK}:{self.port}/readyz", timeout=_ANSWER_WITHIN_S
            ):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode(errors="replace").strip()
        except OSError as error:
            return str(error)


class Services:
    """What was started; a context manager that ends it all, by its own process ids."""

    def __init__(self) -> None:
        self._all: list[Service] = []

    def start(self, name: str, *, env: Mapping[str, str], directory: Path) -> None:
        """Starts `countersign <name>`, its log in the directory."""
        port = free_port()
        log = directory / f"{name}.log"
        process = start(
            # -P: what lies in the working directory is not imported, only found by its path
            [sys.executable, "-P", "-m", "countersign", name],
            cwd=Path.cwd(),
            log=log,
            env={**env, "COUNTERSIGN_METRICS_PORT": str(port)},
        )
        self._all.append(Service(name, process, log, port))

    def wait_ready(self) -> None:
        """Returns when all are ready. Raises ServiceEnded."""
        for service in self._all:
            deadline = monotonic() + READY_WITHIN_S
            while (why := service.ready()) is not None:
                self.check()
                if monotonic() >= deadline:
                    raise ServiceEnded(
                        f"the {service.name} is not ready after {READY_WITHIN_S:.0f} s: {why}"
                    )
                pause(_LOOK_EVERY_S)

    def check(self) -> None:
        """Raises ServiceEnded when one of them is gone."""
        for service in self._all:
            if not service.process.alive:
                raise ServiceEnded(f"the {service.name} ended by itself")

    def tails(self) -> list[str]:
        """The ends of all logs, each under its name."""
        lines = []
        for service in self._all:
            lines.append(f"the end of the {service.name}'s log:")
            lines += [f"  {line}" for line in tail(service.log, _TAIL_LINES)] or ["  (empty)"]
        return lines

    def stop(self) -> None:
        """Asks all to end, then waits for each; who does not end is killed."""
        for service in self._all:
            service.process.signal(signal.SIGTERM)
        for service in self._all:
            service.process.stop()
        self._all.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

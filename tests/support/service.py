"""One of our services as a real process: started, watched, killed, paused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Final, Self

from deploy.dev_stack.ports import LOOPBACK, free_port

READY_WITHIN_S: Final = 60.0
STOPPED_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_TAIL_BYTES: Final = 6000


class Service:
    """`python -m <module> <command>` with a log file; its process id is the only one it ends.

    Started again after `kill` or `stop` it keeps its name, environment and log. Not for several
    threads at once.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        module: str = "countersign",
    ) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", module, *command]
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self.metrics_port = 0

    def start(self, *, wait: bool = True) -> Self:
        """Starts it; waits until /readyz says 200 unless told otherwise."""
        assert self._process is None, f"{self.name} runs already"
        self.metrics_port = free_port()
        env = {**self._env, "COUNTERSIGN_METRICS_PORT": str(self.metrics_port)}
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Returns when /readyz says 200; fails with the log when it ends or takes too long."""
        deadline = monotonic() + within_s
        while not self.ready():
            if not self.running:
                raise AssertionError(f"{self.name} ended with {self.returncode}:\n{self.tail()}")
            if monotonic() >= deadline:
                raise AssertionError(
                    f"{self.name} is not ready after {within_s:g} s: {self.get('/readyz')[1]}\n"
                    f"{self.tail()}"
                )
            Event().wait(_LOOK_EVERY_S)

    def ready(self) -> bool:
        """Whether /readyz says 200."""
        return self.get("/readyz")[0] == 200

    def metrics(self) -> str:
        """The text of /metrics."""
        status, text = self.get("/metrics")
        assert status == 200, f"{self.name}: /metrics answers {status}"
        return text

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of its HTTP answer; (0, why) when it does not answer."""
        url = f"http://{LOOPBACK}:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait_ended(self, within_s: float = STOPPED_WITHIN_S) -> int:
        """Waits until it ends by itself; its exit status."""
        assert self._process is not None, f"{self.name} is not running"
        try:
            code = self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs:\n{self.tail()}") from None
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, within_s: float = STOPPED_WITHIN_S) -> None:
        """SIGTERM; fails unless it ends in order, with status 0."""
        os.kill(self.pid, signal.SIGTERM)
        code = self.wait_ended(within_s)
        assert code == 0, f"{self.name} ended with {code}, not 0:\n{self.tail()}"

    def pause(self) -> None:
        """SIGSTOP: it is there and does nothing, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def log_text(self) -> str:
        """All it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """The end of its log."""
        return f"--- {self.log}\n{self.log_text()[-_TAIL_BYTES:]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

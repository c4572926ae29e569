"""One Redis (or Valkey) server on a loopback port."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deploy.dev_stack.answering import redis_answers, wait_until
from deploy.dev_stack.ports import LOOPBACK
from deploy.dev_stack.process import Started, start


@dataclass(slots=True)
class LocalRedis:
    """A server with its data and log in `home`. Nothing runs until `start`.

    tethered: it ends with the thread that starts it.
    """

    program: Path
    home: Path
    port: int
    tethered: bool = False
    process: Started | None = field(default=None)

    @property
    def url(self) -> str:
        """What COUNTERSIGN_REDIS_URL says for it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def log(self) -> Path:
        """Its output."""
        return self.home / "redis.log"

    @property
    def name(self) -> str:
        """What it is called in the record of processes."""
        return "redis"

    def start(self) -> None:
        """Starts it and waits until it answers. Raises CannotStart; then it does not run."""
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> Started:
        """Starts the process."""
        data = self.home / "redis"
        data.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",  # an evicted key would be a forgotten decision
            "daemonize": "no",
        }
        command = [str(self.program)]
        for name, value in options.items():
            command += [f"--{name}", value]
        self.process = start(command, cwd=data, log=self.log, tethered=self.tethered)
        return self.process

    def wait(self) -> None:
        """Returns when it answers. Raises CannotStart."""
        wait_until("Redis", lambda: redis_answers(self.url), process=self.process, log=self.log)

    def stop(self) -> None:
        """Asks it to end and waits; what it holds stays on disk."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def kill(self) -> None:
        """SIGKILL: at most the last second of writes is lost."""
        if self.process is not None:
            self.process.kill()
            self.process = None

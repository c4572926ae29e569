"""Apache Kafka as one JVM: broker and KRaft controller, on loopback ports."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from deploy.dev_stack.answering import kafka_answers, listens, wait_until
from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.ports import LOOPBACK
from deploy.dev_stack.process import Started, start

VERSION: Final = "4.3.1"
_LOG_CONFIG: Final = Path(__file__).with_name("log4j2.properties")
_FORMAT_TIMEOUT_S: Final = 120.0
_BYTES_MAX: Final = 10 * 1024 * 1024
"""Above `max.message.bytes` of every topic, and the batch around it."""
_JVM: Final = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={_LOG_CONFIG}",
)


@dataclass(slots=True)
class LocalKafka:
    """A broker with its data and log in `home`. Nothing runs until `start`.

    tethered: it ends with the thread that starts it. more: further properties of the broker, such as
    a listener with authentication; they win.
    """

    java: Path
    jars: Sequence[Path]
    home: Path
    port: int
    controller_port: int
    tethered: bool = False
    more: Mapping[str, str] = field(default_factory=dict, repr=False)
    process: Started | None = field(default=None)

    @property
    def bootstrap_servers(self) -> str:
        """What COUNTERSIGN_BOOTSTRAP_SERVERS says for it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """Its output."""
        return self.home / "kafka.log"

    @property
    def name(self) -> str:
        """What it is called in the record of processes."""
        return "kafka"

    def start(self) -> None:
        """Starts it and waits until it answers. Raises CannotStart; then it does not run."""
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> Started:
        """Starts the process; the first time, formats the data folder. Raises CannotStart."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "server.properties"
        config.write_text(self.properties(), encoding="utf-8")
        if not (self._data / "meta.properties").exists():
            self._format(config)
        self.process = start(
            self._command("kafka.Kafka", config),
            cwd=self.home,
            log=self.log,
            tethered=self.tethered,
        )
        return self.process

    def wait(self) -> None:
        """Returns when it answers. Raises CannotStart."""
        wait_until("Kafka", self._answers, process=self.process, log=self.log)

    def stop(self) -> None:
        """Asks it to end and waits; what it holds stays on disk."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def kill(self) -> None:
        """SIGKILL; the next start recovers the log."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def properties(self) -> str:
        """The broker's configuration."""
        broker, controller = (f"{LOOPBACK}:{port}" for port in (self.port, self.controller_port))
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": controller,
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._data),
            # one broker: nothing can be replicated
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # few partitions of its own: it starts and recovers faster
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.num.partitions": "8",
            # a topic that nobody made is a mistake: `topics apply` makes them
            "auto.create.topics.enable": "false",
            "message.max.bytes": str(_BYTES_MAX),
            "replica.fetch.max.bytes": str(_BYTES_MAX),
            # do not wait for more members before the first assignment
            "group.initial.rebalance.delay.ms": "0",
            # the default of 128 MB is a quarter of this heap
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.cleaner.threads": "1",
            **self.more,
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())

    @property
    def _data(self) -> Path:
        return self.home / "kafka"

    def _answers(self) -> str | None:
        if not listens(self.port):
            return "it does not listen yet"
        return kafka_answers({"bootstrap.servers": self.bootstrap_servers})

    def _command(self, main_class: str, *arguments: object) -> list[str]:
        classpath = ":".join(map(str, self.jars))
        return [str(self.java), *_JVM, "-cp", classpath, main_class, *map(str, arguments)]

    def _format(self, config: Path) -> None:
        command = self._command(
            *("kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted"),
            *("--cluster-id", uuid4().hex[:22], "--config", config),
        )
        try:
            done = subprocess.run(
                command,
                cwd=self.home,
                capture_output=True,
                text=True,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotStart(f"Kafka's data folder cannot be formatted: {error}") from None
        if done.returncode != 0:
            said = (done.stderr + done.stdout).splitlines()[-10:]
            raise CannotStart(
                f"Kafka's data folder {self._data} cannot be formatted",
                *(f"  {line}" for line in said),
                f"mend: remove {self._data}, then run it again",
            )

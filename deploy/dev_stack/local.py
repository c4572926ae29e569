"""The servers as processes of this machine: Kafka in a JVM, Redis beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.dev_stack import programs
from deploy.dev_stack.fetching import KAFKA_LOCK, cache_dir, fetch_all, read_lock
from deploy.dev_stack.local_kafka import VERSION, LocalKafka
from deploy.dev_stack.local_redis import LocalRedis
from deploy.dev_stack.ports import free_port

Say = Callable[[str], None]


def quiet(line: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three listeners are; None: any free port."""

    kafka: int | None = None
    redis: int | None = None
    controller: int | None = None


_ANY: Final = Ports()


def kafka_in(home: Path, ports: Ports = _ANY, *, say: Say = quiet) -> LocalKafka:
    """A broker with its data in `home`, not started. Fetches what it needs. CannotStart."""
    java = programs.java(say)
    jars = kafka_jars(say)
    port = ports.kafka or free_port()
    return LocalKafka(
        java, jars, home, port, ports.controller or free_port(avoid=frozenset({port}))
    )


def redis_in(home: Path, ports: Ports = _ANY, *, say: Say = quiet) -> LocalRedis:
    """A Redis with its data in `home`, not started. Raises CannotStart."""
    return LocalRedis(programs.redis_server(say), home, ports.redis or free_port())


def kafka_jars(say: Say = quiet) -> list[Path]:
    """The broker's jars in the user's cache; fetched with a progress bar when missing."""
    files = read_lock(KAFKA_LOCK.read_text(encoding="utf-8"))
    place = cache_dir() / f"kafka-{VERSION}"
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(f"Apache Kafka {VERSION}", total=None, visible=False)
        told = False

        def came(count: int, total: int) -> None:
            nonlocal told
            if not told:
                told = True
                say(f"fetching Apache Kafka {VERSION} from Maven Central ({total >> 20} MB, once)")
            bar.update(task, advance=count, total=total, visible=True)

        return fetch_all(files, place, progress=came)


class Isolated:
    """A broker and a Redis of their own, for tests that kill and restart them."""

    def __init__(self, kafka: LocalKafka, redis: LocalRedis) -> None:
        self.kafka = kafka
        self.redis = redis

    @property
    def bootstrap_servers(self) -> str:
        """What COUNTERSIGN_BOOTSTRAP_SERVERS says for it; the same after a restart."""
        return self.kafka.bootstrap_servers

    @property
    def redis_url(self) -> str:
        """What COUNTERSIGN_REDIS_URL says for it; the same after a restart."""
        return self.redis.url

    def restart_redis(self) -> None:
        """Ends Redis and starts it again over the same data."""
        self.redis.stop()
        self.redis.start()

    def kill_broker(self) -> None:
        """SIGKILL for the broker."""
        self.kafka.kill()

    def start_broker(self) -> None:
        """Starts the broker again over the same data and waits until it answers."""
        self.kafka.start()

    def close(self) -> None:
        """Ends both."""
        self.redis.stop()
        self.kafka.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def isolated(directory: Path, *, say: Say = quiet) -> Iterator[Isolated]:
    """Servers with data, logs and free ports of their own; ended, not removed, at the end.

    Raises CannotStart.
    """
    servers = Isolated(kafka_in(directory, say=say), redis_in(directory, say=say))
    servers.kafka.tethered = servers.redis.tethered = True
    with servers:
        servers.redis.start()
        servers.kafka.start()
        yield servers

"""`up`, `down`, `status`: the first that is there of named servers, Docker, and own processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

from consumers.settings import PREFIX, SettingsError, load
from deploy.dev_stack import docker
from deploy.dev_stack.answering import kafka_answers, redis_answers, wait_until
from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.fetching import cache_dir, only_one
from deploy.dev_stack.local import Ports, Say, kafka_in, quiet, redis_in
from deploy.dev_stack.ports import LOOPBACK, free_port, is_free
from deploy.dev_stack.state import Runner, State, read_state, write_state

KAFKA_VARIABLE: Final = f"{PREFIX}BOOTSTRAP_SERVERS"
REDIS_VARIABLE: Final = f"{PREFIX}REDIS_URL"
_NAMED_ANSWER_WITHIN_S: Final = 10.0
"""Servers that settings name run already, or they do not."""
How = Literal["settings"] | Runner


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker and a Redis that answer. `how`: who runs them."""

    bootstrap_servers: str
    redis_url: str
    how: How

    @property
    def exports(self) -> dict[str, str]:
        """The settings that lead to them."""
        return {KAFKA_VARIABLE: self.bootstrap_servers, REDIS_VARIABLE: self.redis_url}

    @property
    def shown_redis_url(self) -> str:
        """The Redis URL without a password."""
        parts = urlsplit(self.redis_url)
        if parts.password is None:
            return self.redis_url
        user = parts.username or ""
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


@dataclass(frozen=True, slots=True)
class Status:
    """`servers`: what is known of; None when nothing was ever started. The reasons why each does
    not answer; None when it does."""

    servers: Servers | None
    kafka: str | None
    redis: str | None

    @property
    def up(self) -> bool:
        """Whether both answer."""
        return self.servers is not None and self.kafka is None and self.redis is None


def home() -> Path:
    """Where the development servers keep data, logs and their state."""
    place = cache_dir() / "dev"
    place.mkdir(exist_ok=True)
    return place


def up(
    *,
    environ: Mapping[str, str] | None = None,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    say: Say = quiet,
) -> Servers:
    """Servers that answer, started where none did. What runs already is left running.

    Raises CannotStart with the mend, and SettingsError.
    """
    environ = os.environ if environ is None else environ
    place = home()
    with only_one(place / "lock"):
        state = read_state(place / "state.json")
        if (named := _named(environ, state)) is not None:
            say("the settings name servers: starting nothing")
            _check_named(named, environ)
            return named
        how = _runner(state)
        running = _running(state, how)
        ports = _ports(state.ports, running, Ports(kafka=kafka_port, redis=redis_port))
        if how == "docker":
            return _up_in_docker(place, ports, say)
        return _up_as_processes(place, state, ports, say)


def down(*, say: Say = quiet) -> bool:
    """Ends what `up` started, and nothing else; False when there was nothing. Data stays.

    Raises CannotStart when Docker, which must end it, does not.
    """
    place = home()
    with only_one(place / "lock"):
        state = read_state(place / "state.json")
        ended = False
        if state.how == "docker" and docker.running_services():
            say("ending the containers")
            docker.compose_down()
            ended = True
        for name, process in state.processes.items():
            if process.alive:
                say(f"ending {name} (process {process.pid})")
                process.stop()
                ended = True
        write_state(place / "state.json", State(state.how, state.ports, {}))
    return ended


def status(*, environ: Mapping[str, str] | None = None) -> Status:
    """What stands, and whether it answers. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    state = read_state(home() / "state.json")
    servers = _named(environ, state) or _servers(state)
    if servers is None:
        return Status(None, "nothing was started", "nothing was started")
    return Status(servers, _kafka_reason(servers, environ), redis_answers(servers.redis_url))


def _named(environ: Mapping[str, str], state: State) -> Servers | None:
    """The servers that settings name; None when they name none, or those of the last `up`."""
    missing = [
        name
        for name in (KAFKA_VARIABLE, REDIS_VARIABLE)
        if not (environ.get(name) or environ.get(f"{name}_FILE"))
    ]
    if len(missing) == 2:
        return None
    if missing:
        raise SettingsError(
            f"{missing[0]}: not set, but the other server is named; "
            "set both, or neither: then both are started"
        )
    settings = load(environ)
    named = Servers(
        settings.bootstrap_servers, settings.redis_url.get_secret_value(), how="settings"
    )
    ours = _servers(state)
    if ours is not None and ours.exports == named.exports:
        return None
    return named


def _check_named(named: Servers, environ: Mapping[str, str]) -> None:
    within_s = _NAMED_ANSWER_WITHIN_S
    try:
        wait_until("Kafka", lambda: _kafka_reason(named, environ), within_s=within_s)
        wait_until("Redis", lambda: redis_answers(named.redis_url), within_s=within_s)
    except CannotStart as error:
        raise CannotStart(
            *error.lines[:-1],
            f"mend: start it, or unset {KAFKA_VARIABLE} and {REDIS_VARIABLE}: "
            "then both are started here",
        ) from None


def _kafka_reason(servers: Servers, environ: Mapping[str, str]) -> str | None:
    more: dict[str, Any] = load(environ).admin_config() if servers.how == "settings" else {}
    return kafka_answers({**more, "bootstrap.servers": servers.bootstrap_servers})


def _servers(state: State) -> Servers | None:
    """Where the last `up` put them."""
    if state.how is None:
        return None
    return Servers(
        f"{LOOPBACK}:{state.ports.kafka}", f"redis://{LOOPBACK}:{state.ports.redis}/0", state.how
    )


def _runner(state: State) -> Runner:
    """Processes that run already stay; else Docker where an engine answers."""
    if any(process.alive for process in state.processes.values()):
        return "processes"
    return "docker" if docker.engine_answers() else "processes"


def _running(state: State, how: Runner) -> frozenset[str]:
    """Which of our servers run already, by name."""
    if state.how != how:
        return frozenset()
    if how == "docker":
        return docker.running_services()
    return frozenset(name for name, process in state.processes.items() if process.alive)


def _ports(last: Ports, running: frozenset[str], asked: Ports) -> Ports:
    """Where they shall be: as asked for; else as the last time where that is free; else anywhere.

    What runs already stays where it is. Raises CannotStart when a port asked for cannot be had.
    """
    kafka = _port("kafka", last.kafka, asked.kafka, running, frozenset())
    redis = _port("redis", last.redis, asked.redis, running, frozenset({kafka}))
    if "kafka" in running:
        return Ports(kafka, redis, last.controller)
    return Ports(kafka, redis, free_port(prefer=last.controller, avoid=frozenset({kafka, redis})))


def _port(
    name: str, last: int | None, asked: int | None, running: frozenset[str], taken: frozenset[int]
) -> int:
    if name in running and last is not None:
        if asked not in (None, last):
            raise CannotStart(
                f"{name} runs already, on port {last}", "mend: countersign dev down, then up again"
            )
        return last
    if asked is not None and (asked in taken or not is_free(asked)):
        raise CannotStart(
            f"port {asked} is taken", f"mend: choose another, or leave --{name}-port out"
        )
    return asked or free_port(prefer=last, avoid=taken)


def _up_in_docker(place: Path, ports: Ports, say: Say) -> Servers:
    assert ports.kafka is not None, "ports are chosen"
    assert ports.redis is not None, "ports are chosen"
    say("starting Kafka and Redis with Docker")
    state = State("docker", ports)
    write_state(place / "state.json", state)
    docker.compose_up(ports.kafka, ports.redis)
    servers = _servers(state)
    assert servers is not None, "the state says how"
    wait_until("Kafka", lambda: _kafka_reason(servers, {}))
    wait_until("Redis", lambda: redis_answers(servers.redis_url))
    return servers


def _up_as_processes(place: Path, state: State, ports: Ports, say: Say) -> Servers:
    """Starts what does not run; what this call started is ended again when something fails.

    1. What is needed is found or fetched, before anything runs.
    2. Each process is recorded as soon as it runs, so that `down` finds it whatever comes then.
    3. Both are waited for.
    """
    running = {name: process for name, process in state.processes.items() if process.alive}
    processes = dict(running)
    missing = [  # 1.
        make(place, ports, say=say)
        for name, make in (("redis", redis_in), ("kafka", kafka_in))
        if name not in running
    ]
    try:
        for server in missing:  # 2.
            say(f"starting {server.name} on port {server.port}")
            processes[server.name] = server.launch()
            write_state(place / "state.json", State("processes", ports, processes))
        for server in missing:  # 3.
            server.wait()
    except BaseException:
        for name, process in processes.items():
            if name not in running:
                process.stop()
        write_state(place / "state.json", State("processes", ports, running))
        raise
    servers = _servers(State("processes", ports))
    assert servers is not None, "the state says how"
    wait_until("Kafka", lambda: kafka_answers({"bootstrap.servers": servers.bootstrap_servers}))
    wait_until("Redis", lambda: redis_answers(servers.redis_url))
    return servers

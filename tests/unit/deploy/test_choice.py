"""`dev up` takes the first that is there: named servers, Docker, processes of this machine."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumers.settings import SettingsError
from deploy.dev_stack import docker, stack
from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.local import Ports
from deploy.dev_stack.process import Started, start
from deploy.dev_stack.stack import KAFKA_VARIABLE, REDIS_VARIABLE
from deploy.dev_stack.state import State, read_state, write_state

_FAKE_DOCKER = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    ports = [os.environ.get("KAFKA_PORT"), os.environ.get("REDIS_PORT")]
    calls.write(json.dumps([sys.argv[1:], ports]) + "\\n")
if sys.argv[1] == "info":
    print({version!r})
    sys.exit({info_exit})
if "ps" in sys.argv:
    print("kafka\\nredis")
"""
NAMED = {KAFKA_VARIABLE: "kafka.example:9092", REDIS_VARIABLE: "redis://redis.example:6379/0"}
Call = tuple[list[str], list[str | None]]


@dataclass
class FakeDocker:
    """A `docker` on the PATH that notes how it was called."""

    calls_file: Path

    @property
    def calls(self) -> list[Call]:
        """Arguments and ports of every call but `info`."""
        if not self.calls_file.exists():
            return []
        lines = [json.loads(line) for line in self.calls_file.read_text().splitlines()]
        return [(arguments, ports) for arguments, ports in lines if arguments[0] != "info"]


MakeDocker = Callable[..., FakeDocker]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty PATH and an empty cache, where every server answers."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stack, "kafka_answers", lambda config: None)
    monkeypatch.setattr(stack, "redis_answers", lambda url: None)


@pytest.fixture
def make_docker(tmp_path: Path) -> MakeDocker:
    """Puts a fake `docker` on the PATH."""

    def make(*, answers: bool) -> FakeDocker:
        program, calls = tmp_path / "bin" / "docker", tmp_path / "docker-calls"
        program.write_text(
            _FAKE_DOCKER.format(
                python=sys.executable,
                calls=str(calls),
                version="29.0.0" if answers else "",
                info_exit=0 if answers else 1,
            )
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return FakeDocker(calls)

    return make


@dataclass
class FakeServer:
    """A server process that does nothing but be there."""

    name: str
    home: Path
    port: int
    fails: bool = False

    def launch(self) -> Started:
        """Starts it."""
        code = "import signal; signal.pause()"
        return start(
            [sys.executable, "-c", code], cwd=self.home, log=self.home / f"{self.name}.log"
        )

    def wait(self) -> None:
        """Answers at once, or fails."""
        if self.fails:
            raise CannotStart(f"{self.name} ended at once")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka and Redis as processes that do nothing."""

    def kafka_in(home: Path, ports: Ports, *, say: object) -> FakeServer:
        return FakeServer("kafka", home, ports.kafka or 0)

    def redis_in(home: Path, ports: Ports, *, say: object) -> FakeServer:
        return FakeServer("redis", home, ports.redis or 0)

    monkeypatch.setattr(stack, "kafka_in", kafka_in)
    monkeypatch.setattr(stack, "redis_in", redis_in)


def test_named_servers_are_used_as_they_are(make_docker: MakeDocker) -> None:
    """Settings come first, even where Docker answers: nothing is started."""
    fake = make_docker(answers=True)

    servers = stack.up(environ=NAMED)

    assert servers.exports == NAMED
    assert servers.how == "settings"
    assert fake.calls == []
    assert not stack.down()


def test_named_servers_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable to mend, and nothing else is started instead."""
    monkeypatch.setattr(stack, "_NAMED_ANSWER_WITHIN_S", 0.0)
    monkeypatch.setattr(stack, "redis_answers", lambda url: "connection refused")

    with pytest.raises(CannotStart) as caught:
        stack.up(environ=NAMED)

    assert "Redis did not answer" in caught.value.lines[0]
    assert REDIS_VARIABLE in caught.value.lines[-1]


@pytest.mark.parametrize("name", [KAFKA_VARIABLE, REDIS_VARIABLE])
def test_one_named_server_is_a_mistake(name: str) -> None:
    """Half a system is neither taken nor completed."""
    with pytest.raises(SettingsError, match="set both, or neither"):
        stack.up(environ={name: NAMED[name]})


@pytest.mark.usefixtures("processes")
def test_docker_comes_second(make_docker: MakeDocker) -> None:
    """Where an engine answers, compose starts kafka and redis on loopback ports."""
    fake = make_docker(answers=True)

    servers = stack.up(environ={})

    [up] = [call for call in fake.calls if "up" in call[0]]
    assert up[0] == [
        *("compose", "--project-name", "countersign-dev", "--file", str(docker.COMPOSE_FILE)),
        *("up", "--detach", "--quiet-pull", "kafka", "redis"),
    ]
    assert servers.how == "docker"
    assert servers.bootstrap_servers == f"127.0.0.1:{up[1][0]}"
    assert servers.redis_url == f"redis://127.0.0.1:{up[1][1]}/0"

    assert stack.down()
    assert fake.calls[-1][0][-1] == "down"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("installed", [True, False])
def test_processes_come_last(make_docker: MakeDocker, installed: bool) -> None:
    """No docker, or one without an engine: Kafka and Redis run as processes of their own."""
    fake = make_docker(answers=False) if installed else None

    servers = stack.up(environ={})

    assert servers.how == "processes"
    assert fake is None or fake.calls == []
    assert stack.down()


@pytest.mark.usefixtures("processes")
def test_exported_settings_stay_true() -> None:
    """The next `up` takes the same ports, and its own exports do not count as named servers."""
    first = stack.up(environ={})
    again = stack.up(environ=first.exports)
    stack.down()

    after = stack.up(environ=first.exports)

    assert first == again == after
    assert stack.down()
    assert not stack.down()


@pytest.mark.usefixtures("processes")
def test_what_runs_is_left_running() -> None:
    """A second `up` starts nothing twice; a server that died is started again."""
    stack.up(environ={})
    state_file = stack.home() / "state.json"
    first = read_state(state_file).processes
    first["redis"].kill()

    stack.up(environ={})

    second = read_state(state_file).processes
    assert second["kafka"] == first["kafka"]
    assert second["redis"] != first["redis"]
    stack.down()


@pytest.mark.usefixtures("processes")
def test_a_port_asked_for_is_had_or_refused() -> None:
    """A port that cannot be had is named; another is not taken instead."""
    first = stack.up(environ={})
    kafka = int(first.bootstrap_servers.rpartition(":")[2])

    with pytest.raises(CannotStart, match=f"kafka runs already, on port {kafka}"):
        stack.up(environ={}, kafka_port=kafka - 1)

    stack.down()


@pytest.mark.usefixtures("processes")
def test_what_was_started_is_ended_when_the_rest_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed `up` leaves nothing behind."""
    started: list[Started] = []
    launch = FakeServer.launch

    def noted(server: FakeServer) -> Started:
        started.append(launch(server))
        return started[-1]

    monkeypatch.setattr(FakeServer, "launch", noted)
    monkeypatch.setattr(
        stack,
        "kafka_in",
        lambda home, ports, *, say: FakeServer("kafka", home, ports.kafka, fails=True),
    )

    with pytest.raises(CannotStart, match="kafka ended at once"):
        stack.up(environ={})

    assert [process.alive for process in started] == [False, False]
    assert read_state(stack.home() / "state.json").processes == {}


def test_down_ends_nothing_it_did_not_start(tmp_path: Path) -> None:
    """A recorded id that another process has now is left alone."""
    code = "import signal; signal.pause()"
    stranger = start([sys.executable, "-c", code], cwd=tmp_path, log=tmp_path / "log")
    recorded = {"kafka": Started(stranger.pid, "an earlier start")}
    write_state(stack.home() / "state.json", State("processes", Ports(1, 2, 3), recorded))

    ended = stack.down()

    assert not ended
    assert stranger.alive
    stranger.kill()


def test_a_password_is_not_shown() -> None:
    """The Redis URL of the settings may hold one."""
    servers = stack.Servers("k:1", "redis://user:secret@r.example:6379/0", "settings")

    assert servers.shown_redis_url == "redis://user:***@r.example:6379/0"

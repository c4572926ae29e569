"""The demo on the real broker and Redis: it ends by itself, and leaves no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from consumers.settings import PREFIX
from deploy.dev_stack.local_redis import LocalRedis
from tests.support.eventually import eventually
from tests.support.servers import TestServers

WITHIN_S: Final = 120.0
COMMAND: Final = (sys.executable, "-m", "countersign")


def environment(bootstrap_servers: str, redis_url: str, home: Path) -> dict[str, str]:
    """The servers of the test run, as settings name them; a cache of the test's own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return env | {
        "COUNTERSIGN_BOOTSTRAP_SERVERS": bootstrap_servers,
        "COUNTERSIGN_REDIS_URL": redis_url,
        "XDG_CACHE_HOME": str(home),
    }


@pytest.fixture
def env(servers: TestServers, tmp_path: Path) -> dict[str, str]:
    """The environment of a demo."""
    return environment(servers.bootstrap_servers, servers.redis_url, tmp_path)


def countersign(
    *words: str, env: Mapping[str, str], within_s: float = WITHIN_S
) -> subprocess.CompletedProcess[str]:
    """Runs a command, with no terminal."""
    return subprocess.run(
        [*COMMAND, *words],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def children(pid: int) -> set[int]:
    """The processes that a process has started and that still run."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return {int(word) for word in listed.stdout.split()}


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_tells_its_story_and_what_it_prints_stays_true(env: dict[str, str]) -> None:
    """Two notices are sent, one to its requester is refused, one expires; each audit is complete.

    The commands it prints at the end answer afterwards, from the topics it left.
    """
    done = countersign("demo", "--auto", env=env)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    sent = [line.split()[1] for line in lines if line.strip().startswith("notice.sent ")]
    assert sent == ["notice-1:", "notice-2:"]
    for wanted in ("refused: SEPARATION_OF_DUTIES", "refused: TOO_LATE", "escalated, waits for"):
        assert wanted in done.stdout
    assert done.stdout.count("complete: every question has its answer") == 3
    assert "\x1b" not in done.stdout

    (prefix,) = re.findall(r"COUNTERSIGN_TOPIC_PREFIX=(\S+)", done.stdout)
    (partitions,) = re.findall(r"COUNTERSIGN_PARTITIONS=(\S+)", done.stdout)
    later = env | {"COUNTERSIGN_TOPIC_PREFIX": prefix, "COUNTERSIGN_PARTITIONS": partitions}
    commands = re.findall(r"^    countersign (.+)$", done.stdout, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        again = countersign(*command.split(), env=later)
        assert again.returncode == 0, (command, again.stdout + again.stderr)


def test_json_is_one_document_and_the_story_goes_beside_it(env: dict[str, str]) -> None:
    """A program reads what came of each notice; what happens to its settings is not its concern."""
    mine = {"COUNTERSIGN_TOPIC_PREFIX": "mine.", "COUNTERSIGN_TRUSTED_KEYS": "/nowhere.json"}
    done = countersign("demo", "--json", env=env | mine)

    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["complete"] is True
    assert told["topic_prefix"].startswith("demo-")
    assert [one["outcome"] for one in told["notices"]] == ["approve", "approve", "expired"]
    assert [one["refusals"] for one in told["notices"]] == [
        [],
        ["SEPARATION_OF_DUTIES"],
        ["TOO_LATE"],
    ]
    assert [bool(one["notice_sent"]) for one in told["notices"]] == [True, True, False]
    assert "notice.sent notice-1" in done.stderr


def test_a_signal_ends_it_and_all_that_it_started(env: dict[str, str]) -> None:
    """SIGTERM in the middle: 143, and neither worker nor notifier is left."""
    with subprocess.Popen(
        [*COMMAND, "demo", "--auto"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("2. "):
                break
        services = children(demo.pid)
        assert len(services) == 2
        demo.send_signal(signal.SIGTERM)
        _, said = demo.communicate(timeout=60)

    assert demo.returncode == 128 + signal.SIGTERM
    assert "ended early" in said
    eventually(lambda: not any(alive(pid) for pid in services))


def test_a_worker_that_refuses_to_start_is_shown_with_its_reason(
    servers: TestServers, own_redis: LocalRedis, tmp_path: Path
) -> None:
    """A Redis that may forget keys: exit 1, one line, and the end of the worker's log."""
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    done = countersign(
        "demo",
        "--auto",
        env=environment(servers.bootstrap_servers, own_redis.url, tmp_path),
    )

    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first == "the demo failed: the worker ended by itself"
    assert rest[0] == "the end of the worker's log:"
    assert any("noeviction" in line for line in rest)


def test_servers_that_do_not_answer_are_named(tmp_path: Path) -> None:
    """Settings that name a broker which is away: exit 3 with the mend."""
    done = countersign(
        "demo", "--auto", env=environment("127.0.0.1:1", "redis://127.0.0.1:1/0", tmp_path)
    )

    assert done.returncode == 3
    assert "mend: start it, or unset COUNTERSIGN_BOOTSTRAP_SERVERS" in done.stderr

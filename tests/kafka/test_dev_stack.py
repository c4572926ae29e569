"""The development stack for real: it answers, keeps what it was told, and ends by itself only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient

from consumers.reading import partitions_of, read_topic
from consumers.topics_admin import differences
from deploy.dev_stack.fetching import cache_dir
from deploy.dev_stack.local import Isolated
from deploy.dev_stack.local_redis import LocalRedis
from tests.support.deployment import deployed


def test_killed_servers_keep_what_was_written(own_servers: Isolated, tmp_path: Path) -> None:
    """A broker that was killed and a Redis that was restarted come back with their data."""
    with deployed(own_servers.bootstrap_servers, own_servers.redis_url, tmp_path) as deployment:
        before = [read.value for read in deployment.reads("reviewer-directory")]
        with redis.Redis.from_url(own_servers.redis_url) as client:
            client.set("kept", "yes")

            own_servers.kill_broker()
            own_servers.start_broker()
            own_servers.restart_redis()

            assert client.get("kept") == b"yes"
        assert [read.value for read in deployment.reads("reviewer-directory")] == before != []
        assert differences(deployment.settings) == []


def test_redis_evicts_nothing(own_redis: LocalRedis) -> None:
    """The worker refuses to start on one that does; and it keeps an append-only file."""
    with redis.Redis.from_url(own_redis.url) as client:
        config = client.config_get("maxmemory-policy", "appendonly", "bind")

    assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user without settings and without Docker, whose cache has what is fetched, not the data."""
    mine = tmp_path / "cache" / "countersign"
    mine.mkdir(parents=True)
    for fetched in cache_dir().iterdir():
        if fetched.is_dir() and fetched.name != "dev":
            (mine / fetched.name).symlink_to(fetched)
    named = {n: v for n, v in os.environ.items() if not n.startswith("COUNTERSIGN_")}
    return {**named, "XDG_CACHE_HOME": str(tmp_path / "cache"), "DOCKER_HOST": "tcp://127.0.0.1:1"}


def dev(env: dict[str, str], *arguments: str, exits: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "countersign", "dev", *arguments, "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exits, done.stdout + done.stderr
    form: dict[str, Any] = json.loads(done.stdout)
    return form


def test_up_down_up(env: dict[str, str]) -> None:
    """Both answer on the ports that are printed; the next time on the same, with the same data."""
    first = dev(env, "up")
    try:
        config = {"bootstrap.servers": first["bootstrap_servers"]}
        again = dev(env, "up")
        assert dev(env, "status")["up"]
        _make_topic(config, "kept")
    finally:
        ended = dev(env, "down")
    assert not dev(env, "status", exits=1)["up"]
    after = dev(env, "up")
    try:
        assert first == again == after
        assert partitions_of(config, "kept") == 1
        assert list(read_topic(config, "kept")) == []
    finally:
        dev(env, "down")

    assert ended == {"ended": True}
    assert dev(env, "down") == {"ended": False}


def _make_topic(config: dict[str, Any], name: str) -> None:
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient(config)
    [future] = admin.create_topics([NewTopic(name, 1, 1)]).values()
    future.result(timeout=20)

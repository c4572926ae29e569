"""Tests against the real broker and the real Redis.

Everything here is marked `kafka`. Where no broker can be started these tests fail; they never skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from deploy.dev_stack.local import Isolated, isolated, redis_in
from deploy.dev_stack.local_redis import LocalRedis
from tests.support.deployment import Deployment, deployed
from tests.support.servers import TestServers, real_servers

_HERE = Path(__file__).parent
MakeDeployment = Callable[..., AbstractContextManager[Deployment]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test below this folder."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Shows the services' logs beside a failure."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and isinstance(deployment, Deployment):
        report.sections.append(("the services' logs", deployment.logs()))
    return report


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServers]:
    """The broker and the Redis that all tests of a run share."""
    with real_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture
def deployment(servers: TestServers, tmp_path: Path) -> Iterator[Deployment]:
    """Topics under a prefix of this test's own, keys, the story's policy and people."""
    with deployed(servers.bootstrap_servers, servers.redis_url, tmp_path) as made:
        yield made


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis that only this test uses: to empty, kill and restart."""
    redis = redis_in(tmp_path / "own-redis")
    redis.tethered = True
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Isolated]:
    """A broker and a Redis that only this test uses: to kill and restart."""
    with isolated(tmp_path / "own-servers") as made:
        yield made

"""What the probes of a service answer."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry, Counter

from consumers.health import Health, HealthServer


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(stalled_after_s=30, clock=clock)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server(health: Health, registry: CollectorRegistry) -> Iterator[HealthServer]:
    server = HealthServer(health, host="127.0.0.1", port=0, registry=registry)
    yield server
    server.close()


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body of one request."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_service_starts_not_ready(health: Health) -> None:
    """Before any part has reported, nothing is known, and that is not ready."""
    assert health.problems == {"start": "no part has reported yet"}


def test_it_is_ready_when_each_part_that_reported_is(health: Health) -> None:
    """One part that cannot work makes the service not ready, until it can."""
    health.not_ready("kafka", "no answer")
    health.not_ready("redis", "policy is not noeviction")
    health.ready("kafka")
    one_left = health.problems
    health.ready("redis")

    assert one_left == {"redis": "policy is not noeviction"}
    assert health.problems == {}


def test_a_loop_that_beats_is_alive(server: HealthServer, health: Health, clock: Clock) -> None:
    """The time counts from the last beat, the first from the start."""
    clock.now_s += 29
    health.beat()
    clock.now_s += 29

    assert ask(server, "/livez") == (200, "alive\n")


def test_a_loop_that_stalls_is_not_alive(server: HealthServer, clock: Clock) -> None:
    """From `stalled_after_s` of silence on, the service asks to be restarted."""
    clock.now_s += 30

    assert ask(server, "/livez") == (503, "the loop has not moved for 30 s\n")


def test_readiness_names_each_problem(server: HealthServer, health: Health) -> None:
    """An operator reads which part waits for what."""
    health.not_ready("smtp", "connection refused")
    health.not_ready("kafka", "no partition assigned")

    assert ask(server, "/readyz") == (
        503,
        "kafka: no partition assigned\nsmtp: connection refused\n",
    )


def test_readiness_without_problems(server: HealthServer, health: Health) -> None:
    """A ready service says so."""
    health.ready("kafka")

    assert ask(server, "/readyz?verbose") == (200, "ready\n")


def test_metrics_of_the_registry_it_was_given(
    server: HealthServer, registry: CollectorRegistry
) -> None:
    """The metrics are those of the service's own registry."""
    Counter("countersign_example", "An example.", registry=registry).inc()

    status, text = ask(server, "/metrics")

    assert status == 200
    assert "countersign_example_total 1.0" in text


def test_other_paths_and_methods(server: HealthServer, health: Health) -> None:
    """An unknown path is not found; HEAD answers as GET without a body."""
    health.ready("kafka")

    assert ask(server, "/")[0] == 404
    assert ask(server, "/readyz", "HEAD") == (200, "")
    assert ask(server, "/readyz", "POST")[0] == 501


def test_closing_frees_the_port(health: Health, registry: CollectorRegistry) -> None:
    """After close another server can listen on the same port; while open none can."""
    first = HealthServer(health, host="127.0.0.1", port=0, registry=registry)
    with pytest.raises(OSError, match="in use"):
        HealthServer(health, host="127.0.0.1", port=first.port, registry=registry)
    first.close()
    second = HealthServer(health, host="127.0.0.1", port=first.port, registry=registry)
    second.close()

    assert second.port == first.port


def test_public_documents_are_served_beside_the_metrics(
    health: Health, registry: CollectorRegistry
) -> None:
    """As JSON, by their paths alone; another path says which there are."""
    documents: dict[str, object] = {"/grants/jwks.json": {"keys": []}}
    server = HealthServer(health, host="127.0.0.1", port=0, registry=registry, documents=documents)
    try:
        assert ask(server, "/grants/jwks.json?x=1") == (200, '{"keys": []}')
        assert "/grants/jwks.json" in ask(server, "/grants")[1]
        assert ask(server, "/grants/other.json")[0] == 404
    finally:
        server.close()

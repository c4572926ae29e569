"""The queue that the worker keeps: what the log says, also after Redis was emptied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consumers.control.loop import LOOK_EVERY
from consumers.control.store import RedisStore
from consumers.queue import fold
from consumers.queue_projection import NotProjected, QueuePages, QueueProjection, RedisQueue
from consumers.queue_rows import KINDS, Row, Wanted, ranked, top
from consumers.reading import Read
from deploy.dev_stack.local import redis_in
from tests import examples as e
from tests.unit.control.world import World, settle

LIMIT = 100


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.kafka)])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, QueuePages]]:
    """A world, and the reader of its store."""
    world = World()
    if request.param == "memory":
        yield world, world.store
        return
    redis = redis_in(tmp_path_factory.mktemp("redis"))
    redis.tethered = True
    redis.start()
    store, queue = (
        RedisStore(redis.url, prefix="", mac_key=b"k" * 32),
        RedisQueue(redis.url, prefix=""),
    )
    store.flush = store._redis.flushall  # type: ignore[attr-defined]  # as the one in memory has it
    world.store = store  # type: ignore[assignment]  # the world only empties it besides
    yield world, queue
    store.close()
    queue.close()
    redis.kill()


def projected(world: World, queue: QueuePages) -> dict[str, list[Row]]:
    """The list of each kind."""
    made = QueueProjection(queue, world.cluster.partitions)
    return {kind: made.top(Wanted(kind=kind), LIMIT) for kind in KINDS}


def logged(world: World) -> dict[str, list[Row]]:
    """The same from the changelog."""
    reads = [
        Read("interrupt-state", r.partition, r.offset, e.NOW, r.key, r.value, r.headers)
        for r in world.cluster.records("interrupt-state")
    ]
    rows = [row for key, state in fold(iter(reads)).items() if (row := ranked(key, state))]
    return {kind: top(rows, Wanted(kind=kind), LIMIT) for kind in KINDS}


def busy(world: World) -> None:
    """Twelve packages, four of them decided; the others are due at one time, for one batch has them."""
    for n in range(12):
        world.request(
            interrupt_id=f"int-{n}",
            package=e.a_package(
                decision_package_id=f"pkg-{n}", risk_level="high" if n % 2 else "medium"
            ),
        )
        world.clock.advance(1)
    for n in range(0, 12, 3):
        world.decide(decision_package_id=f"pkg-{n}", command_id=f"c-{n}", idempotency_key=f"k-{n}")


def test_the_workers_queue_is_the_fold_of_its_log(kept: tuple[World, QueuePages]) -> None:
    """Whatever was opened and decided; FLUSHALL loses nothing of it."""
    world, queue = kept
    worker = world.worker()
    busy(world)
    settle(worker)
    before = projected(world, queue)

    world.store.flush()
    with pytest.raises(NotProjected):
        projected(world, queue)
    world.request(interrupt_id="one-more", package=e.a_package(decision_package_id="one-more"))
    world.clock.advance(LOOK_EVERY.total_seconds())  # idle tasks are looked at now and then
    settle(worker)

    after = projected(world, queue)
    assert [row.decision_package_id for row in before["review"]] == [
        "pkg-1", "pkg-11", "pkg-5", "pkg-7", "pkg-10", "pkg-2", "pkg-4", "pkg-8",
    ]  # fmt: skip
    assert [r for r in after["review"] if r.decision_package_id != "one-more"] == before["review"]
    assert after == logged(world)

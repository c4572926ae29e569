"""Every store keeps the same promises: the one in memory and the one in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.control.ports import (
    StateStore,
    StoreCorrupt,
    Stored,
    Tag,
    Watermark,
    WatermarkMismatch,
)
from consumers.control.store import RedisStore, redis_key
from deploy.dev_stack.local import redis_in
from tests.examples import NOW, at
from tests.fakes.memory_store import MemoryStore

ZERO, ONE, TWO = (Watermark("journal", seq) for seq in range(3))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module's own."""
    redis = redis_in(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.kafka)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    url: str = request.getfixturevalue("redis_url")
    made = RedisStore(url, prefix=f"{tmp_path.name}.", mac_key=b"k" * 32)
    yield made
    made.close()


def started(store: StateStore, **values: bytes) -> None:
    """The store of task 0, restored at seq 0 with these values."""
    token = store.begin_restore(0)
    store.restore(0, token, {key.encode(): Stored(value) for key, value in values.items()})
    store.end_restore(0, token, ZERO)


def test_an_empty_store_has_no_watermark(store: StateStore) -> None:
    """Nothing is assumed of a store that was never restored."""
    loaded = store.load(0, [b"a"])

    assert (loaded.watermark, loaded.values, loaded.next_due) == (None, {}, None)


def test_a_restored_store_holds_what_it_was_given(store: StateStore) -> None:
    """The watermark comes last; then values are found, absent keys miss."""
    started(store, a=b"1")

    loaded = store.load(0, [b"a", b"b"])

    assert (loaded.watermark, loaded.values) == (ZERO, {b"a": b"1"})


def test_changes_move_the_watermark(store: StateStore) -> None:
    """Written and removed in one step."""
    started(store, a=b"1", b=b"2")
    store.apply(0, ZERO, ONE, {b"a": Stored(b"3"), b"b": Stored(None)})

    loaded = store.load(0, [b"a", b"b"])

    assert (loaded.watermark, loaded.values) == (ONE, {b"a": b"3"})


def test_a_stale_writer_changes_nothing(store: StateStore) -> None:
    """Compare-and-set: whoever stands elsewhere is told where the store is."""
    started(store, a=b"1")
    store.apply(0, ZERO, TWO, {b"a": Stored(b"2")})

    with pytest.raises(WatermarkMismatch) as refused:
        store.apply(0, ZERO, ONE, {b"a": Stored(b"zombie")})

    assert refused.value.found == TWO
    assert store.load(0, [b"a"]).values == {b"a": b"2"}


def test_the_same_step_again_does_no_harm(store: StateStore) -> None:
    """After a time-out nobody knows whether it was applied; asking again is safe."""
    started(store)
    store.apply(0, ZERO, ONE, {b"a": Stored(b"1")})
    store.apply(0, ZERO, ONE, {b"a": Stored(b"1")})

    assert store.load(0, [b"a"]).watermark == ONE


def test_clocks_are_found_the_earliest_first(store: StateStore) -> None:
    """Due before a time, strictly; a removed or moved one is not found."""
    started(store)
    changes = {
        b"late": Stored(b"1", at(30)),
        b"early": Stored(b"1", at(10)),
        b"gone": Stored(b"1", at(5)),
        b"none": Stored(b"1"),
    }
    store.apply(0, ZERO, ONE, changes)
    store.apply(0, ONE, TWO, {b"gone": Stored(None)})

    assert store.due(0, at(30), 10) == [b"early"]
    assert store.due(0, at(31), 10) == [b"early", b"late"]
    assert store.due(0, at(31), 1) == [b"early"]
    assert store.load(0, []).next_due == at(10)


def test_what_is_counted_follows_the_changes(store: StateStore) -> None:
    """Each control point counts once for each of its tags, until it has them no more."""
    started(store)
    both = frozenset[Tag]({"open_high", "grant_open"})
    changes = {b"a": Stored(b"1", tags=both), b"b": Stored(b"1", tags=frozenset({"open_high"}))}
    store.apply(0, ZERO, ONE, changes)
    before = store.load(0, []).counts

    store.apply(0, ONE, TWO, {b"a": Stored(b"2"), b"b": Stored(b"2", tags=both)})

    after = store.load(0, []).counts
    assert (before["open_high"], before["grant_open"], before["open_low"]) == (2, 1, 0)
    assert (after["open_high"], after["grant_open"]) == (1, 1)


def test_what_each_tenant_and_agent_has_open_follows_the_changes(store: StateStore) -> None:
    """Each control point counts once for its tenant and once for its opener, until it is open no
    more; whose it is can change, and nobody else's number moves."""
    mine, yours, theirs = ("acme", "agent:1"), ("acme", "agent:2"), ("globex", "agent:1")
    started(store)
    opened = {b"a": mine, b"b": mine, b"c": yours, b"d": theirs}
    store.apply(0, ZERO, ONE, {key: Stored(b"1", opener=who) for key, who in opened.items()})
    before = store.load(0, [b"a"], [mine, yours, theirs])
    changes = {b"a": Stored(b"2"), b"b": Stored(b"2", opener=yours), b"c": Stored(None)}

    store.apply(0, ONE, TWO, changes)
    store.apply(0, ONE, TWO, changes)

    assert before.values == {b"a": b"1"}
    assert before.open_of == {mine: (3, 2), yours: (3, 1), theirs: (1, 1)}
    after = store.load(0, [], [mine, yours, theirs, ("none", "x")]).open_of
    assert after == {mine: (1, 0), yours: (1, 1), theirs: (1, 1), ("none", "x"): (0, 0)}


def test_who_stands_elsewhere_counts_nothing(store: StateStore) -> None:
    """The numbers are written behind the same compare as everything else."""
    started(store)

    with pytest.raises(WatermarkMismatch):
        store.apply(0, ONE, TWO, {b"a": Stored(b"1", opener=("acme", "x"))})

    assert store.load(0, [], [("acme", "x")]).open_of == {("acme", "x"): (0, 0)}


def test_a_restore_counts_anew(store: StateStore) -> None:
    """From nothing; a control point that comes twice in the log counts as it stands last."""
    opener = ("acme", "agent:1")
    started(store)
    store.apply(0, ZERO, ONE, {b"gone": Stored(b"1", opener=opener)})
    token = store.begin_restore(0)
    portions = [
        {b"a": Stored(b"1", opener=opener), b"b": Stored(b"1", opener=opener)},
        {b"a": Stored(b"2", opener=opener), b"b": Stored(b"2")},
    ]
    for portion in portions:
        store.restore(0, token, portion)
    store.end_restore(0, token, TWO)

    assert store.load(0, [], [opener]).open_of == {opener: (1, 1)}


def test_microseconds_are_kept(store: StateStore) -> None:
    """A due time comes back exactly."""
    due = at(0.123457)
    started(store)
    store.apply(0, ZERO, ONE, {b"a": Stored(b"1", due)})

    assert store.load(0, []).next_due == due
    assert store.due(0, due, 1) == []


def test_tasks_do_not_meet(store: StateStore) -> None:
    """What one task writes another does not see."""
    started(store, a=b"1")

    assert store.load(1, [b"a"]).values == {}
    assert store.load(1, []).watermark is None


def test_who_began_a_restore_first_loses(store: StateStore) -> None:
    """A zombie's portions are refused once another owner has begun."""
    first = store.begin_restore(0)
    second = store.begin_restore(0)
    with pytest.raises(WatermarkMismatch):
        store.restore(0, first, {b"a": Stored(b"zombie")})
    with pytest.raises(WatermarkMismatch):
        store.end_restore(0, first, TWO)
    store.end_restore(0, second, ONE)

    assert store.load(0, [b"a"]).watermark == ONE
    assert store.load(0, [b"a"]).values == {}


def test_a_restore_empties_first(store: StateStore) -> None:
    """What stood there before is gone, clocks too."""
    started(store, a=b"1")
    store.apply(0, ZERO, ONE, {b"a": Stored(b"1", NOW)})
    token = store.begin_restore(0)

    assert store.load(0, [b"a"]).watermark is None
    store.end_restore(0, token, TWO)
    loaded = store.load(0, [b"a"])
    assert (loaded.values, loaded.next_due) == ({}, None)


@pytest.mark.kafka
def test_a_value_that_no_worker_wrote_is_not_believed(redis_url: str) -> None:
    """Who can write Redis cannot approve: another MAC key, and a value moved to another key."""
    ours = RedisStore(redis_url, prefix="mac.", mac_key=b"k" * 32)
    started(ours, a=b"1")
    theirs = RedisStore(redis_url, prefix="mac.", mac_key=b"x" * 32)
    theirs.apply(0, ZERO, ONE, {b"a": Stored(b"2")})

    with pytest.raises(StoreCorrupt):
        ours.load(0, [b"a"])

    ours.close()
    theirs.close()


@pytest.mark.kafka
@pytest.mark.parametrize("junk", ["many", "-1", "1.5", "9" * 16, ""])
def test_a_count_that_no_worker_wrote_is_no_count(redis_url: str, junk: str) -> None:
    """It neither stops the next step nor is it believed: the store is restored."""
    opener = ("acme", "agent:1")
    store = RedisStore(redis_url, prefix="count.", mac_key=b"k" * 32)
    started(store)
    store._redis.hset(redis_key("count.", 0, "open"), "acme", junk)

    with pytest.raises(StoreCorrupt):
        store.load(0, [], [opener])
    store.apply(0, ZERO, ONE, {b"a": Stored(b"1", opener=opener)})
    started(store)

    found = store.load(0, [], [opener]).open_of
    store.close()
    assert found == {opener: (0, 0)}


@pytest.mark.kafka
def test_a_redis_that_evicts_is_refused(tmp_path: Path) -> None:
    """It would forget states at will; the mend is named."""
    redis = redis_in(tmp_path / "evicting")
    redis.start()
    store = RedisStore(redis.url, prefix="", mac_key=b"k" * 32)
    assert store.policy_fault() is None
    store._redis.config_set("maxmemory-policy", "allkeys-lru")

    fault = store.policy_fault()

    store.close()
    redis.kill()
    assert fault is not None and "noeviction" in fault

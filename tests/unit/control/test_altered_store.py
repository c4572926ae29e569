"""Somebody else writes to Redis: nothing is decided by it, the part is restored, and it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, cast

import pytest

from consumers.audit.faults import JournalFault
from consumers.control.loop import Worker
from consumers.control.ports import StoreCorrupt, Stored, Watermark
from consumers.control.remembering import RememberingStore
from consumers.control.store import RedisStore, redis_key
from deploy.dev_stack.local import redis_in
from schemas.events import CommandRefused, HumanDecisionEvent, ToolGateEvent
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.fakes.memory_store import MemoryStore
from tests.unit.audit.stories import journal_of, proof_of
from tests.unit.control.world import World, codes, settle

KEY: Final = record_key(e.TENANT, e.PACKAGE_ID)
TASK: Final = partition_for(KEY, 2)
OTHER: Final = next(
    name
    for name in (f"pkg-{number}" for number in range(50))
    if partition_for(record_key(e.TENANT, name), 2) == TASK
)
OTHER_KEY: Final = record_key(e.TENANT, OTHER)
ZERO, ONE, TWO = (Watermark("journal", seq) for seq in range(3))


class Raw(Protocol):
    """Somebody who may write the store as it is."""

    def read(self, key: bytes) -> bytes | None: ...

    def write(self, key: bytes, value: bytes | None) -> None: ...


class RawMemory:
    """The one in memory; it has no MACs."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read(self, key: bytes) -> bytes | None:
        return self._store._parts[TASK].values.get(key)

    def write(self, key: bytes, value: bytes | None) -> None:
        values = self._store._parts[TASK].values
        values.pop(key, None)
        if value is not None:
            values[key] = value


class RawRedis:
    """The real one."""

    def __init__(self, store: RedisStore, prefix: str) -> None:
        self._redis: Any = store._redis
        self._name = redis_key(prefix, TASK, "states")

    def read(self, key: bytes) -> bytes | None:
        found: bytes | None = self._redis.hget(self._name, key)
        return found

    def write(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._redis.hdel(self._name, key)
        else:
            self._redis.hset(self._name, key, value)


class Burgled:
    """A world on a store that somebody else may write; as the real worker, it remembers."""

    def __init__(self, store: Any, raw: Raw) -> None:
        self.raw = raw
        self.world = World(store=cast("MemoryStore", RememberingStore(store)))
        self.worker = self.world.worker()
        self.world.request()
        self.world.request(interrupt_id="int-other", package=e.a_package(decision_package_id=OTHER))
        self.settle()

    def settle(self) -> None:
        """Handles whatever there is."""
        settle(self.worker, turns=20)

    def restarted(self) -> Worker:
        """Another worker, which remembers nothing."""
        self.world.cluster.members.clear()
        inner = cast("Any", self.world.store)._store
        self.world.store = cast("MemoryStore", RememberingStore(inner))
        self.worker = self.world.worker()
        return self.worker

    def alarms(self) -> float:
        """What the metric says; each worker has its own."""
        return float(self.worker._metrics.store_altered._value.get())

    def decided(self) -> list[str]:
        """The decisions that were recorded."""
        return [event.decision for event in self.world.all(HumanDecisionEvent)]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module's own."""
    redis = redis_in(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.kafka)])
def burgled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Burgled]:
    """Two packages of one task are open."""
    if request.param == "memory":
        store = MemoryStore()
        yield Burgled(store, RawMemory(store))
        return
    url: str = request.getfixturevalue("redis_url")
    prefix = f"{tmp_path.name}."
    made = RedisStore(url, prefix=prefix, mac_key=b"k" * 32)
    yield Burgled(made, RawRedis(made, prefix))
    made.close()


def _flipped(raw: Raw, _old: bytes) -> None:
    value = raw.read(KEY) or b""
    raw.write(KEY, value[:-1] + bytes([value[-1] ^ 1]))


def _swapped(raw: Raw, _old: bytes) -> None:
    raw.write(KEY, raw.read(OTHER_KEY))


def _rolled_back(raw: Raw, old: bytes) -> None:
    raw.write(KEY, old)


def _deleted(raw: Raw, _old: bytes) -> None:
    raw.write(KEY, None)


ALTERED: Final[dict[str, Callable[[Raw, bytes], None]]] = {
    "altered": _flipped,
    "another package's": _swapped,
    "rolled back": _rolled_back,
    "deleted": _deleted,
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_value_that_is_not_the_last_one_decides_nothing(
    burgled: Burgled, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rejected, then made to look open again: the approval that comes is too late all the same;
    the alarm is in the log and in the metric, and the part stands as it should."""
    old = burgled.raw.read(KEY) or b""
    burgled.world.decide(decision="reject")
    burgled.settle()
    good = burgled.raw.read(KEY)
    ALTERED[how](burgled.raw, old)
    burgled.world.decide("r.lind", command_id="cmd-2", idempotency_key="key-2")
    burgled.settle()

    assert burgled.decided() == ["reject"]
    assert codes(burgled.world.all(CommandRefused)) == ["NOT_OPEN"]
    assert [gate.gate for gate in burgled.world.all(ToolGateEvent)] == ["denied"]
    assert burgled.alarms() == 1
    assert "store_altered" in capsys.readouterr().out
    assert burgled.worker.fenced == {}
    assert burgled.raw.read(OTHER_KEY) is not None
    assert burgled.raw.read(KEY) != old
    assert good is not None


@pytest.mark.parametrize("how", ALTERED)
def test_a_new_worker_compares_the_last_states_with_the_journal(burgled: Burgled, how: str) -> None:
    """What was altered while none ran is found when the task is taken over."""
    old = burgled.raw.read(KEY) or b""
    burgled.world.decide(decision="reject")
    burgled.settle()
    ALTERED[how](burgled.raw, old)
    burgled.restarted()
    burgled.settle()
    alarms = burgled.alarms()
    burgled.world.decide("r.lind", command_id="cmd-2", idempotency_key="key-2")
    burgled.settle()

    assert alarms == 1
    assert burgled.decided() == ["reject"]
    assert codes(burgled.world.all(CommandRefused)) == ["NOT_OPEN"]
    assert burgled.worker.fenced == {}


def test_a_store_that_nobody_else_writes_raises_no_alarm(burgled: Burgled) -> None:
    """Nor does emptying it: that is a restore."""
    burgled.world.decide()
    burgled.settle()
    store = cast("Any", burgled.world.store)
    store.begin_restore(TASK)
    burgled.settle()
    burgled.world.decide("r.lind", command_id="cmd-2", idempotency_key="key-2")
    burgled.settle()
    burgled.restarted()
    burgled.settle()

    assert burgled.decided() == ["approve"]
    assert burgled.alarms() == 0


def remembering(**values: bytes) -> tuple[MemoryStore, RememberingStore]:
    """A store of task 0 with these values at seq 0, and the one in front of it."""
    behind = MemoryStore()
    store = RememberingStore(behind, keys_max=2)
    token = store.begin_restore(0)
    store.restore(0, token, {key.encode(): Stored(value) for key, value in values.items()})
    store.end_restore(0, token, ZERO)
    return behind, store


def test_what_another_owner_wrote_is_the_truth() -> None:
    """The watermark has moved: what was remembered no longer counts."""
    behind, store = remembering(a=b"1")
    store.load(0, [b"a"])
    behind.apply(0, ZERO, ONE, {b"a": Stored(b"2")})

    assert store.load(0, [b"a"]).values == {b"a": b"2"}
    store.apply(0, ONE, TWO, {b"a": Stored(None)})
    assert store.load(0, [b"a"]).values == {}
    behind._parts[0].values[b"a"] = b"2"
    with pytest.raises(StoreCorrupt):
        store.load(0, [b"a"])


def test_only_so_much_is_remembered() -> None:
    """The last used; the others are believed as a new worker would."""
    behind, store = remembering(a=b"1", b=b"1", c=b"1")
    for key in (b"a", b"b", b"c"):
        behind._parts[0].values[key] = b"2"

    assert store.load(0, [b"a"]).values == {b"a": b"2"}
    with pytest.raises(StoreCorrupt):
        store.load(0, [b"c"])


def test_after_a_failure_nothing_is_remembered() -> None:
    """It is not known what was written."""
    behind, store = remembering(a=b"1")

    def away(step: str) -> None:
        if step == "apply":
            raise OSError("away")

    behind.hook = away
    with pytest.raises(OSError, match="away"):
        store.apply(0, ZERO, ONE, {b"a": Stored(b"2")})
    behind._parts[0].values[b"a"] = b"3"

    assert store.load(0, [b"a"]).values == {b"a": b"3"}


def test_what_only_the_store_remembers_can_be_put_back_and_the_audit_finds_it() -> None:
    """The remainder: a package that no worker has touched since it took over, nor the last entries
    of the journal. The rules, run again, contradict the decision that followed."""
    world = World()
    worker = world.worker()
    world.request()
    settle(worker, turns=5)
    old = world.store._parts[TASK].values[KEY]
    world.decide(decision="reject")
    settle(worker, turns=5)
    world.store._parts[TASK].values[KEY] = old
    world.decide("r.lind", command_id="cmd-2", idempotency_key="key-2")
    settle(worker, turns=5)
    proof, journal = proof_of(world), journal_of(world)
    for read in journal[:-1]:
        proof.check(read)

    assert [event.decision for event in world.all(HumanDecisionEvent)] == ["reject", "approve"]
    with pytest.raises(JournalFault):
        proof.check(journal[-1])

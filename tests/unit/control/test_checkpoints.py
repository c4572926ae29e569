"""Signed checkpoints: when they are written, that they survive kills, what a takeover makes of them."""

from __future__ import annotations

from collections import defaultdict

import pytest

from consumers.control.loop import Worker
from consumers.control.ports import InputRecord, ProducerLost, StepAborted, Unavailable
from core.checkpoints import frontier_of, verify_checkpoint
from core.journal import genesis, seal
from core.jwk import TrustedKeys, trusted_key
from core.merkle import Tree, leaf_hash
from schemas.codec import encode
from schemas.journal import JournalCheckpoint
from tests import examples as e
from tests.unit.control.test_crashes import At, Killed, scenario, undisturbed
from tests.unit.control.world import KEYS, World, settle

GRANT_KEYS = TrustedKeys.of([trusted_key(KEYS["grant"].public_jwk())])


def checkpoints(world: World) -> list[JournalCheckpoint]:
    """All that were written, by partition and in their order."""
    return world.all(JournalCheckpoint)


def genesis_of(world: World, partition: int) -> str:
    """What the first entry names."""
    return genesis("cluster-1", world.cluster.journal_id, partition)


def assert_checkpoints_sound(world: World) -> None:
    """Each is signed and says what the journal says; sizes only grow."""
    sizes: dict[int, int] = defaultdict(int)
    for one in checkpoints(world):
        records = world.cluster.records("audit-journal", one.partition)
        tree = Tree(leaf_hash(record.value or b"") for record in records)
        start = genesis_of(world, one.partition)
        verify_checkpoint(one, genesis=start, keys=GRANT_KEYS)
        frontier_of(one)
        assert one.root == tree.root(one.size).hex()
        assert one.head_hash == world.journal(one.partition)[one.size - 1].hash
        assert one.size > sizes[one.partition]
        sizes[one.partition] = one.size


def told(world: World, *, turns: int = 30) -> World:
    """The scenario of the crash tests."""
    worker = world.worker()
    scenario(world, lambda: settle(worker, turns=turns))
    return world


def test_one_is_written_for_so_many_entries() -> None:
    """As soon as that many are new; each says what the journal says."""
    world = told(World(checkpoint_entries=2))

    assert_checkpoints_sound(world)
    for partition in {entry.partition for entry in world.journal()}:
        sizes = [one.size for one in checkpoints(world) if one.partition == partition]
        assert len(world.journal(partition)) - sizes[-1] < 2


def test_one_is_written_after_so_much_time_and_none_where_nothing_is_new() -> None:
    """Ten minutes after the first entry that none covers, also while nothing comes."""
    world = World()
    worker = world.worker()
    world.request()
    settle(worker)
    before = len(checkpoints(world))
    world.clock.advance(9 * 60)
    settle(worker, turns=2)
    early = len(checkpoints(world))
    world.clock.advance(61)
    settle(worker, turns=2)
    after = checkpoints(world)
    world.clock.advance(3600 / 2)
    settle(worker, turns=3)

    assert (before, early, len(after)) == (0, 0, 1)
    assert checkpoints(world) == after
    assert_checkpoints_sound(world)


def test_signing_the_same_twice_gives_the_same() -> None:
    """Two runs of the same day: the same entries have the same checkpoints, byte for byte."""
    one, other = World(checkpoint_entries=3), World(checkpoint_entries=3)
    told(one)
    told(other)

    values = [[r.value for r in w.cluster.records("audit-checkpoint")] for w in (one, other)]
    same = [r.value for r in one.cluster.records("audit-journal")] == [
        r.value for r in other.cluster.records("audit-journal")
    ]

    assert values[0]
    assert same
    assert values[0] == values[1]


def test_a_kill_at_any_step_leaves_one_root_for_a_size() -> None:
    """Killed at each step in turn, the steps of writing checkpoints among them."""
    expected, number = undisturbed().outputs(), 0
    while True:
        number += 1
        world = World(checkpoint_entries=1)
        hook = At(number, Killed)
        worker = [world.worker(hook)]

        def turn(world: World = world, worker: list[Worker] = worker) -> None:
            try:
                settle(worker[0], turns=30)
            except Killed:
                world.cluster.members.clear()
                worker[0] = world.worker()
                settle(worker[0], turns=30)

        scenario(world, turn)
        if not hook.where:
            break
        where = f"killed at step {number}: {hook.where}"
        assert_checkpoints_sound(world)
        for partition in {entry.partition for entry in world.journal()}:
            last = [one.size for one in checkpoints(world) if one.partition == partition][-1]
            assert last == len(world.journal(partition)), where
        assert world.outputs() == expected, where

    assert number > 20


@pytest.mark.parametrize("number", [2, 3, 5, 8])
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("begin", StepAborted("rebalance")),
        ("positions_sent", StepAborted("rebalance")),
        ("begin", ProducerLost("time-out")),
        ("committed", ProducerLost("time-out")),
        ("begin", Unavailable("kafka", "away")),
        ("ends", Unavailable("kafka", "away")),
    ],
)
def test_whatever_fails_no_size_has_two_roots(step: str, error: Exception, number: int) -> None:
    """An aborted, unknown or refused commit of a checkpoint is made good from the log."""
    world = World(checkpoint_entries=1)
    worker = world.worker(At(number, lambda: error, only=step))

    scenario(world, lambda: settle(worker, turns=30))

    assert_checkpoints_sound(world)
    assert {one.partition for one in checkpoints(world)} == {
        entry.partition for entry in world.journal()
    }


def test_a_worker_that_lost_its_partitions_writes_none() -> None:
    """A checkpoint is committed under the membership of its poll; the new owner writes it."""
    world = World(checkpoint_entries=1)
    others: list[Worker] = []

    def join_before_the_checkpoint(step: str) -> None:
        # Once a journal is written, the next transaction is its checkpoint.
        if step in ("produced", "append") and world.journal() and not others:
            others.append(world.worker())

    worker = world.worker(join_before_the_checkpoint)
    world.request()
    for _ in range(30):
        settle(worker, turns=1)
        if others:
            break
    by_the_zombie = checkpoints(world)
    settle(worker, *others)

    assert others
    assert by_the_zombie == []
    assert len(checkpoints(world)) == 1
    assert_checkpoints_sound(world)


def again(world: World) -> Worker:
    """Another worker takes over."""
    world.cluster.members.clear()
    worker = world.worker()
    settle(worker)
    return worker


def with_checkpoints() -> World:
    """Entries, a checkpoint on some of them, and entries behind it."""
    world = World(checkpoint_entries=2)
    worker = world.worker()
    world.request()
    settle(worker)
    world.decide("r.lind", command_id="cmd-0", idempotency_key="zero", decision="reject",
                 comment="no", expected_package_version=2)  # fmt: skip
    settle(worker)
    world.decide()
    settle(worker)
    assert checkpoints(world)
    return world


def partition_of(world: World) -> int:
    """Where the package is."""
    return checkpoints(world)[0].partition


def replace_journal(world: World, records: list[InputRecord | None]) -> None:
    """Somebody who may write the topic does."""
    world.cluster.log["audit-journal", partition_of(world)] = records


def rewritten(world: World, number: int) -> None:
    """One entry is changed and every hash after it made to fit, markers and all."""
    place = ("audit-journal", partition_of(world))
    head, records, seq = genesis_of(world, place[1]), list[InputRecord | None](), 0
    entries = world.journal(place[1])
    for record in world.cluster.log[place]:
        if record is None:
            records.append(None)
            continue
        entry = entries[seq].model_copy(update={"prev_hash": head})
        if seq == number:
            context = entry.context.model_copy(update={"handled_at": e.at(-5)})
            entry = entry.model_copy(update={"context": context})
        entry, seq = seal(entry), seq + 1
        head = entry.hash
        records.append(
            InputRecord(*place, record.offset, record.append_time, record.key, encode(entry),
                        record.headers)
        )  # fmt: skip
    replace_journal(world, records)


def test_a_takeover_goes_on_from_the_last_checkpoint() -> None:
    """And from the first entry where there is none."""
    world = with_checkpoints()
    again(world)
    world.cluster.log.pop(("audit-checkpoint", partition_of(world)))
    worker = again(world)
    world.request(interrupt_id="int-2")
    settle(worker)

    assert not worker.fenced
    assert_checkpoints_sound(world)
    assert checkpoints(world)


def test_a_takeover_reads_past_what_no_key_of_ours_signed() -> None:
    """Another key, another journal, another frontier, garbage: a stranger's words stop nobody."""
    world = with_checkpoints()
    number = partition_of(world)
    record = world.cluster.records("audit-checkpoint", number)[-1]
    good = checkpoints(world)[-1]
    for value in (
        b"garbage",
        None,
        encode(good.model_copy(update={"size": 10**6})),
        encode(good.model_copy(update={"frontier": []})),
        encode(good.model_copy(update={"checkpoint_jws": "e30.e30.e30"})),
        encode(good.model_copy(update={"head_hash": "00" * 32})),
    ):
        world.cluster.append("audit-checkpoint", number, None, value, record.headers)

    worker = again(world)

    assert not worker.fenced
    assert set(worker.running) == {0, 1}


def test_a_new_grant_key_goes_on_without_the_old_one() -> None:
    """It cannot believe the old checkpoints, so it reads the whole journal once."""
    world = with_checkpoints()
    number, before = partition_of(world), checkpoints(world)[-1]
    world.checkpoints = lambda by="r.boss": World.checkpoints(world, by)  # type: ignore[method-assign]
    worker = again(world)
    world.clock.advance(11 * 60)
    world.cluster.append("decision-command", number, b"x", b"garbage", [("ce_type", b"x")])
    settle(worker)

    last = [one for one in checkpoints(world) if one.partition == number][-1]
    keys = TrustedKeys.of([trusted_key(KEYS["r.boss"].public_jwk())])
    assert last.size > before.size
    verify_checkpoint(last, genesis=genesis_of(world, number), keys=keys)
    tree = Tree(leaf_hash(r.value or b"") for r in world.cluster.records("audit-journal", number))
    assert last.root == tree.root(last.size).hex()


def test_a_journal_that_lost_what_was_signed_fences_its_task() -> None:
    """The signed checkpoint covers more entries than there are."""
    world = with_checkpoints()
    number = partition_of(world)
    replace_journal(world, [])

    worker = again(world)

    assert worker.fenced[number].startswith("a signed checkpoint covers 2 entries")


def test_a_rewritten_journal_fences_its_task() -> None:
    """Every hash fits; the entry under the last checkpoint is not the one that was signed."""
    world = with_checkpoints()
    number = partition_of(world)
    rewritten(world, 0)

    worker = again(world)

    assert "is not the one that a signed checkpoint names" in worker.fenced[number]

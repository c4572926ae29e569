"""Whatever is killed, whenever: the outcome is the same, and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from consumers.control.loop import Worker
from consumers.control.ports import ProducerLost, StepAborted, Unavailable
from core.journal import genesis, verify_link
from schemas.codec import encode
from schemas.events import ReviewTaskEvent, ToolGateEvent
from tests import examples as e
from tests.unit.control.world import World, settle


class Killed(BaseException):
    """The process is gone at this instant."""


@dataclass
class At:
    """Raises at the n-th step of a run, once."""

    number: int
    error: Callable[[], BaseException]
    only: str | None = None
    seen: int = 0
    where: str = ""

    def __call__(self, step: str) -> None:
        if self.only is not None and step != self.only:
            return
        self.seen += 1
        if self.seen == self.number:
            self.where = step
            raise self.error()


def scenario(world: World, turn: Callable[[], None]) -> None:
    """A request, two conflicting decisions, a take, a receipt, poison and a clock."""
    world.request()
    turn()
    world.decide()
    world.decide("r.lind", command_id="cmd-2", idempotency_key="key-2", decision="reject")
    world.cluster.append("decision-command", 1, b"x", b"garbage", [("ce_type", b"x")])
    turn()
    gate = next((g for g in world.all(ToolGateEvent) if g.gate == "opened"), None)
    if gate is not None and gate.grant_id is not None:
        world.take(gate.grant_id)
    turn()
    world.clock.advance(3601)
    turn()


def killed_at(number: int) -> tuple[World, str]:
    """The scenario with the worker killed at one step and started again; where it was."""
    world = World()
    hook = At(number, Killed)
    worker = world.worker(hook)

    def turn() -> None:
        nonlocal worker
        try:
            settle(worker, turns=30)
        except Killed:
            world.cluster.members.clear()
            worker = world.worker()
            settle(worker, turns=30)

    scenario(world, turn)
    return world, hook.where


def undisturbed() -> World:
    """The scenario as it should go."""
    world = World()
    worker = world.worker()
    scenario(world, lambda: settle(worker, turns=30))
    return world


def assert_sound(world: World) -> None:
    """The chain verifies, and the positions are the journal's."""
    for partition in range(world.cluster.partitions):
        before = genesis("cluster-1", world.cluster.journal_id, partition)
        for seq, entry in enumerate(world.journal(partition)):
            verify_link(entry, encode(entry), seq=seq, prev_hash=before)
            before = entry.hash
            if seq == len(world.journal(partition)) - 1:
                for topic, offset in entry.next_offsets.items():
                    assert world.cluster.positions.get((topic, partition), 0) == offset


def test_a_kill_at_any_step_changes_nothing() -> None:
    """Killed at each step of the scenario in turn: the same outputs, byte for byte."""
    expected, number = undisturbed().outputs(), 0
    places = set()
    while True:
        number += 1
        world, where = killed_at(number)
        if not where:
            break
        places.add(where)
        assert_sound(world)
        assert world.outputs() == expected, f"killed at step {number}: {where}"

    assert {"begin", "produced", "positions_sent", "committed", "apply", "applied"} <= places


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("step", ["begin", "produced", "positions_sent"])
def test_an_aborted_step_is_done_again(step: str, number: int) -> None:
    """A broker that aborts the transaction: the same outputs in the end."""
    world = World()
    worker = world.worker(At(number, lambda: StepAborted("rebalance"), only=step))

    scenario(world, lambda: settle(worker, turns=30))

    assert_sound(world)
    assert world.outputs() == undisturbed().outputs()


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("step", ["begin", "positions_sent", "committed", "append"])
def test_an_unknown_outcome_is_looked_up_in_the_log(step: str, number: int) -> None:
    """A commit whose result is not known is neither lost nor done twice."""
    world = World()
    worker = world.worker(At(number, lambda: ProducerLost("time-out"), only=step))

    scenario(world, lambda: settle(worker, turns=30))

    assert_sound(world)
    assert world.outputs() == undisturbed().outputs()


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("step", ["load", "apply", "applied", "begin_restore", "restore", "ends"])
def test_a_server_that_is_away_skips_nothing(step: str, number: int) -> None:
    """Redis or Kafka away at one step: waited for, then the same outputs."""
    world = World()
    worker = world.worker(At(number, lambda: Unavailable("redis", "away"), only=step))

    scenario(world, lambda: settle(worker, turns=30))

    assert_sound(world)
    assert world.outputs() == undisturbed().outputs()


@pytest.mark.parametrize("turns", range(1, 12))
def test_an_emptied_store_loses_nothing(turns: int) -> None:
    """FLUSHALL between any two turns: the same answers."""
    world = World()
    worker = world.worker()
    left = turns

    def turn() -> None:
        nonlocal left
        for _ in range(33):
            left -= 1
            if left % 11 == 0:
                world.store.flush()
            world.clock.advance(0.1)  # an idle task looks at its store once a second
            settle(worker, turns=1)

    scenario(world, turn)

    assert_sound(world)
    assert [g.gate for g in world.all(ToolGateEvent)] == ["opened", "consumed"]
    assert [t.change for t in world.all(ReviewTaskEvent)] == ["created", "closed", "in_doubt"]


def test_a_zombie_commits_nothing() -> None:
    """A worker that lost its partitions between poll and commit is refused; nothing is doubled."""
    world = World()
    others: list[Worker] = []

    def join_between(step: str) -> None:
        if step == "produced" and not others:
            others.append(world.worker())

    worker = world.worker(join_between)
    world.request()
    world.decide()
    settle(worker, turns=1)

    settle(worker, *others)
    settle(worker, *others)

    assert_sound(world)
    assert [g.gate for g in world.all(ToolGateEvent)] == ["opened"]
    assert len(others) == 1


def test_two_workers_share_the_tasks() -> None:
    """Each runs its own; together they run all; one leaves and the other has them."""
    world = World()
    one, other = world.worker(), world.worker()
    settle(one, other)
    both = {*one.running, *other.running}
    world.cluster.members.pop()
    world.cluster.rebalance()

    settle(one)

    assert both == {0, 1}
    assert set(one.running) == {0, 1}


def test_the_store_never_runs_ahead_of_the_journal() -> None:
    """A worker killed between commit and store leaves the store behind, never before."""
    world = World()
    worker = world.worker(At(1, Killed, only="begin"))
    world.request()
    with pytest.raises(Killed):
        settle(worker)

    assert world.journal() == []
    for task in range(2):
        watermark = world.store.load(task, []).watermark
        assert watermark is None or watermark.seq == 0


def test_a_recreated_journal_topic_is_seen() -> None:
    """The store's watermark names the topic; another topic id means restore from its log."""
    world = World()
    settle(world.worker())
    world.cluster.members.clear()
    world.cluster.log = {
        k: v for k, v in world.cluster.log.items() if k[0].startswith(("control", "rev"))
    }
    world.cluster.positions.clear()
    world.cluster.journal_id = "journal-2"
    world.request()

    settle(world.worker())

    watermark = world.store.load(world.journal()[0].partition, []).watermark
    assert watermark is not None and watermark.journal_id == "journal-2"
    assert len(world.journal()) == 1
    assert e.TENANT == world.journal()[0].input.key.decode().split("/")[0]  # type: ignore[union-attr]

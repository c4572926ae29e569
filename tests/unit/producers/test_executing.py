"""The loop of an executor: at most one act a grant, whatever was killed, and a true receipt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from producers.executing import ExecutorLoop, Result
from producers.gate_feed import Assigned, Revoked
from producers.guard import NotDone, Permit
from producers.keys import new_key
from schemas.execution import GrantTake, ToolDenied, ToolExecuted, ToolFailed, ToolInDoubt
from tests.unit.producers.executors import World, an_open_gate, consumed

Patch = pytest.MonkeyPatch


class Deeds:
    """The executor's own code: counts, and does what the test says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.done: list[str] = []
        self._error = error

    def __call__(self, permit: Permit) -> Result:
        """Handles a permit."""
        self.done.append(permit.grant.grant_id)
        if self._error is not None:
            raise self._error
        return Result(detail=f"did {permit.args['notice_id']}")


def run(loop: ExecutorLoop, times: int = 5) -> None:
    """Some turns."""
    for _ in range(times):
        loop.run_once(0)


def test_an_open_gate_is_taken_acted_on_and_reported(monkeypatch: Patch) -> None:
    """Once, and then it is behind us."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(an_open_gate())

    run(loop)

    [receipt] = world.published(ToolExecuted)
    assert deeds.done == ["grant-1"]
    assert receipt.detail == "did EN-2041"
    assert world.endings == ["executed"]
    assert world.feed.commits[-1] == {0: 1}


def test_nothing_is_kept_before_it_is_handled(monkeypatch: Patch) -> None:
    """The offset of a gate is committed after its receipt: a crash reads it again."""
    world, seen = World(monkeypatch), list[int]()
    loop = world.loop(lambda _: seen.append(len(world.feed.commits)))
    world.hear(an_open_gate(1), an_open_gate(2))

    loop.run_once(0)

    assert (seen, world.feed.commits) == ([0], [{0: 1}])
    assert world.endings == ["executed"]


def test_nothing_is_taken_before_the_log_is_known_to_its_end(monkeypatch: Patch) -> None:
    """A gate of the past may have been closed since."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(an_open_gate(), to_the_end=False)
    run(loop)
    assert (deeds.done, loop.ready) == ([], False)

    world.hear(an_open_gate().model_copy(update={"gate": "revoked"}))
    run(loop)

    assert (deeds.done, loop.ready) == ([], True)
    assert world.published(GrantTake) == world.published(ToolDenied) == []
    assert world.endings == ["not_ours"]


def test_gates_of_other_tools_and_tenants_are_passed_by(monkeypatch: Patch) -> None:
    """They are somebody else's."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    others = {"tool_name": "payment.execute"}, {"tenant_id": "globex"}
    world.hear(*(an_open_gate().model_copy(update=other) for other in others))

    run(loop)

    assert world.wire.published == []
    assert world.feed.commits == [{0: 2}]


@pytest.mark.parametrize(
    ("error", "kind", "ending"),
    [(NotDone("no funds"), ToolFailed, "failed"), (OSError("?"), ToolInDoubt, "in_doubt")],
)
def test_an_action_that_breaks_is_reported_and_the_next_gate_comes(
    monkeypatch: Patch, error: Exception, kind: type[ToolFailed | ToolInDoubt], ending: str
) -> None:
    """Known not to have happened, or not known; never tried again."""
    world, deeds = World(monkeypatch), Deeds(error)
    loop = world.loop(deeds)
    world.hear(an_open_gate(1), an_open_gate(2))

    run(loop)

    assert deeds.done == ["grant-1", "grant-2"]
    assert len(world.published(kind)) == 2
    assert world.endings == [ending, ending]
    assert world.published(ToolExecuted) == []


def test_a_grant_that_is_not_believed_is_denied_on_record(monkeypatch: Patch) -> None:
    """And not taken."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(an_open_gate(key=new_key()))

    run(loop)

    [denied] = world.published(ToolDenied)
    assert "not believed" in denied.reason
    assert (deeds.done, world.published(GrantTake), world.endings) == ([], [], ["denied"])


def test_a_second_copy_never_acts(monkeypatch: Patch) -> None:
    """It is told GRANT_TAKEN, and the log says who has it."""
    world, deeds = World(monkeypatch, taken={"grant-1": "att-of-another"}), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate)
    run(loop)
    assert world.endings == []

    world.hear(consumed(gate, "att-of-another", executor_id="another"))
    run(loop)

    assert (deeds.done, world.endings) == ([], ["not_ours"])
    assert world.published(ToolInDoubt) == []
    assert world.feed.commits[-1] == {0: 2}


def test_a_gate_that_the_worker_repeats_after_its_end_holds_nothing_up(monkeypatch: Patch) -> None:
    """Nothing more comes about it, so it is let go after a while."""
    world, deeds = World(monkeypatch, taken={"grant-1": "att-of-another"}), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate, consumed(gate, "att-of-another", executor_id="another"), gate)
    run(loop)

    world.now += timedelta(minutes=2)
    run(loop)

    assert deeds.done == []
    assert world.feed.commits[-1] == {0: 3}


def test_after_a_crash_the_gate_is_a_doubt_and_not_an_act(monkeypatch: Patch) -> None:
    """An earlier life took it and left no word."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate, consumed(gate, "att-earlier"))

    run(loop)

    [doubt] = world.published(ToolInDoubt)
    assert (deeds.done, doubt.attempt_id) == ([], "att-earlier")
    assert world.endings == ["in_doubt"]


def test_books_that_know_the_grant_give_a_true_receipt(monkeypatch: Patch) -> None:
    """Killed between act and receipt: the receipt is sent for the attempt that acted."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds, {"grant-1": Result(detail="in the books")}.get)
    gates = an_open_gate(1), an_open_gate(2)
    world.hear(gates[0], consumed(gates[0], "att-1"), gates[1], consumed(gates[1], "att-2"))

    run(loop)

    [receipt], [doubt] = world.published(ToolExecuted), world.published(ToolInDoubt)
    assert (receipt.attempt_id, receipt.detail) == ("att-1", "in the books")
    assert doubt.attempt_id == "att-2"
    assert deeds.done == []


@pytest.mark.parametrize("stands", [ToolExecuted, ToolFailed, ToolInDoubt])
def test_what_was_reported_is_not_reported_again(
    monkeypatch: Patch, stands: type[ToolExecuted | ToolFailed | ToolInDoubt]
) -> None:
    """Killed between receipt and commit."""
    world, deeds = World(monkeypatch, stands=frozenset({stands})), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate, consumed(gate, "att-earlier"))

    run(loop)

    assert (deeds.done, world.wire.published) == ([], [])
    assert world.endings == ["reported_before"]


def test_a_doubt_is_settled_by_the_books(monkeypatch: Patch) -> None:
    """A later report of the same attempt is the certain one."""
    world = World(monkeypatch, stands=frozenset({ToolInDoubt}))
    loop = world.loop(Deeds(), lambda _: Result())
    gate = an_open_gate()
    world.hear(gate, consumed(gate, "att-earlier"))

    run(loop)

    assert [r.attempt_id for r in world.published(ToolExecuted)] == ["att-earlier"]


def test_without_an_answer_the_same_attempt_asks_again(monkeypatch: Patch) -> None:
    """It may have been heard; a new attempt would lose against it. Then it acts once."""
    world, deeds = World(monkeypatch, mute=True), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate)
    run(loop)
    assert (deeds.done, len(world.published(GrantTake))) == ([], 1)

    world.mute = False
    world.now += timedelta(seconds=3)
    run(loop)

    takes = world.published(GrantTake)
    assert takes[0] == takes[1]
    assert (deeds.done, world.endings) == (["grant-1"], ["executed"])


def test_its_own_consumed_that_comes_late_is_a_permit_still(monkeypatch: Patch) -> None:
    """This process asked and did nothing yet: it is no earlier life."""
    world, deeds = World(monkeypatch, mute=True), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate)
    run(loop)
    [take] = world.published(GrantTake)
    world.hear(consumed(gate, take.attempt_id))
    world.wire.answers.append(consumed(gate, take.attempt_id))
    world.now += timedelta(seconds=3)

    run(loop)

    assert (deeds.done, world.endings) == (["grant-1"], ["executed"])


def test_an_attempt_that_holds_an_ended_grant_says_that_it_did_nothing(monkeypatch: Patch) -> None:
    """Certainly not done, instead of a doubt when the time to execute is over."""
    world, deeds = World(monkeypatch, mute=True), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate)
    run(loop)
    [take] = world.published(GrantTake)
    world.hear(consumed(gate, take.attempt_id))
    world.now += timedelta(hours=49)

    run(loop)

    [failed] = world.published(ToolFailed)
    assert (deeds.done, failed.attempt_id) == ([], take.attempt_id)


def test_a_receipt_that_is_owed_is_sent_when_the_broker_is_back(monkeypatch: Patch) -> None:
    """The act is not repeated, even if the partition was lost and came back meanwhile."""
    world, deeds = World(monkeypatch, refuses={ToolExecuted}), Deeds()
    loop = world.loop(deeds)
    gate = an_open_gate()
    world.hear(gate)
    run(loop)
    assert (deeds.done, world.endings) == (["grant-1"], [])

    world.feed.coming += [Revoked((0,)), Assigned((0,))]
    world.hear(gate, consumed(gate, world.taken["grant-1"]))
    world.refuses.clear()
    world.now += timedelta(seconds=3)
    run(loop)

    assert (deeds.done, world.endings) == (["grant-1"], ["executed"])
    assert world.published(ToolInDoubt) == []
    assert world.feed.commits[-1] == {0: 3}


def test_a_partition_that_was_taken_away_is_left_alone(monkeypatch: Patch) -> None:
    """Its next owner handles what waits, and nothing is committed for it."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(an_open_gate())
    world.feed.coming.append(Revoked((0,)))

    run(loop)

    assert (deeds.done, world.feed.commits, loop.ready) == ([], [], False)


def test_while_the_broker_is_away_it_waits(monkeypatch: Patch) -> None:
    """And goes on afterwards."""
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(an_open_gate())
    world.feed.away = True
    run(loop)
    assert deeds.done == []

    world.feed.away = False
    run(loop)

    assert deeds.done == ["grant-1"]


def test_more_gates_than_fit_are_read_later(monkeypatch: Patch) -> None:
    """Memory is bounded: nothing more is read until some are handled."""
    monkeypatch.setattr("producers.waiting_gates.WAITING_MAX", 2)
    world, deeds = World(monkeypatch), Deeds()
    loop = world.loop(deeds)
    world.hear(*(an_open_gate(n) for n in (1, 2, 3)), to_the_end=False)

    run(loop)

    assert world.feed.held[0] is True
    assert world.feed.held[-1] is False
    assert deeds.done == ["grant-1", "grant-2"]
    assert world.feed.commits[-1] == {0: 2}

"""The worker's behaviour, on an in-memory broker."""

from __future__ import annotations

from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ToolGateEvent,
)
from schemas.state import ControlPointState
from tests import examples as e
from tests.unit.control.world import World, codes, settle


def opened(world: World) -> ToolGateEvent:
    """The opened gate."""
    return next(gate for gate in world.all(ToolGateEvent) if gate.gate == "opened")


def test_an_approval_opens_the_gate_with_a_signed_grant() -> None:
    """A request, then an approval: decided, and the gate is open with a grant."""
    world = World()
    worker = world.worker()
    world.request()
    world.decide()

    settle(worker)

    assert [s.status for s in world.all(InterruptStatusChanged)] == ["pending", "decided"]
    assert [d.decision for d in world.all(HumanDecisionEvent)] == ["approve"]
    assert opened(world).grant_jws


def test_a_decision_that_comes_before_its_request_waits_for_it() -> None:
    """A command of another topic may overtake its package; it is parked, then judged."""
    world = World()
    worker = world.worker()
    world.decide()
    settle(worker)
    world.request()

    settle(worker)

    assert [d.command_id for d in world.all(HumanDecisionEvent)] == [e.a_decision().command_id]
    assert [entry.verdict for entry in world.journal() if entry.verdict != "tick"] == [
        "parked",
        "recorded",
    ]


def test_a_parked_command_is_given_up_when_its_package_does_not_come() -> None:
    """After PARK_TTL: UNKNOWN_PACKAGE, and no state is left."""
    world = World()
    worker = world.worker()
    world.decide()
    settle(worker)
    world.clock.advance(61)

    settle(worker)

    assert codes(world.all(CommandRefused)) == ["UNKNOWN_PACKAGE"]
    assert world.cluster.records("interrupt-state")[-1].value is None


def test_an_idle_partition_escalates_when_its_time_runs_out() -> None:
    """Nothing else arrives; the worker's own ticks move the time on, and the clock fires once."""
    world = World()
    worker = world.worker()
    world.request()
    settle(worker)
    world.clock.advance(24 * 3600 + 1)

    settle(worker)

    assert [s.status for s in world.all(InterruptStatusChanged)] == ["pending", "escalated"]
    assert [j.context.timer for j in world.journal() if j.verdict == "fired"] == [
        "sla_warning",
        "sla_warning",
        "decide_by",
    ]


def test_a_decision_appended_in_time_wins_however_late_it_is_read() -> None:
    """The worker was down over the deadline; what stands in the log before it counts."""
    world = World()
    worker = world.worker()
    world.request()
    settle(worker)
    world.clock.advance(24 * 3600 - 1)
    world.decide()
    world.clock.advance(7200)

    settle(worker)

    assert [s.status for s in world.all(InterruptStatusChanged)] == ["pending", "decided"]


def test_no_tick_while_nothing_is_due() -> None:
    """An idle worker writes nothing."""
    world = World()
    worker = world.worker()
    world.request()

    settle(worker)

    assert [j for j in world.journal() if j.verdict == "tick"] == []


def test_a_take_is_answered_with_consumed_once() -> None:
    """The second attempt is told GRANT_TAKEN."""
    world = World()
    worker = world.worker()
    world.request()
    world.decide()
    settle(worker)
    grant_id = opened(world).grant_id or ""
    world.take(grant_id)
    world.take(grant_id, attempt_id="attempt-2")

    settle(worker)

    assert [g.gate for g in world.all(ToolGateEvent)] == ["opened", "consumed"]
    assert codes(world.all(CommandRefused)) == ["GRANT_TAKEN"]


def test_the_same_command_again_is_answered_with_the_first_event() -> None:
    """DUPLICATE_COMMAND with the first event's id; nothing else happens."""
    world = World()
    worker = world.worker()
    world.request()
    world.decide()
    world.decide(command_id="cmd-again")

    settle(worker)

    refusal = world.all(CommandRefused)[0]
    assert refusal.code == "DUPLICATE_COMMAND"
    assert refusal.first_event_id == world.all(HumanDecisionEvent)[0].event_id


def test_a_forged_command_is_refused_and_reveals_nothing() -> None:
    """Signed by another person's key: UNAUTHENTICATED, no state in the answer."""
    world = World()
    worker = world.worker()
    world.request()
    command = e.a_decision()
    world.send(command, "r.lind", command.command_id, sub=e.REVIEWER)

    settle(worker)

    refusal = world.all(CommandRefused)[0]
    assert (refusal.code, refusal.current_package_version, refusal.reviewer_id) == (
        "UNAUTHENTICATED",
        None,
        None,
    )
    assert world.all(HumanDecisionEvent) == []


def test_the_changelog_holds_what_the_journal_says() -> None:
    """The last state of the changelog has the digest that the last entry names."""
    world = World()
    worker = world.worker()
    world.request()
    world.decide()

    settle(worker)

    import hashlib

    value = world.cluster.records("interrupt-state")[-1].value or b""
    assert hashlib.sha256(value).hexdigest() == world.journal()[-1].state_digest
    states = world.all(ControlPointState)
    assert states[-1].gate == "open"


def test_group_positions_equal_the_journals() -> None:
    """At rest the group stands where the journal says (I8)."""
    world = World()
    worker = world.worker()
    world.request()
    world.decide()

    settle(worker)

    head = world.journal()[-1]
    for topic, offset in head.next_offsets.items():
        assert world.cluster.positions.get((topic, head.partition), 0) == offset

"""Control modes: who is asked, when the gate opens, and what still keeps it shut."""

from __future__ import annotations

import pytest

from core.directory import DirectoryRecord
from schemas.events import HumanDecisionEvent, ReviewTaskEvent, ToolGateEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    another_call,
    by,
    changes,
    decides,
    medium,
    on_the_loop,
    open_world,
    out_of_the_loop,
    quorum,
    somebody,
    standing,
    works,
)
from tests.unit.core.world import World, a_policy, a_take_of, code, codes, gates, of


def _watched(**request: object) -> World:
    return open_world(on_the_loop(), **(medium() | request))


def test_an_unobjected_window_opens_the_gate() -> None:
    """After the window the gate opens with reason window and nobody's decision behind it."""
    world = _watched()

    steps = world.wait(HOUR + 1)

    gate = world.last(ToolGateEvent)
    assert ["opened"] == gates(steps)
    assert ("window", []) == (gate.reason, gate.decision_event_ids)
    assert ("decided", "approve") == standing(world)


def test_nothing_opens_before_the_window_has_passed() -> None:
    """At the last instant of the window the gate is shut."""
    world = _watched()

    assert [] == gates(world.wait(HOUR))
    assert "closed" == world.now.gate


def test_the_window_starts_when_the_worker_saw_the_request() -> None:
    """A worker that was down lets no window pass unseen: it counts from handled_at."""
    world = World(directory=_watched().directory)
    world.send(e.a_request(**medium()), handled_at=e.at(2 * HOUR))

    assert [] == gates(world.wait(3 * HOUR))
    assert ["opened"] == gates(world.wait(1))


def test_a_monitor_sees_a_task_for_what_runs_on_the_loop() -> None:
    """On the loop a task is shown while the window is open."""
    world = _watched()

    assert ["created"] == changes(world)
    assert e.at(HOUR) == world.last(ReviewTaskEvent).due_at


def test_an_objection_denies() -> None:
    """An objection within the window closes the interrupt and denies the gate for good."""
    world = _watched()

    step = world.send(decides("r.diaz", "object"))

    assert ["denied"] == gates([step])
    assert ("decided", "object") == standing(world)
    assert [] == gates(world.wait(2 * DAY))


def test_an_objection_asks_for_its_scope_alone() -> None:
    """Nobody is too junior or too close to pull the brake; without the scope nobody pulls it."""
    weak = somebody("r.diaz", "reviewer", max_risk_level="low", conflicts=["case:case-5512"])
    mute = somebody("r.mute", scopes=["notice:approve"])
    world = open_world(on_the_loop(), weak, mute, **medium())

    assert ["MISSING_SCOPE"] == codes(world.send(decides("r.mute", "object")))
    assert [] == codes(world.send(decides("r.diaz", "object")))


def test_an_objection_comes_before_the_windows_end_however_late_it_is_judged() -> None:
    """While the interrupt is open an objection is never too late to keep the gate shut."""
    world = _watched()
    world.clock = HOUR + 5

    assert ["denied"] == gates([world.send(decides("r.diaz", "object"))])


def test_an_objection_after_opening_revokes() -> None:
    """What a window opened is taken back by an objection, until it is taken."""
    world = _watched()
    world.wait(HOUR + 1)

    step = world.send(decides("r.diaz", "object"))

    assert ["revoked"] == gates([step])
    assert not of(step.events, HumanDecisionEvent)[0].final
    assert "GRANT_REVOKED" == code(world.send(a_take_of(world)))


def test_an_objection_after_the_take_is_refused() -> None:
    """A consumed grant cannot be taken back; a second objection has nothing to take back."""
    world = _watched()
    world.wait(HOUR + 1)
    world.send(a_take_of(world))

    assert "GRANT_TAKEN" == code(world.send(decides("r.diaz", "object")))


def test_an_objection_to_a_revoked_gate_is_not_open() -> None:
    """There is nothing to take back twice."""
    world = _watched()
    world.wait(HOUR + 1)
    world.send(decides("r.diaz", "object"))

    assert "NOT_OPEN" == code(world.send(decides("r.lind", "object")))


def test_an_objection_belongs_to_what_runs_on_the_loop() -> None:
    """In the loop one rejects; an objection is not offered, before or after the decision."""
    world = open_world()

    assert "DECISION_NOT_ALLOWED" == code(world.send(decides("r.lind", "object")))
    world.send(decides("r.lind"))
    assert "NOT_OPEN" == code(world.send(decides("r.lind", "object")))


@pytest.mark.parametrize("decision", ["approve", "defer"])
def test_on_the_loop_nobody_approves(decision: str) -> None:
    """Approving or deferring is not offered while the window runs."""
    step = _watched().send(decides("r.lind", decision, defer_until=e.at(60)))

    assert ["DECISION_NOT_ALLOWED"] == codes(step)


@pytest.mark.parametrize("decision", ["reject", "revise", "request_more_evidence"])
def test_on_the_loop_a_reviewer_may_stop_it(decision: str) -> None:
    """Reject, revise and request_more_evidence end the window and the interrupt."""
    world = _watched()
    world.send(decides("r.lind", decision))

    assert ("decided", decision) == standing(world)
    assert "opened" not in gates(world.wait(2 * DAY))


def test_an_escalated_window_waits_for_an_approval() -> None:
    """After an escalation it is as in the loop: time opens nothing, an approval does."""
    world = _watched()
    world.send(decides("r.lind", "escalate"))

    assert "opened" not in gates(world.wait(HOUR + 1))
    assert ["opened"] == gates([world.send(decides("r.head"))])


def test_an_unconfirmed_override_keeps_the_window_from_opening() -> None:
    """Who overrides says that the proposed action shall not be: while the override waits for its
    second person, the window's end asks the next role instead of opening for the first action."""
    world = _watched()
    unlisted = another_call(tool_name="mail.send", effect_type="mail")
    waits = world.send(by(e.an_override, "r.head", override_tool_call=unlisted))
    assert not of(waits.events, HumanDecisionEvent)[0].final, codes(waits)

    steps = world.wait(HOUR + 1)

    assert [] == gates(steps)
    assert ("escalated", None) == standing(world)


def test_a_monitor_who_steps_aside_leaves_the_window_as_it_is() -> None:
    """On the loop nobody has to decide, so that nobody is missing when the last monitor recuses."""
    world = open_world(
        on_the_loop(approvals=[{"role": "legal", "scope": "notice:approve"}]), **medium()
    )

    world.send(works("r.legal", "recuse"))

    assert ("pending", None) == standing(world)


def test_what_ends_before_its_window_expires() -> None:
    """An absolute end of the requester within the window: it expires, nothing opens."""
    world = _watched(expires_at=e.at(600))

    world.wait(2 * HOUR)

    assert ("expired", "expired") == standing(world)
    assert "denied" == world.now.gate


@pytest.mark.parametrize("loose", [on_the_loop(when={}), out_of_the_loop(when={})])
def test_an_unlisted_tool_waits_for_people(loose: DirectoryRecord) -> None:
    """What the tools table does not know never runs on or out of the loop."""
    call = e.a_tool_call(tool_name="notice2.send")
    world = open_world(loose, **medium(tool_call=call))

    assert [] == gates(world.wait(HOUR + 1))


def test_out_of_the_loop_the_gate_opens_at_once() -> None:
    """The policy opens the gate with the request, and says that it was the policy."""
    world = open_world(out_of_the_loop(), **medium())

    gate = world.last(ToolGateEvent)
    assert ("opened", "policy", []) == (gate.gate, gate.reason, gate.decision_event_ids)
    assert ("decided", "approve") == standing(world)


def test_what_the_policy_opens_is_sampled() -> None:
    """Out of the loop the draw decides whether somebody looks afterwards."""
    world = World(directory=open_world(out_of_the_loop(audit_sample=0.5)).directory)

    step = world.send(e.a_request(**medium()), draw=2**52 - 1)

    assert "audit_opened" in [task.change for task in of(step.events, ReviewTaskEvent)]


def test_human_led_the_reviewer_writes_the_rationale() -> None:
    """An approval without the reviewer's own rationale is refused; with it the gate opens."""
    world = open_world(a_policy(policy_version="8", rule={"mode": "human_led"}))

    refused = world.send(decides("r.lind", reviewer_rationale="  "))
    step = world.send(decides("r.lind", reviewer_rationale="The samples carry it."))

    assert ["REASON_REQUIRED"] == codes(refused)
    assert "The samples carry it." == of(step.events, HumanDecisionEvent)[0].reviewer_rationale
    assert ["opened"] == gates([step])


def test_human_led_the_whole_quorum_writes_its_rationale() -> None:
    """Every slot asks for words of its own; the gate opens on the last."""
    world = open_world(quorum("senior_reviewer", "legal", mode="human_led"))

    first = world.send(decides("r.lind", reviewer_rationale="Carried."))
    bare = world.send(decides("r.legal"))
    last = world.send(decides("r.legal", reviewer_rationale="Lawful."))

    assert [] == gates([first])
    assert ["REASON_REQUIRED"] == codes(bare)
    assert ["opened"] == gates([last])


@pytest.mark.parametrize("action", ["escalate", "expire", "cancel", "defer", "auto_reject"])
@pytest.mark.parametrize("mode", ["in_the_loop", "human_led"])
def test_no_timeout_approves(mode: str, action: str) -> None:
    """Whatever the policy does at a timeout, no gate opens in a mode that asks people."""
    world = open_world(a_policy(policy_version="8", rule={"mode": mode, "on_timeout": action}))

    steps = [step for _ in range(10) for step in world.wait(DAY + 1)]

    assert "opened" not in gates(steps)
    assert world.now.status in ("decided", "expired", "cancelled")

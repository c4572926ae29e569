"""The race at a deadline: what was appended in time wins however late it is read, and what was not
loses however soon; for the time to decide and for the objection window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from core.context import Input
from core.step import Step
from core.timers import OBJECTION_WINDOW
from schemas.events import InterruptStatusChanged, ReviewTaskEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    changes,
    decides,
    medium,
    on_the_loop,
    open_world,
    quorum,
    standing,
    works,
)
from tests.unit.core.world import World, a_policy, codes, gates, of, statuses

COMMANDS: Final[dict[str, Callable[[], Input]]] = {
    "approve": lambda: decides("r.lind"),
    "reject": lambda: decides("r.lind", "reject"),
    "revise": lambda: decides("r.lind", "revise"),
    "request_more_evidence": lambda: decides("r.lind", "request_more_evidence"),
    "escalate": lambda: decides("r.lind", "escalate"),
    "defer": lambda: decides("r.lind", "defer", defer_until=e.at(2 * DAY)),
    "override": lambda: by(e.an_override, "r.head"),
    "claim": lambda: works("r.lind", "claim"),
    "comment": lambda: works("r.lind", "comment", comment="Seen."),
    "recuse": lambda: works("r.lind", "recuse"),
    "grant_exception": lambda: by(e.an_exception, "r.head", expires_at=None),
}
"""Every command that only an open interrupt takes."""
READ_LATE: Final = 30 * DAY


def _read_late(world: World, command: Input, appended: float) -> Step:
    """Judges a command that was appended at a time and is read a month later by a worker that was
    down; no clock has fired meanwhile, since this record was still to be read."""
    world.clock = appended
    return world.send(command, handled_at=e.at(READ_LATE))


def _watched(**rule: Any) -> World:
    world = open_world(on_the_loop(**rule), **medium())
    assert OBJECTION_WINDOW == world.now.decide_by_source
    return world


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_in_time_wins_however_late_it_is_read(name: str) -> None:
    """Appended exactly at decide_by and read a month later, a command is judged as in time."""
    step = _read_late(open_world(), COMMANDS[name](), DAY)

    assert [] == codes(step)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_behind_the_end_loses_however_soon_it_is_read(name: str) -> None:
    """Appended a microsecond after decide_by it is TOO_LATE, although no clock has fired yet."""
    step = _read_late(open_world(), COMMANDS[name](), DAY + 0.000001)

    assert ["TOO_LATE"] == codes(step)


def test_an_approval_in_time_leaves_nothing_for_the_clock() -> None:
    """The timeout that is due as well finds a decided interrupt and does nothing."""
    world = open_world()
    _read_late(world, decides("r.lind"), DAY)

    steps = world.wait(1)

    assert [] == steps
    assert ("decided", "approve") == standing(world)


def test_an_approval_that_is_half_a_quorum_does_not_stop_the_clock() -> None:
    """In time, but not enough: the interrupt escalates, and the approval stands where it fits."""
    world = open_world(quorum("senior_reviewer", "legal"))
    _read_late(world, decides("r.legal"), DAY)

    steps = world.wait(1)

    assert [("escalated", None)] == statuses(steps)
    assert ["r.legal"] == [approval.reviewer_id for approval in world.now.approvals]


def test_a_deferral_in_time_moves_the_end() -> None:
    """What was left to decide, here nothing, begins again when the deferral ends."""
    world = open_world()
    _read_late(world, decides("r.lind", "defer", defer_until=e.at(2 * DAY)), DAY)

    steps = world.wait(DAY)
    ended = world.wait(1)

    assert ([], [("escalated", None)]) == (statuses(steps), statuses(ended))


def test_an_objection_in_time_wins_however_late_it_is_read() -> None:
    """Appended exactly at the window's end and read a month later, it keeps the gate shut."""
    world = _watched()

    step = _read_late(world, decides("r.lind", "object"), HOUR)

    assert (["denied"], []) == (gates([step]), gates(world.wait(DAY)))
    assert ("decided", "object") == standing(world)


@pytest.mark.parametrize("name", ["reject", "revise", "request_more_evidence"])
def test_whatever_closes_in_the_window_wins_as_well(name: str) -> None:
    """A monitor who rejects or sends back in time is not overtaken by the window either."""
    world = _watched()

    _read_late(world, COMMANDS[name](), HOUR)

    assert "opened" not in gates(world.wait(DAY))
    assert ("decided", name) == standing(world)


def test_an_escalation_in_the_window_stops_the_window() -> None:
    """Escalated at the last instant, it waits for people and opens nothing by itself."""
    world = _watched()

    _read_late(world, COMMANDS["escalate"](), HOUR)

    assert "escalated" == world.now.status
    assert "opened" not in gates(world.wait(60 * DAY))


@pytest.mark.parametrize("name", ["reject", "revise", "request_more_evidence", "escalate", "claim"])
def test_behind_the_window_only_an_objection_counts(name: str) -> None:
    """TOO_LATE: the window has run out; its clock opens the gate."""
    world = _watched()

    step = _read_late(world, COMMANDS[name](), HOUR + 1)

    assert ["TOO_LATE"] == codes(step)
    assert ["opened"] == gates(world.wait(0))


def test_an_objection_behind_the_window_still_keeps_the_gate_shut() -> None:
    """Read before the window's clock fired, a late objection is a brake like one in time."""
    world = _watched()

    step = _read_late(world, decides("r.lind", "object"), HOUR + 1)

    assert (["denied"], []) == (gates([step]), gates(world.wait(DAY)))


def test_an_objection_after_the_opening_takes_the_gate_back() -> None:
    """Read after the window's clock fired, it revokes, and the outcome stays what it was."""
    world = _watched()
    world.wait(HOUR + 1)

    step = world.send(decides("r.lind", "object"))

    assert (["revoked"], []) == (gates([step]), statuses([step]))
    assert ("decided", "approve") == standing(world)


def test_a_claim_in_time_is_a_whole_one() -> None:
    """A lease is counted from when the worker read the claim, so that its holder loses nothing."""
    world = open_world()

    _read_late(world, works("r.lind", "claim"), HOUR)

    assert e.at(READ_LATE + 1800) == world.now.lease_until


@pytest.mark.parametrize("mode", ["in_the_loop", "human_led", "out_of_the_loop"])
def test_a_window_ends_where_a_newer_policy_brings_people_in(mode: str) -> None:
    """An open package that is re-planned to be decided by people opens nothing by its window; they
    get the whole time to decide, warnings included."""
    world = _watched()
    world.wait(0.9 * HOUR)
    world.apply(a_policy(policy_version="9", reapply_to_open=True, rule={"mode": mode}))

    world.send(works("r.lind", "comment", comment="Look at the new policy."))
    world.clock = 0.9 * HOUR + DAY
    silent = world.wait(0)

    assert "opened" not in gates(silent)
    assert (e.at(0.9 * HOUR + DAY), "policy") == (world.now.decide_by, world.now.decide_by_source)
    assert [50, 80] == [x.sla_percent for step in silent for x in of(step.events, ReviewTaskEvent)]
    assert [("escalated", None)] == statuses(world.wait(1))


def test_a_newer_policy_that_leaves_the_mode_leaves_the_window() -> None:
    """Re-planned on the loop, the window runs as before and opens the gate."""
    world = _watched()
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
    world.apply(
        a_policy(
            policy_version="9", reapply_to_open=True, tools=tools, rule={"mode": "on_the_loop"}
        )
    )

    world.send(works("r.lind", "comment", comment="Look at the new policy."))

    assert "replanned" in changes(world)
    assert ["opened"] == gates(world.wait(HOUR + 1))


def test_a_newer_policy_that_nobody_can_meet_escalates_at_once() -> None:
    """NO_ELIGIBLE_REVIEWER holds for a new plan as for the first one."""
    world = open_world()
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT}]
    slots = [{"role": "auditor"}]
    world.apply(
        a_policy(policy_version="9", reapply_to_open=True, tools=tools, rule={"approvals": slots})
    )

    world.send(works("r.lind", "comment", comment="Look at the new policy."))

    assert "escalated" == world.now.status
    assert "NO_ELIGIBLE_REVIEWER" in world.last(InterruptStatusChanged).reason

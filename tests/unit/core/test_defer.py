"""Deferral: hidden until a time or a condition, once a version, never past an absolute end."""

from __future__ import annotations

from typing import Any

import pytest

from core.step import Step
from schemas.events import HumanDecisionEvent, InterruptStatusChanged, ReviewTaskEvent
from tests import examples as e
from tests.unit.core.rulebook import DAY, HOUR, changes, decides, open_world, standing, works
from tests.unit.core.world import World, a_next_request, a_policy, code, codes, of


def _defers(world: World, **over: Any) -> Step:
    form = over or {"defer_until": e.at(4 * HOUR)}
    return world.send(decides("r.lind", "defer", **form))


def _met(world: World, **over: Any) -> Step:
    return world.send(
        works("r.lind", "comment", comment="It is met.", kind="condition_met", **over)
    )


def test_deferring_until_a_time_hides_and_moves_decide_by() -> None:
    """The interrupt stays open, is hidden until then, and decide_by moves by the deferred time."""
    world = open_world()
    world.clock = HOUR

    step = _defers(world)

    status, decision = (
        of(step.events, InterruptStatusChanged)[0],
        of(step.events, HumanDecisionEvent)[0],
    )
    assert ("pending", False, e.at(4 * HOUR)) == (
        status.status,
        status.final,
        status.deferred_until,
    )
    assert e.at(DAY + 3 * HOUR) == status.decide_by == world.now.decide_by
    assert (False, e.at(4 * HOUR)) == (decision.final, decision.defer_until)


def test_the_time_ends_the_deferral() -> None:
    """At defer_until the task is shown again, by nobody's act."""
    world = open_world()
    _defers(world)

    world.wait(4 * HOUR + 1)

    assert "resumed" == changes(world)[-1]
    assert (None, None) == (world.last(ReviewTaskEvent).actor, world.now.deferred_until)
    assert e.at(DAY + 4 * HOUR) == world.now.decide_by


def test_the_interrupt_times_out_only_at_the_moved_time() -> None:
    """Nothing escalates at the old decide_by; at the new one it does."""
    world = open_world()
    _defers(world)

    world.wait(DAY + 4 * HOUR)
    assert ("pending", None) == standing(world)
    world.wait(1)
    assert ("escalated", None) == standing(world)


def test_warnings_count_without_the_deferred_time() -> None:
    """The clock stands still: fifty per cent comes later by as much as was deferred."""
    world = open_world()
    _defers(world)

    world.wait(16 * HOUR)
    assert "sla_warning" not in changes(world)
    world.wait(1)
    assert "sla_warning" == changes(world)[-1]


def test_a_condition_that_is_met_ends_the_deferral_early() -> None:
    """The signed comment resumes, and what was not waited for is taken off decide_by again."""
    world = open_world()
    _defers(world, defer_condition="The laboratory answers.", defer_until=e.at(10 * HOUR))
    world.clock = 2 * HOUR

    step = _met(world)

    assert ["commented", "resumed"] == [task.change for task in of(step.events, ReviewTaskEvent)]
    assert (None, None) == (world.now.deferred_until, world.now.defer_condition)
    assert e.at(DAY + 2 * HOUR) == world.now.decide_by
    assert e.at(2 * HOUR) == world.now.decide_from


def test_a_condition_alone_waits_as_long_as_the_policy_allows() -> None:
    """Without a time the deferral ends by itself after defer_max."""
    world = open_world()
    _defers(world, defer_condition="The laboratory answers.")

    assert e.at(7 * DAY) == world.now.deferred_until
    world.wait(7 * DAY + 1)
    assert "resumed" == changes(world)[-1]


def test_a_note_ends_no_deferral() -> None:
    """Only a comment of kind condition_met does, and only a comment."""
    world = open_world()
    _defers(world, defer_condition="The laboratory answers.")

    world.send(works("r.lind", "comment", comment="Still waiting.", kind="note"))
    world.send(works("r.lind", "comment", comment="Still waiting."))
    world.send(works("r.lind", "present", kind="condition_met"))
    world.send(works("r.lind", "claim", kind="condition_met"))

    assert "resumed" not in changes(world)


def test_a_deferral_without_a_condition_has_none_to_meet() -> None:
    """Who deferred until a time named no condition; a comment does not end it before."""
    world = open_world()
    _defers(world)

    _met(world)

    assert e.at(4 * HOUR) == world.now.deferred_until


def test_the_condition_is_met_by_someone_of_the_subject() -> None:
    """A stranger, or somebody without any scope of it, ends nothing."""
    world = open_world()
    _defers(world, defer_condition="The laboratory answers.")

    step = world.send(works("r.nobody", "comment", comment="Met.", kind="condition_met"))

    assert "UNKNOWN_REVIEWER" == code(step)
    assert world.now.deferred_until is not None


def test_a_deferred_package_can_still_be_decided() -> None:
    """It is hidden, not closed."""
    world = open_world()
    _defers(world)

    world.send(decides("r.lind"))

    assert ("decided", "approve") == standing(world)
    assert [] == [step for step in world.wait(3 * HOUR) if step.events]


def test_one_deferral_a_version() -> None:
    """The second is refused, also after the first has ended; a new version may be deferred again."""
    world = open_world()
    _defers(world)
    assert ["DECISION_NOT_ALLOWED"] == codes(_defers(world))
    world.wait(5 * HOUR)
    assert ["DECISION_NOT_ALLOWED"] == codes(_defers(world, defer_until=e.at(6 * HOUR)))

    world.send(a_next_request())
    again = _defers(world, defer_until=e.at(6 * HOUR), expected_package_version=2)

    assert "recorded" == again.verdict


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "neither": ("REASON_REQUIRED", {"defer_until": None}),
    "blank": ("REASON_REQUIRED", {"defer_condition": " "}),
    "past": ("DECISION_NOT_ALLOWED", {"defer_until": e.at(-1)}),
    "too far": ("DECISION_NOT_ALLOWED", {"defer_until": e.at(7 * DAY + 1)}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_deferral_that_is_refused_hides_nothing(name: str) -> None:
    """Each refusal has its code and leaves the package in the queue."""
    wanted, over = REFUSED[name]
    world = open_world()

    assert [wanted] == codes(_defers(world, **over))
    assert (False, None) == (world.now.deferred, world.now.deferred_until)


def test_an_absolute_end_caps_the_moved_time() -> None:
    """decide_by never moves past expires_at of the request, and its source says so."""
    world = open_world(expires_at=e.at(DAY + HOUR))

    _defers(world)

    assert (e.at(DAY + HOUR), "expires_at") == (world.now.decide_by, world.now.decide_by_source)


def test_nobody_defers_past_an_absolute_end() -> None:
    """A deferral to or over the request's own end is refused."""
    world = open_world(expires_at=e.at(3 * HOUR))

    assert ["DECISION_NOT_ALLOWED"] == codes(_defers(world))


def test_a_deferral_drops_the_hold() -> None:
    """Who held the task holds it no more."""
    world = open_world()
    world.send(works("r.lind", "claim"))

    _defers(world)

    assert (None, None) == (world.now.assigned_to, world.now.lease_until)


def test_a_timeout_that_defers_uses_up_the_deferral() -> None:
    """on_timeout: defer gives the time once more, once; then it expires."""
    world = open_world(a_policy(policy_version="8", rule={"on_timeout": "defer"}))

    world.wait(DAY + 1)
    assert ("pending", None) == standing(world)
    assert ["DECISION_NOT_ALLOWED"] == codes(_defers(world, defer_until=e.at(DAY + HOUR)))
    world.wait(DAY + 1)
    assert ("expired", "expired") == standing(world)


def test_an_escalation_ends_a_deferral() -> None:
    """The next role sees it at once, with its own time."""
    world = open_world()
    _defers(world)

    world.send(decides("r.lind", "escalate"))

    assert (None, e.at(DAY)) == (world.now.deferred_until, world.now.decide_by)


def test_ended_early_the_policys_time_comes_back_from_behind_an_absolute_end() -> None:
    """The deferral would have reached past `expires_at`; met early, the rest of the day counts
    again, so that a timeout escalates instead of expiring."""
    world = open_world(expires_at=e.at(3 * DAY))
    _defers(world, defer_until=e.at(2.5 * DAY), defer_condition="the lab report is in")
    capped = (world.now.decide_by, world.now.decide_by_source)
    world.clock = HOUR

    _met(world)

    assert (e.at(3 * DAY), "expires_at") == capped
    assert ("policy", None) == (world.now.decide_by_source, world.now.deferred_until)
    assert e.at(HOUR + DAY) == world.now.decide_by

"""A new version starts anew: what was approved, claimed and shown of the old one is void."""

from __future__ import annotations

import pytest

from core.context import ReviewerCommand
from schemas.events import CommandRefused, HumanDecisionEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    by,
    changes,
    decides,
    open_world,
    quorum,
    standing,
    works,
)
from tests.unit.core.world import World, a_next_request, code, codes, gates, of

HOW = ["supersede", "revise", "request_more_evidence"]


def _second(how: str) -> World:
    """A world in which version 1 was half approved, claimed, shown and then sent back."""
    world = open_world(quorum("senior_reviewer", "legal"))
    world.send(works("r.lind", "present"))
    world.send(decides("r.lind"))
    world.send(works("r.legal", "claim"))
    if how != "supersede":
        world.send(decides("r.legal", how))
    world.clock = 60
    step = world.send(a_next_request())
    assert step.verdict == "recorded", codes(step)
    return world


@pytest.mark.parametrize("how", HOW)
def test_approvals_claims_and_presentations_are_void(how: str) -> None:
    """Version 2 has none of them, and its own time."""
    state = _second(how).now

    assert ([], [], None, None) == (
        state.approvals, state.presented, state.assigned_to, state.lease_until
    )  # fmt: skip
    assert (e.at(60), e.at(60 + DAY), "pending", "closed") == (
        state.created_at, state.decide_by, state.status, state.gate
    )  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_the_quorum_of_the_new_version_is_filled_anew(how: str) -> None:
    """Who approved version 1 approves again; one approval of two opens nothing."""
    world = _second(how)

    first = world.send(decides("r.legal", expected_package_version=2))
    second = world.send(decides("r.lind", expected_package_version=2))

    assert [[], ["opened"]] == [gates([first]), gates([second])]
    assert of(second.events, HumanDecisionEvent)[0].presented_at is None


@pytest.mark.parametrize("how", HOW)
def test_whatever_names_the_old_version_is_stale(how: str) -> None:
    """Every command of reviewers on version 1 is told the version that stands, and changes
    nothing."""
    world = _second(how)
    commands: list[ReviewerCommand] = [
        decides("r.lind"),
        by(e.an_override, "r.head"),
        works("r.lind", "claim"),
        by(e.an_exception, "r.lind"),
        by(e.an_exception, "r.lind", action="revoke"),
    ]

    for command in commands:
        step = world.send(command)
        refusal = of(step.events, CommandRefused)[0]
        assert ("STALE_PACKAGE_VERSION", 2) == (refusal.code, refusal.current_package_version)
    assert ([], None, None) == (world.now.approvals, world.now.assigned_to, world.now.override)


def test_a_version_that_is_not_there_yet_is_stale_too() -> None:
    """A command for a version above the current one does not wait for it."""
    assert "STALE_PACKAGE_VERSION" == code(
        open_world().send(decides("r.lind", expected_package_version=2))
    )


def test_the_digest_of_the_old_action_is_refused() -> None:
    """A reviewer who names the action of version 1 has not seen that of version 2."""
    world = open_world()
    other = e.a_tool_call(e.notice_args(subject="Other"))
    world.send(a_next_request(package={"tool_call": other}))

    assert "ACTION_DIGEST_MISMATCH" == code(
        world.send(decides("r.lind", expected_package_version=2))
    )


def test_a_deferral_and_a_step_up_are_void() -> None:
    """Version 2 is neither hidden nor escalated."""
    world = open_world()
    world.send(decides("r.lind", "escalate"))
    world.send(decides("r.head", "defer", defer_until=e.at(DAY / 2)))

    world.send(a_next_request())

    assert (0, False, None) == (
        world.now.ladder_step, world.now.deferred, world.now.deferred_until
    )  # fmt: skip
    assert "created" == changes(world)[-1]


def test_drafters_of_every_version_are_barred() -> None:
    """Who drafted version 1 does not approve version 2 that somebody else drafted."""
    world = open_world(package=e.a_package(drafted_by="r.lind"))
    world.send(a_next_request())

    step = world.send(decides("r.lind", expected_package_version=2))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)
    assert ("pending", None) == standing(world)

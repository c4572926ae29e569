"""Room for another open interrupt: a policy's limits, and each task's share of them."""

from __future__ import annotations

from typing import Any

import pytest

from core.room import share_of
from core.step import Step
from schemas.events import CommandRefused
from tests import examples as e
from tests.unit.core.world import World, a_policy, a_world, codes, of


def limited(**defaults: int) -> World:
    """A world whose policy limits what is open."""
    defaults_form = {"decide_within": "24h", **defaults}
    return a_world(a_policy(policy_version="limits", defaults=defaults_form))


def refusal(step: Step) -> CommandRefused:
    """The one answer of a refused request."""
    [found] = of(step.events, CommandRefused)
    return found


@pytest.mark.parametrize("limit", [1, 2, 11, 12, 13, 1000])
@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_the_shares_hold_the_limit_and_little_more(limit: int, partitions: int) -> None:
    """All tasks together: at least the limit, never more than limit + partitions - 1."""
    together = share_of(limit, partitions) * partitions

    assert limit <= together <= limit + partitions - 1


@pytest.mark.parametrize(
    ("limits", "there", "expected"),
    [
        ({}, {"open_of_tenant": 999, "open_of_agent": 999}, []),
        ({"open_max": 12}, {"open_of_tenant": 2, "open_of_agent": 2}, []),
        ({"open_max": 12}, {"open_of_tenant": 3}, ["TOO_MANY_OPEN"]),
        ({"open_max": 9}, {"open_of_tenant": 2}, []),
        ({"open_max": 8}, {"open_of_tenant": 2}, ["TOO_MANY_OPEN"]),
        ({"open_max_per_agent": 4}, {"open_of_tenant": 50, "open_of_agent": 0}, []),
        ({"open_max_per_agent": 4}, {"open_of_agent": 1}, ["TOO_MANY_OPEN"]),
    ],
)
def test_a_task_refuses_at_its_share(
    limits: dict[str, int], there: dict[str, Any], expected: list[str]
) -> None:
    """ceil(limit / partitions) of the tenant, and of the agent; without a limit, never."""
    world = limited(**limits)

    step = world.send(e.a_request(), partitions=4, **there)

    assert codes(step) == expected
    assert (world.state is None) == bool(expected)


def test_the_refusal_names_who_how_many_and_the_mend() -> None:
    """Of agent and tenant, the narrower limit is named."""
    world = limited(open_max=10, open_max_per_agent=6)

    step = world.send(e.a_request(), partitions=4, open_of_tenant=3, open_of_agent=2)

    assert refusal(step).message == (
        f"agent {e.AGENT} has 2 interrupts open in this task, whose share of open_max_per_agent 6 "
        "is 2; decide or cancel some, then ask again"
    )


def test_a_new_version_of_what_is_open_takes_no_room() -> None:
    """One interrupt ends, one opens; a reopened package takes room like a new one."""
    world = limited(open_max=1)
    world.send(e.a_request())
    package = e.a_package(version=2)
    second = e.a_request(interrupt_id="int-2", package=package)

    step = world.send(second, open_of_tenant=1, open_of_agent=1)

    assert codes(step) == []


def test_who_may_not_ask_is_not_told_what_is_open() -> None:
    """A wrong version is refused as that, whether or not there is room."""
    world = limited(open_max=1)

    step = world.send(e.a_request(package=e.a_package(version=2)), open_of_tenant=1)

    assert codes(step) == ["PACKAGE_VERSION_OUT_OF_ORDER"]

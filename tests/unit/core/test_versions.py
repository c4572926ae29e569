"""Versions of a package: who sends the next one, when, and what it ends."""

from __future__ import annotations

import pytest

from core.limits import LINEAGE_NAMES_MAX, VERSIONS_PER_PACKAGE_MAX
from schemas.events import CommandRefused, InterruptStatusChanged, ReviewTaskEvent
from schemas.requests import Contributor, InterruptRequested
from tests import examples as e
from tests.unit.core.world import (
    a_decision_by,
    a_next_request,
    a_policy,
    a_world,
    asked,
    code,
    codes,
    statuses,
)


@pytest.mark.parametrize("version", [1, 3])
def test_versions_come_in_order(version: int) -> None:
    """PACKAGE_VERSION_OUT_OF_ORDER: the next version is exactly the current one plus one."""
    step = asked().send(a_next_request(package={"version": version}))

    assert "PACKAGE_VERSION_OUT_OF_ORDER" == code(step)


def test_a_package_starts_at_version_one() -> None:
    """A new package with another version than 1 is refused."""
    step = a_world().send(a_next_request())

    assert "PACKAGE_VERSION_OUT_OF_ORDER" == code(step)


def test_only_the_first_signer_supersedes() -> None:
    """NOT_REQUESTER: another agent cannot put its version in the place of mine."""
    step = asked().send(a_next_request(package={"proposed_by": "agent:other"}))

    assert "NOT_REQUESTER" == code(step)


def test_an_unsigned_version_never_follows_a_signed_one() -> None:
    """Where policy allows unsigned requests, one that names my agent still does not speak for it."""
    world = asked(a_policy(policy_version="8", unsigned_requests="allow"))

    step = world.send(a_next_request(), signer=None)

    assert "NOT_REQUESTER" == code(step)


def test_an_unsigned_package_goes_on_unsigned() -> None:
    """Where policy allows unsigned requests, an unsigned package can be superseded by its own."""
    world = a_world(a_policy(policy_version="8", unsigned_requests="allow"))
    world.send(e.a_request(), signer=None)

    step = world.send(a_next_request(), signer=None)

    assert code(step) is None


def test_a_decided_package_stays_closed() -> None:
    """NOT_REOPENABLE: after a final reject the agent must start a package of its own."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "reject"))

    step = world.send(a_next_request())

    assert "NOT_REOPENABLE" == code(step)


def test_the_versions_of_a_package_are_bounded() -> None:
    """PACKAGE_FULL: a package that was revised too often takes no further version."""
    world = asked()
    for version in range(2, VERSIONS_PER_PACKAGE_MAX + 1):
        assert code(world.send(a_next_request(version))) is None

    step = world.send(a_next_request(VERSIONS_PER_PACKAGE_MAX + 1))

    assert "PACKAGE_FULL" == code(step)
    assert VERSIONS_PER_PACKAGE_MAX == len(world.now.interrupts)


def test_the_names_behind_a_package_are_bounded() -> None:
    """PACKAGE_FULL: a lineage longer than the state may carry is refused, not cut."""
    world = asked()

    def named(version: int) -> InterruptRequested:
        some = [Contributor(agent_id=f"a{version}.{n}", role="drafter") for n in range(64)]
        return a_next_request(version, package={"contributors": some})

    found = [code(world.send(named(version))) for version in range(2, 6)]

    assert [None, None, None, "PACKAGE_FULL"] == found
    assert world.now.accepted is not None
    assert len(world.now.accepted.lineage.drafters) <= LINEAGE_NAMES_MAX


def test_superseding_ends_the_old_interrupt_and_starts_the_clocks_again() -> None:
    """The old interrupt ends cancelled, superseded; the new one has its own time and task."""
    world = asked()
    world.clock += 3600

    step = world.send(a_next_request())

    opened = world.last(InterruptStatusChanged)
    assert [("cancelled", "superseded"), ("pending", None)] == statuses([step])
    assert (e.at(3600), e.at(3600 + 86_400)) == (opened.created_at, opened.decide_by)
    assert "int-2041-2" == world.last(ReviewTaskEvent).interrupt_id


def test_superseding_drops_approvals_and_escalations() -> None:
    """What people said of version n, and how far it had climbed, does not carry to n + 1."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = asked(a_policy(policy_version="8", rule={"approvals": two}))
    world.send(a_decision_by(e.REVIEWER))
    world.wait(86_401)

    world.send(a_next_request())

    assert ([], 0, "pending") == (world.now.approvals, world.now.ladder_step, world.now.status)


def test_an_approval_in_flight_is_void_for_the_next_version() -> None:
    """A decision on version n that arrives after n + 1 opened is stale and changes nothing."""
    world = asked()
    world.send(a_next_request())

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["STALE_PACKAGE_VERSION"] == codes(step)
    assert 2 == world.last(CommandRefused).current_package_version


def test_the_plan_is_pinned_at_intake() -> None:
    """A policy that is published later does not change what an open package needs."""
    world = asked()
    world.apply(a_policy(policy_version="8", rule={"approvals": [{"role": "legal"}]}))

    world.send(a_decision_by(e.REVIEWER))

    assert "decided" == world.now.status

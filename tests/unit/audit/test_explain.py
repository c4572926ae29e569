"""Why a control point stands where it stands."""

from __future__ import annotations

from typing import Any

from consumers.audit.explain import Explanation, explained
from core.directory import TenantContext
from schemas.state import ControlPointState
from tests import examples as e
from tests.unit.audit.stories import directories_of, told
from tests.unit.control.world import World, settle


def state_of(world: World) -> ControlPointState:
    """The control point as the changelog has it."""
    return world.all(ControlPointState)[-1]


def people_of(world: World) -> TenantContext:
    """The directory of now."""
    return directories_of(world).latest().tenant(e.TENANT)


def explain(world: World) -> Explanation:
    """The explanation of the story's control point, now."""
    return explained(state_of(world), people_of(world), world.clock())


def test_an_open_request_says_what_it_waits_for_and_until_when() -> None:
    """Slots, the next clock, and what it brings; nothing of it is an approval."""
    form = explain(told(until="asked")).form()

    assert form["waits_for"]["slots"] == [
        {"role": "senior_reviewer", "scope": "notice:approve", "distinct_team": False}
    ]
    assert (form["waits_for"]["have"], form["waits_for"]["need"]) == (0, 1)
    assert form["next_timer"]["name"] == "decide_by"
    assert "approve" not in form["next_timer"]["then"]
    assert "rule 'notices' of policy version 7" in form["because"]


def test_each_person_who_may_not_act_is_told_why() -> None:
    """By the same rules as the worker judges, every one that fails."""
    world = told(until="asked")
    world.directory(e.a_reviewer(reviewer_id="r.owner", max_risk_level="low", scopes=[]))
    world.directory(e.a_reviewer(reviewer_id="r.gone", removed=True))

    form = explain(world).form()

    assert form["may_act"] == ["r.boss", "r.lind", e.REVIEWER]
    assert [(one["reviewer_id"], one["codes"]) for one in form["may_not"]] == [
        ("r.owner", ["MISSING_SCOPE", "RISK_ABOVE_LIMIT", "SEPARATION_OF_DUTIES"])
    ]


def test_who_has_approved_may_not_approve_again() -> None:
    """Of a quorum of two, one is filled; the first approver is no longer eligible."""
    policy: dict[str, Any] = e.a_policy_form()
    slot = {"role": "senior_reviewer", "scope": "notice:approve", "distinct_team": True}
    policy["rules"][0]["approvals"] = [slot, slot]
    world = World(policy=policy)
    world.request()
    world.decide()
    settle(world.worker())

    form = explain(world).form()

    assert (form["waits_for"]["have"], form["waits_for"]["need"]) == (1, 2)
    assert form["approved_by"] == [e.REVIEWER]
    assert {one["reviewer_id"]: one["codes"] for one in form["may_not"]}[e.REVIEWER] == [
        "DUPLICATE_APPROVER"
    ]


def test_refusals_are_told() -> None:
    """The last ones, oldest first."""
    form = explain(told(until="approved")).form()

    assert [one["code"] for one in form["last_refusals"]][-1] == "DELEGATION_INVALID"


def test_what_comes_after_the_decision_is_told() -> None:
    """The gate, the executor and its report."""
    approved, taken, done = (
        explain(told(until=until)) for until in ("approved", "taken", "executed")
    )

    assert "no executor has taken the grant yet" in approved.because
    assert approved.timer is not None and approved.timer.name == "grant_valid_until"
    assert f"{e.EXECUTOR} took the grant and has not reported yet" in taken.because
    assert f"{e.EXECUTOR} took the grant and reported notice.sent" in done.because
    assert done.timer is None
    assert done.form()["waits_for"] is None


def test_a_command_that_waits_for_its_package_is_told() -> None:
    """Nobody has asked yet; the clock that gives it up runs."""
    world = World()
    world.decide()
    settle(world.worker())

    form = explain(world).form()

    assert form["status"] == "awaited"
    assert "nobody has asked for yet" in form["because"]
    assert form["next_timer"]["name"] == "park_ttl"


def test_a_requesters_own_end_is_told_as_theirs() -> None:
    """`expires_at` is not the policy's, so it does not escalate."""
    world = World()
    world.request(expires_at=e.at(600))
    settle(world.worker())

    then = explain(world).form()["next_timer"]["then"]

    assert "expires_at" in then

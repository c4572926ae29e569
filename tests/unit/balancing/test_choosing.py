"""Who gets which task: least load first, and nobody against whom a rule speaks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from consumers.balancing.choosing import (
    LOAD_MAX,
    Choice,
    Refused,
    awaits_somebody,
    choose,
    held_loads,
)
from schemas.directory import Absence, ReviewerAuthorization, ReviewerCapChanged
from schemas.state import ControlPointState
from schemas.topics import record_key
from tests import examples as e
from tests.unit.balancing.town import BALANCER, the_balancer
from tests.unit.core.world import World, a_decision_by, a_person, a_policy, asked

NOW = e.at(60)


def removed(*names: str) -> list[ReviewerAuthorization]:
    """These people are no longer in the directory."""
    return [a_person(name, removed=True) for name in names]


def with_people(*people: ReviewerAuthorization, **request: Any) -> World:
    """The example request is open, and these are the only reviewers."""
    world = asked(**request)
    names = list(world.directory.tenant(e.TENANT).reviewers)
    world.apply(*removed(*names), the_balancer(), *people)
    return world


def chosen(
    world: World,
    *more: ControlPointState,
    loads: Mapping[str, int] | None = None,
    refused: Refused | None = None,
) -> Choice:
    """What the balancer would choose in this world now."""
    tenant = world.directory.tenant(e.TENANT)
    return choose([world.now, *more], tenant, NOW, loads or {}, by=BALANCER, refused=refused or {})


def assignees(choice: Choice) -> list[str]:
    """Who gets the tasks, in the order of the queue."""
    return [one.assignee for one in choice.assignments]


def another(state: ControlPointState, number: int, **plan: Any) -> ControlPointState:
    """A package like this one, planned a little otherwise."""
    assert state.accepted is not None
    package_id = f"pkg-{number}"
    accepted = state.accepted.model_copy(
        update={"plan": state.accepted.plan.model_copy(update=plan)}
    )
    return state.model_copy(update={"decision_package_id": package_id, "accepted": accepted})


def test_the_least_loaded_gets_it() -> None:
    """Of two who may, the one with less to do."""
    world = with_people(a_person("r.a"), a_person("r.b"))

    assert assignees(chosen(world, loads={"r.a": 8, "r.b": 4})) == ["r.b"]
    assert assignees(chosen(world, loads={"r.a": 4, "r.b": 8})) == ["r.a"]


def test_what_is_assigned_counts_at_once() -> None:
    """Ten equal tasks are spread evenly over two people."""
    world = with_people(a_person("r.a"), a_person("r.b"))
    found = assignees(chosen(world, *[another(world.now, n) for n in range(9)]))

    assert len(found) == 10
    assert found.count("r.a") == 5


def test_a_grave_task_weighs_more() -> None:
    """One critical task is as much as eight of low risk."""
    world = with_people(a_person("r.a"), a_person("r.b"))
    critical = another(world.now, 0, effective_risk="critical", priority=9)
    low = [another(world.now, n, effective_risk="low") for n in range(1, 9)]
    tenant = world.directory.tenant(e.TENANT)
    found = choose([critical, *low], tenant, NOW, {}, by=BALANCER)

    first, *others = assignees(found)
    assert first not in others
    assert len(others) == 8


def test_the_choice_is_the_same_each_time() -> None:
    """The order in which the states are found, and the people, changes nothing."""
    people = [a_person(f"r.{n}") for n in range(5)]
    world = with_people(*people)
    states = [another(world.now, n) for n in range(10)]
    again = with_people(*reversed(people))

    there = {one.key: one.assignee for one in chosen(world, *states).assignments}
    back = {one.key: one.assignee for one in chosen(again, *reversed(states)).assignments}
    assert there == back
    assert len(set(there.values())) == 5


def test_the_most_urgent_first() -> None:
    """Priority, then risk, then the deadline; the last place goes to the most urgent."""
    world = with_people(a_person("r.a"))
    urgent = another(world.now, 1, priority=5, effective_risk="low")
    grave = another(world.now, 2, effective_risk="critical")
    soon = another(world.now, 3).model_copy(update={"decide_by": e.at(600)})
    found = chosen(world, soon, grave, urgent).assignments

    assert [one.decision_package_id for one in found] == ["pkg-1", "pkg-2", "pkg-3", e.PACKAGE_ID]
    (only,) = chosen(world, soon, grave, urgent, loads={"r.a": LOAD_MAX - 1}).assignments
    assert only.decision_package_id == "pkg-1"


@pytest.mark.parametrize(
    "unfit",
    [
        a_person("r.a", conflicts=["case:case-5512"]),
        a_person("r.a", "reviewer"),
        a_person("r.a", scopes=["notice:reject"]),
        a_person("r.a", max_risk_level="low"),
        a_person("r.a", active_until=e.at(30)),
        a_person("r.a", absences=[Absence(valid_from=e.NOW, valid_until=e.at(3600))]),
        a_person("r.a", removed=True),
        a_person("r.a", linked_identities=[e.REQUESTER]),
    ],
    ids=["conflict", "role", "scope", "risk", "ended", "absent", "removed", "requester"],
)
def test_nobody_who_may_not(unfit: ReviewerAuthorization) -> None:
    """Whoever has less to do gets nothing where a rule speaks against them."""
    world = with_people(unfit, a_person("r.b"))

    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.b"]


def test_nobody_who_is_capped() -> None:
    """Until their cap ends."""
    world = with_people(a_person("r.a"), a_person("r.b"))
    cap = ReviewerCapChanged(
        event_id="ev", tenant_id=e.TENANT, reviewer_id="r.a", capped_until=e.at(61), decided=3,
        occurred_at=e.NOW,
    )  # fmt: skip
    world.apply(cap)
    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.b"]

    world = with_people(a_person("r.a"), a_person("r.b"))
    world.apply(cap.model_copy(update={"capped_until": NOW}))
    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.a"]


def test_nobody_who_stepped_aside() -> None:
    """A recusal is kept."""
    world = with_people(a_person("r.a"), a_person("r.b"))
    world.send(e.a_task_command(action="recuse", reviewer_id="r.a", comment="a friend's"))

    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.b"]


def test_the_second_slot_goes_to_another() -> None:
    """Who has approved a version is not asked for its second approval."""
    rule = {"approvals": [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]}
    world = asked(a_policy(rule=rule, policy_version="8"))
    names = [n for n in world.directory.tenant(e.TENANT).reviewers if n != e.REVIEWER]
    world.apply(*removed(*names), the_balancer(), a_person("r.b"))
    step = world.send(a_decision_by(e.REVIEWER))
    assert step.verdict == "recorded"

    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.b"]


def test_nobody_is_left() -> None:
    """Then nothing is assigned, and it is said."""
    world = with_people(a_person("r.a", conflicts=["case:case-5512"]))
    found = chosen(world)

    assert found.assignments == ()
    assert found.left == {record_key(e.TENANT, e.PACKAGE_ID): "nobody_eligible"}


def test_whoever_is_full_gets_nothing() -> None:
    """And when everyone is, nothing is looked at."""
    world = with_people(a_person("r.a"), a_person("r.b"))

    assert assignees(chosen(world, loads={"r.a": LOAD_MAX, "r.b": LOAD_MAX - 1})) == ["r.b"]
    assert chosen(world, loads={"r.a": LOAD_MAX, "r.b": LOAD_MAX}) == Choice()


def test_a_person_with_two_ids_has_one_load() -> None:
    """What they hold under the other id counts."""
    world = with_people(a_person("r.a", linked_identities=["r.a2"]), a_person("r.b"))

    assert assignees(chosen(world, loads={"r.a2": 8, "r.b": 4})) == ["r.b"]


def test_not_to_whom_it_was_refused() -> None:
    """The next one gets it."""
    world = with_people(a_person("r.a"), a_person("r.b"))
    refused = {record_key(e.TENANT, e.PACKAGE_ID): frozenset({"r.a"})}

    assert assignees(chosen(world, loads={"r.b": 20}, refused=refused)) == ["r.b"]


def test_the_balancer_is_no_reviewer() -> None:
    """It never assigns to itself, whatever it holds."""
    world = with_people(a_person("r.b"))
    world.apply(a_person(BALANCER))

    assert assignees(chosen(world, loads={"r.b": 20})) == ["r.b"]


def test_a_subject_the_balancer_has_no_scope_of() -> None:
    """It says so and asks for nothing that would be refused."""
    world = with_people(a_person("r.a"))
    world.apply(the_balancer(scopes=["payment:balance"]))
    found = chosen(world)

    assert found.assignments == ()
    assert list(found.left.values()) == ["not_entitled"]


def test_what_awaits_nobody() -> None:
    """Held, deferred, closed, out of time, in its objection window, waiting for a confirmation."""
    state = asked().now
    assert awaits_somebody(state, NOW)

    for change in (
        {"assigned_to": "r.a"},
        {"assigned_to": "r.a", "lease_until": e.at(1)},
        {"deferred_until": e.at(3600)},
        {"status": "decided"},
        {"status": "awaited", "accepted": None},
        {"decide_by": e.at(59)},
        {"decide_by_source": "objection_window"},
        {"override": e.a_state()},
    ):
        assert not awaits_somebody(state.model_copy(update=change), NOW), change


def test_who_holds_what() -> None:
    """Open tasks by the risk; a claim that ran out and a deferred task weigh nothing."""
    state = asked().now
    states = [
        another(state, 1, effective_risk="critical").model_copy(update={"assigned_to": "r.a"}),
        another(state, 2, effective_risk="low").model_copy(update={"assigned_to": "r.a"}),
        another(state, 3).model_copy(
            update={"assigned_to": "r.a", "lease_until": NOW - timedelta(seconds=1)}
        ),
        another(state, 4).model_copy(update={"assigned_to": "r.b", "deferred_until": e.at(999)}),
        another(state, 5).model_copy(update={"assigned_to": "r.b", "status": "decided"}),
        another(state, 6),
    ]

    assert held_loads(states, NOW) == {"r.a": 9}

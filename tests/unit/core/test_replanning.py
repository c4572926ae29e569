"""A policy change alters nothing that is open, unless the policy says so; each decision names its
policy."""

from __future__ import annotations

from typing import Any

import pytest

from core.directory import DirectoryRecord
from schemas.events import (
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.state import PackageReplanned
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    changes,
    decides,
    granted,
    medium,
    on_the_loop,
    open_world,
    quorum,
    standing,
    works,
)
from tests.unit.core.world import World, a_policy, codes, gates, of

TWO = [{"role": "senior_reviewer"}, {"role": "legal"}]


def _newer(
    *, reapply: bool = True, rule: dict[str, Any] | None = None, **over: Any
) -> DirectoryRecord:
    form = {"approvals": TWO} | (rule or {})
    return a_policy(policy_version="9", reapply_to_open=reapply, rule=form, **over)


def _plan_of(world: World) -> tuple[str, int]:
    assert world.now.accepted is not None
    plan = world.now.accepted.plan
    return plan.policy_version, len(plan.slots)


def test_a_newer_policy_leaves_an_open_package_alone() -> None:
    """The plan is pinned at intake, with its version; one approval still completes it."""
    world = open_world()
    world.apply(_newer(reapply=False))

    step = world.send(decides("r.lind"))

    assert ["opened"] == gates([step])
    assert {e.POLICY_VERSION} == {
        of(step.events, HumanDecisionEvent)[0].policy_version,
        of(step.events, ToolGateEvent)[0].policy_version,
    }


def test_a_policy_that_says_so_plans_anew() -> None:
    """At the next input of the package: the new quorum holds, and its version stands on decisions."""
    world = open_world()
    world.apply(_newer())

    first = world.send(decides("r.lind"))
    second = world.send(decides("r.legal"))

    assert [1] == [len(of(first.events, PackageReplanned))]
    assert [] == of(second.events, PackageReplanned)
    assert ("9", 2) == _plan_of(world)
    assert ["9", "9"] == [d.policy_version for d in of(world.events, HumanDecisionEvent)]
    assert [[], ["opened"]] == [gates([first]), gates([second])]


def test_planning_anew_is_told_on_the_task() -> None:
    """The queue hears of it before the input is judged."""
    world = open_world()
    world.apply(_newer())

    world.send(works("r.lind", "comment", comment="Seen."))

    assert ["replanned", "commented"] == changes(world)[-2:]


def test_who_is_not_admitted_replans_nothing() -> None:
    """A stranger's record moves nothing."""
    world = open_world()
    world.apply(_newer())

    world.send(decides("r.lind"), signer=None, signature_present=True)

    assert (e.POLICY_VERSION, 1) == _plan_of(world)


def test_approvals_count_on_under_the_new_plan() -> None:
    """What was approved stands where the new plan has its slot."""
    world = open_world(quorum("senior_reviewer", "senior_reviewer"))
    world.send(decides("r.lind"))
    world.apply(_newer())

    assert ["opened"] == gates([world.send(decides("r.legal"))])


def test_a_hold_survives_a_new_plan() -> None:
    """Who claimed the task holds it on."""
    world = open_world()
    world.send(works("r.lind", "claim"))
    world.apply(_newer())

    step = world.send(decides(e.REVIEWER))

    assert ["NOT_ASSIGNEE"] == codes(step)
    assert "r.lind" == of(step.events, ReviewTaskEvent)[0].assigned_to


@pytest.mark.parametrize("mode", ["on_the_loop", "out_of_the_loop"])
def test_a_new_plan_never_takes_the_people_out(mode: str) -> None:
    """What waits for a person goes on waiting for one."""
    free = [e.a_policy_form()["tools"][0] | {"approval_required": False}]
    world = open_world(**medium())
    world.apply(_newer(rule={"mode": mode}, tools=free))

    world.send(works("r.lind", "comment", comment="Seen."))

    assert world.now.accepted is not None
    assert "in_the_loop" == world.now.accepted.plan.mode
    assert "opened" not in gates(world.wait(DAY + 1))


@pytest.mark.parametrize("mode", ["in_the_loop", "human_led"])
def test_a_window_ends_with_the_plan_that_gave_it(mode: str) -> None:
    """A package on the loop that is planned anew to wait for people opens by no window; they
    have the time of the new plan."""
    world = open_world(on_the_loop(), **medium())
    world.apply(_newer(rule={"mode": mode}))
    world.clock = HOUR / 2
    world.send(works("r.lind", "comment", comment="Seen."))

    steps = world.wait(HOUR)

    assert [] == gates(steps)
    assert (e.at(HOUR / 2 + DAY), "policy") == (world.now.decide_by, world.now.decide_by_source)
    assert [] == codes(world.send(decides("r.lind", reviewer_rationale="Carried.")))


def test_a_window_goes_on_under_a_plan_that_keeps_it() -> None:
    """Still on the loop: nobody loses the window that was given."""
    world = open_world(on_the_loop(), **medium())
    tools = [e.a_policy_form()["tools"][0] | {"approval_required": False}]
    rule = {"mode": "on_the_loop", "approvals": TWO[:1]}
    world.apply(_newer(rule=rule, tools=tools))
    world.send(works("r.lind", "comment", comment="Seen."))

    assert ["opened"] == gates(world.wait(HOUR + 1))
    assert "9" == world.last(ToolGateEvent).policy_version


def test_a_new_plan_lists_what_it_rests_on() -> None:
    """An exception granted since intake that changes the new plan is listed, and needs people."""
    world = open_world(package=e.a_package(risk_level="low"))
    world.apply(granted(kind="threshold"), _newer())

    world.send(decides("r.lind"))

    assert ["exc-1"] == world.last(HumanDecisionEvent).exceptions_used


def test_a_new_plan_that_nobody_can_decide_goes_up() -> None:
    """No eligible reviewer under the new plan: escalated at once."""
    world = open_world()
    world.apply(_newer(rule={"approvals": [{"role": "auditor"}]}))

    world.send(works("r.lind", "comment", comment="Seen."))

    assert world.last(InterruptStatusChanged).reason.startswith("NO_ELIGIBLE_REVIEWER")
    assert ("escalated", None) == standing(world)


def test_what_is_closed_is_not_planned_anew() -> None:
    """A decision keeps the policy it was made under, also in what follows it."""
    world = open_world()
    world.send(decides("r.lind"))
    world.apply(_newer())

    step = world.send(by(e.a_revocation, "r.lind"))

    assert [] == of(step.events, PackageReplanned)
    assert e.POLICY_VERSION == of(step.events, HumanDecisionEvent)[0].policy_version


def test_every_recorded_act_names_the_policy() -> None:
    """Escalations, overrides, exceptions, verdicts and revocations name the version of the plan."""
    world = open_world(a_policy(policy_version="8", rule={"audit_sample": 1.0}))
    world.send(by(e.an_exception, "r.lind"))
    world.send(decides("r.lind", "defer", defer_until=e.at(60)))
    world.send(decides("r.lind", "escalate"))
    world.send(by(e.an_override, "r.head"))
    digest = world.last(HumanDecisionEvent).action_digest
    world.send(decides("r.chief", action_digest=digest))
    world.send(by(e.a_verdict, "r.legal"))
    world.send(by(e.a_revocation, "r.head"))

    acts = of(world.events, HumanDecisionEvent)
    assert [
        "grant_exception", "defer", "escalate", "override", "approve", "audit_verdict", "revoke"
    ] == [act.decision for act in acts]  # fmt: skip
    assert {"8"} == {act.policy_version for act in acts}
    assert {"draft_to_send"} == {act.authority_transition for act in acts}


def test_a_new_plan_that_asks_for_fewer_is_closed_by_one_more_word() -> None:
    """One of two had approved; the newer policy asks for one: the next approval opens the gate and
    stands last in the list of those it rests on."""
    two = {"approvals": [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]}
    world = open_world(a_policy(policy_version="8", rule=two))
    world.send(decides("r.lind"))
    world.apply(_newer(rule={"approvals": [{"role": "senior_reviewer"}]}))

    step = world.send(decides(e.REVIEWER))

    gate = of(step.events, ToolGateEvent)[0]
    assert ("opened", of(step.events, HumanDecisionEvent)[0].event_id) == (
        gate.gate,
        gate.decision_event_ids[-1],
    )

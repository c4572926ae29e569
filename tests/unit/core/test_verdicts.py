"""After the loop: a sampled audit, blind to the decision, and its verdict."""

from __future__ import annotations

from typing import Any

import pytest

from core.context import DRAW_MAX
from core.step import Step
from schemas.events import HumanDecisionEvent, ReviewTaskEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    decides,
    medium,
    on_the_loop,
    open_world,
    quorum,
    somebody,
)
from tests.unit.core.world import World, a_policy, code, codes, gates, of


def _sampled(share: float = 1.0, **rule: Any) -> World:
    return open_world(quorum("senior_reviewer", audit_sample=share, **rule))


def _audited() -> World:
    world = _sampled()
    world.send(decides("r.lind"))
    return world


def _opened(step: Step) -> list[ReviewTaskEvent]:
    return [task for task in of(step.events, ReviewTaskEvent) if task.change == "audit_opened"]


def _judges(world: World, reviewer_id: str = e.REVIEWER, **over: Any) -> Step:
    return world.send(by(e.a_verdict, reviewer_id, **over))


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_that_stands_is_sampled(decision: str) -> None:
    """An audit task of its own is opened beside the closed review task."""
    world = _sampled()
    step = world.send(decides("r.lind", decision))
    created = of(world.events, ReviewTaskEvent)[0]

    audit = _opened(step)[0]

    assert ("audit", None) == (audit.status, audit.actor)
    assert created.review_task_id != audit.review_task_id


def test_the_audit_task_says_nothing_of_the_decision() -> None:
    """Approved or rejected, the task reads the same but for the ids."""
    tasks = []
    for decision in ("approve", "reject"):
        audit = _opened(_sampled().send(decides("r.lind", decision)))[0]
        tasks.append(audit.model_dump(exclude={"event_id", "review_task_id"}))

    assert tasks[0] == tasks[1]
    assert all(word not in str(tasks[0]) for word in ("approve'", "reject", "r.lind"))


@pytest.mark.parametrize("decision", ["revise", "request_more_evidence"])
def test_what_goes_back_to_the_agent_is_not_audited(decision: str) -> None:
    """It will be decided again."""
    assert [] == _opened(_sampled().send(decides("r.lind", decision)))


@pytest.mark.parametrize(
    ("share", "draw", "drawn"),
    [(0.0, 0, False), (0.5, 2**52 - 1, True), (0.5, 2**52, False), (1.0, DRAW_MAX, True)],
)
def test_the_draw_decides_against_the_policys_share(share: float, draw: int, drawn: bool) -> None:
    """The lowest draws are audited, as many as the policy's share of them."""
    step = _sampled(share).send(decides("r.lind"), draw=draw)

    assert drawn == bool(_opened(step))


def test_what_a_window_opened_is_sampled() -> None:
    """A decision of nobody is audited like one of somebody."""
    world = open_world(on_the_loop(audit_sample=1.0), **medium())

    assert [1] == [len(_opened(step)) for step in world.wait(HOUR + 1) if gates([step])]


def test_an_objection_is_sampled() -> None:
    """So is what a monitor stopped."""
    world = open_world(on_the_loop(audit_sample=1.0), **medium())

    assert 1 == len(_opened(world.send(decides("r.diaz", "object"))))


def test_a_rejection_by_time_is_sampled() -> None:
    """And what the clock rejected."""
    world = open_world(
        a_policy(policy_version="8", rule={"on_timeout": "auto_reject", "audit_sample": 1.0})
    )

    assert [1] == [len(_opened(s)) for s in world.wait(DAY + 1) if gates([s])]


@pytest.mark.parametrize("verdict", ["agree", "disagree", "defect"])
def test_a_verdict_closes_the_audit(verdict: str) -> None:
    """It is recorded with its words, not final, and the gate stays as it was."""
    world = _audited()

    step = _judges(world, verdict=verdict)

    decision = of(step.events, HumanDecisionEvent)[0]
    assert ("audit_verdict", False, verdict) == (
        decision.decision, decision.final, decision.verdict
    )  # fmt: skip
    assert "audit_closed" == of(step.events, ReviewTaskEvent)[0].change
    assert ("decided", "open") == (world.now.status, world.now.gate)


def test_one_verdict_an_audit() -> None:
    """The second is told NOT_OPEN."""
    world = _audited()
    _judges(world)

    assert ["NOT_OPEN"] == codes(_judges(world, "r.head"))


def test_what_was_not_drawn_has_no_audit() -> None:
    """Without an open audit there is nothing to judge."""
    world = _sampled(0.0)
    world.send(decides("r.lind"))

    assert ["NOT_OPEN"] == codes(_judges(world))


REFUSED: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "the decider": (["SEPARATION_OF_DUTIES"], {"reviewer_id": "r.lind"}, {}),
    "the decider's other id": (
        ["SEPARATION_OF_DUTIES"],
        {"reviewer_id": "r.x"},
        {"linked_identities": ["r.lind"]},
    ),
    "the requester": (
        ["SEPARATION_OF_DUTIES"],
        {"reviewer_id": "r.x"},
        {"linked_identities": [e.REQUESTER]},
    ),
    "no words": (["COMMENT_REQUIRED"], {"comment": "\t"}, {}),
    "no scope": (["MISSING_SCOPE"], {"reviewer_id": "r.x"}, {"scopes": ["notice:approve"]}),
    "ceiling": (["RISK_ABOVE_LIMIT"], {"reviewer_id": "r.x"}, {"max_risk_level": "low"}),
    "stale": (["STALE_PACKAGE_VERSION"], {"expected_package_version": 2}, {}),
    "all in their order": (
        ["SEPARATION_OF_DUTIES", "CONFLICT_OF_INTEREST", "COMMENT_REQUIRED"],
        {"reviewer_id": "r.x", "comment": " "},
        {"linked_identities": ["r.lind"], "conflicts": ["case:case-5512"]},
    ),
    "each rule once": (
        ["SEPARATION_OF_DUTIES"],
        {"reviewer_id": "r.x"},
        {"linked_identities": ["r.lind", e.REQUESTER]},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_verdict_that_is_refused_leaves_the_audit_open(name: str) -> None:
    """Independence, authority and words are asked; every failing rule is named once, in order."""
    wanted, over, person = REFUSED[name]
    world = _audited()
    world.apply(somebody("r.x", **person))

    assert wanted == codes(_judges(world, **over))
    assert world.now.audit is not None
    assert not world.now.audit.closed


def test_each_of_a_quorum_is_a_decider() -> None:
    """Nobody whose approval led to it audits it, nor who escalated it."""
    world = open_world(quorum("senior_reviewer", "legal", audit_sample=1.0))
    world.send(decides(e.REVIEWER, "escalate"))
    world.send(decides("r.head"))
    world.send(decides("r.legal"))

    for name in (e.REVIEWER, "r.head", "r.legal"):
        assert "SEPARATION_OF_DUTIES" == code(_judges(world, name))
    assert [] == codes(_judges(world, "r.chief"))

"""Why a control point stands where it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from consumers.audit.explain import Explanation, explained
from core.directory import TenantContext
from schemas.directory import Absence, ReviewerCapChanged
from schemas.state import ControlPointState
from tests import examples as e
from tests.stories.stage import (
    AUDITOR,
    HEAD,
    HOUR,
    MONITOR,
    ORGANISER,
    OTHER_HEAD,
    OTHER_SENIOR,
    SENIOR,
    Stage,
)
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
    assert [clock["name"] for clock in form["clocks"]] == ["sla_warning", "decide_by"]
    assert form["next_timer"] == form["clocks"][0]
    assert "50 % of the time" in form["clocks"][0]["then"]
    assert not any("approve" in clock["then"] for clock in form["clocks"])
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

    clocks = {clock["name"]: clock["then"] for clock in explain(world).form()["clocks"]}

    assert "expires_at" in clocks["decide_by"]


def barred(form: dict[str, Any]) -> dict[str, list[str]]:
    """Who may not act, and by which codes."""
    return {one["reviewer_id"]: one["codes"] for one in form["may_not"]}


def test_a_window_waits_for_its_end_and_who_may_object() -> None:
    """On the loop nobody approves; the clock says that the gate opens."""
    stage = Stage(mode="on_the_loop", objection_window="1h")
    stage.request()

    form = explain(stage.world).form()

    assert (form["waits_for"]["kind"], form["waits_for"]["act"]) == ("objection_window", "object")
    assert "objection window at" in form["waits_for"]["what"]
    assert MONITOR in form["may_act"]
    assert barred(form)[AUDITOR] == ["MISSING_SCOPE"]
    clocks = {clock["name"]: clock["then"] for clock in form["clocks"]}
    assert "unless somebody objects" in clocks["objection_window"]


def test_a_deferral_waits_for_its_time_or_its_condition() -> None:
    """Both are named, and what comes then."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "defer", defer_until=stage.world.clock() + timedelta(hours=2),
                 defer_condition="the second sample is back")  # fmt: skip

    form = explain(stage.world).form()

    assert form["waits_for"]["kind"] == "deferral"
    assert "met: the second sample is back; then for 1 of 1 approvals" in form["waits_for"]["what"]
    assert "deferral" in [clock["name"] for clock in form["clocks"]]


def test_an_override_waits_for_another_person_of_its_authority() -> None:
    """Not for its author, and not for who could only approve the package."""
    stage = Stage()
    stage.request()
    stage.command(e.an_override(**stage.ids(), reviewer_id=HEAD))

    form = explain(stage.world).form()

    assert (form["waits_for"]["kind"], form["may_act"]) == ("confirmation", [OTHER_HEAD])
    assert f"override by {HEAD}" in form["waits_for"]["what"]
    assert barred(form)[HEAD] == ["SEPARATION_OF_DUTIES"]
    assert "MISSING_ROLE" in barred(form)[SENIOR]


def test_who_holds_the_task_bars_the_others() -> None:
    """NOT_ASSIGNEE, until the claim ends, which is a clock too."""
    stage = Stage()
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), reviewer_id=SENIOR))

    form = explain(stage.world).form()

    assert (form["held_by"], form["may_act"]) == (SENIOR, [SENIOR])
    assert barred(form)[OTHER_SENIOR] == ["NOT_ASSIGNEE"]
    assert {clock["name"]: clock["then"] for clock in form["clocks"]}["claim_lease"] == (
        f"the claim of {SENIOR} ends, and others may decide"
    )


def test_who_stepped_aside_is_absent_or_has_decided_enough_may_not_act() -> None:
    """Each with the reason."""
    stage = Stage()
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), action="recuse", reviewer_id=SENIOR))
    now = stage.world.clock()
    away = Absence(valid_from=now, valid_until=now + timedelta(days=7))
    stage.world.directory(e.a_reviewer(reviewer_id=OTHER_SENIOR, absences=[away]))
    stage.world.directory(
        ReviewerCapChanged(
            event_id="cap-1",
            tenant_id=e.TENANT,
            reviewer_id=HEAD,
            capped_until=now + timedelta(hours=1),
            decided=20,
            occurred_at=now,
        )
    )

    form = explain(stage.world).form()

    reasons = {one["reviewer_id"]: " ".join(one["reasons"]) for one in form["may_not"]}
    assert form["recused"] == [SENIOR]
    assert barred(form)[SENIOR] == ["CONFLICT_OF_INTEREST"]
    assert "stepped aside" in reasons[SENIOR]
    assert barred(form)[OTHER_SENIOR] == ["UNKNOWN_REVIEWER"]
    assert "absent until" in reasons[OTHER_SENIOR]
    assert barred(form)[HEAD] == ["DECISION_NOT_ALLOWED"]
    assert "within the hour" in reasons[HEAD]
    assert form["may_act"] == [OTHER_HEAD]


def test_an_exception_that_has_ended_bars_every_approval() -> None:
    """The intake rested on it; the worker would refuse them all."""
    stage = Stage()
    stage.request()
    until = stage.world.clock() + timedelta(hours=1)
    stage.command(
        e.an_exception(**stage.ids(), kind="missing_evidence", applies_to="pkg-next",
                       expires_at=until)
    )  # fmt: skip
    package = e.a_package(decision_package_id="pkg-next", evidence_refs=[])
    stage.request(interrupt_id="int-next", package=package)
    before = explained(stage.state("pkg-next"), people_of(stage.world), stage.world.clock())
    stage.later(HOUR + 1)
    after = explained(stage.state("pkg-next"), people_of(stage.world), stage.world.clock())

    assert SENIOR in before.form()["may_act"]
    assert after.form()["may_act"] == []
    assert barred(after.form())[SENIOR] == ["DECISION_NOT_ALLOWED"]


def test_an_open_audit_waits_for_somebody_who_did_not_decide() -> None:
    """After the decision; then nothing is waited for."""
    stage = Stage(audit_sample=1.0)
    stage.world.directory(
        e.a_reviewer(reviewer_id=SENIOR, scopes=["notice:approve", "notice:audit_verdict"])
    )
    stage.request()
    stage.decide(SENIOR, "approve")
    blind, state = explain(stage.world).form(), state_of(stage.world)
    form = explained(state, people_of(stage.world), stage.world.clock(), unblind=True).form()
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR))

    assert (form["waits_for"]["kind"], form["may_act"]) == ("audit_verdict", [AUDITOR])
    assert (blind["waits_for"], blind["may_act"]) == (form["waits_for"], form["may_act"])
    assert (form["outcome"], "outcome" in blind, blind["clocks"]) == ("approve", False, [])
    assert SENIOR not in barred(blind)
    assert barred(form)[SENIOR] == ["SEPARATION_OF_DUTIES"]
    assert barred(form)[ORGANISER] == ["MISSING_SCOPE"]
    assert explain(stage.world).waiting is None


def test_who_was_shown_the_package_is_told() -> None:
    """And when."""
    stage = Stage()
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), action="present", presented_digest="ab" * 32))

    [shown] = explain(stage.world).form()["shown_to"]

    assert (shown["reviewer_id"], shown["presented_digest"]) == (SENIOR, "ab" * 32)


def test_an_expired_interrupt_is_expired_and_no_more() -> None:
    """The outcome is told where it says more than the status."""
    stage = Stage(on_timeout="expire")
    stage.request()
    stage.later(30 * 24 * HOUR)

    assert explain(stage.world).because == "the interrupt is expired; the gate is denied"


def test_an_exception_that_the_plan_rests_on_is_told_with_its_terms() -> None:
    """From the directory, since it was granted at another package; until it has ended."""
    stage = Stage()
    stage.request()
    until = stage.world.clock() + timedelta(hours=1)
    stage.command(
        e.an_exception(**stage.ids(), kind="missing_evidence", applies_to="pkg-next",
                       expires_at=until)
    )  # fmt: skip
    package = e.a_package(decision_package_id="pkg-next", evidence_refs=[])
    stage.request(interrupt_id="int-next", package=package)

    def told_now() -> list[str]:
        state = stage.state("pkg-next")
        found = explained(state, people_of(stage.world), stage.world.clock()).excepted
        return [one.line() for one in found]

    before = told_now()
    stage.later(HOUR + 1)

    [line] = before
    assert ": missing_evidence for pkg-next, until " in line
    assert line.endswith("; the plan rests on it")
    assert ", ended; the plan rests on it" in told_now()[0]

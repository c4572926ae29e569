"""The nine questions, answered from a journal."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from consumers.audit.trail import QUESTIONS, UnknownPackage, audited
from tests import examples as e
from tests.stories.stage import AUDITOR, HEAD, HOUR, MONITOR, OTHER_HEAD, SENIOR, Stage
from tests.stories.tales import (
    TALES,
    decided_for_another,
    memory_kept,
    replanned_by_policy,
    reported_without_take,
)
from tests.unit.audit.stories import gate_of, history_of, told
from tests.unit.control.world import World, settle


def test_every_question_of_the_requirements_is_answered_after_execution() -> None:
    """Section 24, in its order: nine answers, nothing open."""
    audit = audited(history_of(told()))

    assert list(audit.answers) == list(QUESTIONS)
    assert len(QUESTIONS) == 9
    assert (audit.complete, audit.missing) == (True, ())
    assert json.loads(json.dumps(audit.form()))["complete"] is True


def test_what_was_proposed_and_by_whom() -> None:
    """The package, its digests, who signed it, and who is barred by it."""
    answers = audited(history_of(told())).answers

    proposed, by_whom = answers["what_was_proposed"], answers["by_whom"]
    assert proposed["title"] == e.a_package().title
    assert proposed["action_digest"] == e.ACTION_DIGEST
    assert [one["interrupt_id"] for one in proposed["versions"]] == [e.INTERRUPT_ID]
    assert by_whom["signed_by"] == e.AGENT
    assert "r.owner" in by_whom["may_not_approve"]


def test_who_approved_what_and_under_which_authority() -> None:
    """The approval that opened the gate, its key, the roles of then and the policy."""
    answers = audited(history_of(told())).answers

    [approval] = answers["who_approved"]
    assert (approval["reviewer_id"], approval["opened_the_gate"]) == (e.REVIEWER, True)
    assert approval["kid"]
    authority = answers["under_what_authority"]
    assert (authority["policy_version"], authority["mode"]) == (e.POLICY_VERSION, "in_the_loop")
    assert authority["deciders"][0]["roles"] == ["senior_reviewer"]
    [seen] = answers["what_the_human_saw"]
    assert seen["action_digest_named"] == e.ACTION_DIGEST
    assert seen["showing"].startswith("not recorded")


def test_approval_is_not_execution() -> None:
    """Approved and taken is not done: the answer says so, and the audit is not complete."""
    approved, taken, done = (
        audited(history_of(told(until=until))) for until in ("approved", "taken", "executed")
    )

    assert [a.answers["was_it_executed"]["executed"] for a in (approved, taken, done)] == [
        "not_yet",
        "not_yet",
        "yes",
    ]
    assert approved.missing == ("approved, and not executed yet: the grant is open",)
    assert taken.missing == ("an executor took the grant and has not reported yet",)
    [receipt] = done.answers["was_it_executed"]["receipts"]
    assert receipt["receipt"]["provider_message_id"] == e.a_notice_sent().provider_message_id


def test_an_open_request_is_not_complete() -> None:
    """Nobody has decided."""
    audit = audited(history_of(told(until="asked")))

    assert audit.missing == ("not decided yet: waits for senior_reviewer",)
    assert audit.answers["who_approved"] == []


def test_a_rejection_is_complete_without_execution() -> None:
    """The gate is denied, and nothing more will happen."""
    world = told(until="asked")
    world.decide(decision="reject")
    settle(world.worker())

    audit = audited(history_of(world))

    assert (audit.complete, audit.answers["was_it_executed"]["executed"]) == (True, "no")
    assert [c["what"] for c in audit.answers["what_happened_after"]] == [
        "interrupt pending",
        "interrupt decided",
        "gate denied",
    ]


def test_an_execution_in_doubt_stays_open_until_somebody_reports() -> None:
    """In doubt is neither yes nor no."""
    world = told(until="taken")
    receipt = e.an_in_doubt(grant_id=gate_of(world).grant_id)
    world.send(receipt, e.EXECUTOR, receipt.event_id)
    settle(world.worker())

    audit = audited(history_of(world))

    assert (audit.complete, audit.answers["was_it_executed"]["executed"]) == (False, "in_doubt")


def test_a_revoked_grant_and_a_reversed_outcome_are_told() -> None:
    """Question nine: what was taken back, and what came of it later."""
    revoked = told(until="approved")
    cancelled = e.a_cancellation()
    revoked.send(cancelled, e.AGENT, cancelled.interrupt_id)
    settle(revoked.worker())
    reversed_ = told()
    report = e.an_outcome(
        outcome="reversed", grant_id=gate_of(reversed_).grant_id, reported_by=e.EXECUTOR
    )
    reversed_.send(report, e.EXECUTOR, report.event_id)
    settle(reversed_.worker())

    first = audited(history_of(revoked)).answers["was_it_reversed"]
    second = audited(history_of(reversed_)).answers["was_it_reversed"]

    assert [one["reason"] for one in first["revoked"]] == ["cancelled"]
    assert [one["outcome"] for one in second["outcomes"]] == ["reversed"]


def test_a_second_version_is_told_with_the_first() -> None:
    """Revision: both versions are listed, and the answers are about the last."""
    world = told(until="asked")
    world.decide(decision="revise", comment="Shorter.")
    package = e.a_package(version=2, title="Shorter notice")
    world.request(interrupt_id="int-2041-2", package=package)
    settle(world.worker())

    audit = audited(history_of(world))

    proposed = audit.answers["what_was_proposed"]
    assert (proposed["title"], len(proposed["versions"])) == ("Shorter notice", 2)
    assert [one["decision"] for one in audit.answers["who_approved"]] == ["revise"]
    assert not audit.complete


def test_a_package_that_nobody_asked_for_is_unknown() -> None:
    """A parked command alone is no control point."""
    world = World()
    world.decide()
    settle(world.worker())

    with pytest.raises(UnknownPackage, match="no accepted request"):
        audited(history_of(world))


def answers_of(stage: Stage) -> dict[str, Any]:
    """The answers about a story's package."""
    return audited(history_of(stage.world)).answers


def whats(answers: dict[str, Any]) -> list[str]:
    """What happened, change after change."""
    return [change["what"] for change in answers["what_happened_after"]]


def test_an_override_tells_both_actions_its_reason_and_who_confirmed_it() -> None:
    """In words, and with the digests of what was proposed and of what was done instead."""
    stage = Stage()
    stage.request()
    stage.command(e.an_override(**stage.ids(), reviewer_id=HEAD))
    waiting = audited(history_of(stage.world))
    pending = stage.state().override
    assert pending is not None
    stage.decide(OTHER_HEAD, "approve", action_digest=pending.action_digest)

    answers = answers_of(stage)

    assert waiting.missing == (
        f"not decided yet: the override by {HEAD} waits for its confirmation",
    )
    [override] = answers["was_it_reversed"]["overrides"]
    assert override["original_action"] == e.a_package().proposed_action
    assert override["original_action_digest"] == e.ACTION_DIGEST
    assert override["overriding_action_digest"] == pending.action_digest != e.ACTION_DIGEST
    assert (override["reviewer_id"], override["confirmed_by"]) == (HEAD, OTHER_HEAD)
    assert [one["in_words"] for one in answers["who_approved"]] == [
        f"{HEAD} overrode: Send a second warning.; because The operator has begun the repair.",
        f"{OTHER_HEAD} approved the override: Send a second warning.",
    ]
    assert all(one["opened_the_gate"] for one in answers["who_approved"])


def test_a_delegate_is_told_with_the_person_they_stand_in_for() -> None:
    """Both names."""
    answers = answers_of(decided_for_another())

    approval = next(one for one in answers["who_approved"] if one["on_behalf_of"])
    delegate, principal = approval["reviewer_id"], approval["on_behalf_of"]
    assert approval["in_words"] == f"{delegate}, standing in for {principal}, approved"
    deciders = answers["under_what_authority"]["deciders"]
    assert (delegate, principal) in {(one["reviewer_id"], one["on_behalf_of"]) for one in deciders}


def test_exceptions_are_told_where_they_were_granted_and_where_they_were_used() -> None:
    """The terms, who granted them, and each decision that rests on one."""
    stage = Stage()
    stage.request()
    stage.command(e.an_exception(**stage.ids(), kind="outside_sla"))
    stage.decide(SENIOR, "approve")

    answers = answers_of(stage)

    [granted] = answers["under_what_authority"]["exceptions_decided_here"]
    exception_id = granted["exception_id"]
    assert (granted["decision"], granted["kind"]) == ("grant_exception", "outside_sla")
    assert granted["justification"]
    assert "policy exception granted" in whats(answers)
    approval = answers["who_approved"][-1]
    assert approval["exceptions_used"] == [exception_id]
    assert approval["in_words"].endswith(f"rests on the policy exception {exception_id}")


def test_an_audit_is_told_with_its_verdict() -> None:
    """Open until somebody gives it."""
    stage = Stage(audit_sample=1.0)
    stage.request()
    stage.decide(SENIOR, "approve")
    before = answers_of(stage)["was_it_reversed"]["audits"]
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR, verdict="defect"))
    answers = answers_of(stage)

    [audit] = answers["was_it_reversed"]["audits"]
    assert [one["verdict"] for one in before] == ["open"]
    assert (audit["verdict"], audit["by"]) == ("defect", AUDITOR)
    assert audit["comment"]
    assert whats(answers)[-2:] == ["task audit opened", "task audit closed"]


def test_who_was_shown_the_package_is_told_and_never_backfilled() -> None:
    """Before the decision it is what they saw; after it, or to others, it is not."""
    shown = e.a_task_command(action="present", presented_digest="ab" * 32)
    stage = Stage()
    stage.request()
    stage.command(shown.model_copy(update=stage.ids() | {"reviewer_id": MONITOR}))
    stage.command(shown.model_copy(update=stage.ids()))
    stage.decide(SENIOR, "approve")
    late = Stage()
    late.request()
    late.decide(SENIOR, "reject")
    late.command(shown.model_copy(update=late.ids()))

    decider, other = answers_of(stage)["what_the_human_saw"]
    [unseen] = answers_of(late)["what_the_human_saw"]

    assert (decider["presented_digest"], decider["showing"]) == ("ab" * 32, "recorded")
    assert (other["reviewer_id"], other["decision"]) == (MONITOR, None)
    assert other["presented_at"] is not None
    assert unseen["presented_at"] is None
    assert unseen["showing"].startswith("not recorded")


def test_work_on_the_task_is_told() -> None:
    """Comments with their text, deferrals with what ends them, and who did it."""
    stage = Stage()
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), action="comment", comment="Is sample 2 back?"))
    until = stage.world.clock() + timedelta(hours=2)
    stage.decide(SENIOR, "defer", defer_until=until, defer_condition="sample 2 is back")
    stage.later(2 * HOUR + 1)
    stage.decide(SENIOR, "escalate")

    answers = answers_of(stage)

    reasons = {one["what"]: one["reason"] for one in answers["what_happened_after"]}
    assert whats(answers)[:2] == ["interrupt pending", "task commented"]
    assert reasons["task commented"] == f"by {SENIOR}; Is sample 2 back?"
    assert reasons["interrupt deferred"].endswith("or: sample 2 is back")
    assert reasons["task resumed"] == "by the system"
    assert "interrupt escalated" in whats(answers)
    assert answers["who_approved"][0]["in_words"].startswith(f"{SENIOR} deferred until ")


def test_a_changed_plan_is_told_with_its_policy() -> None:
    """Under which authority it stood, and from when on."""
    stage = replanned_by_policy()

    answers = answers_of(stage)

    [replanned] = answers["under_what_authority"]["replanned"]
    assert replanned["policy_version"] == answers["under_what_authority"]["policy_version"]
    assert "plan changed" in whats(answers)


def test_differences_of_receipt_and_grant_and_the_outcome_are_told() -> None:
    """What the executor said that the grant does not bear out, and how it went."""
    answers = answers_of(reported_without_take())

    differences = [one["difference"] for one in answers["was_it_executed"]["differences"]]
    assert differences == ["without_take", "without_receipt"]
    assert all(one["what"] for one in answers["was_it_executed"]["differences"])
    [outcome] = answers["was_it_reversed"]["outcomes"]
    assert (outcome["outcome"], outcome["severity"]) == ("incident", "low")
    [reported] = [
        one for one in answers["what_happened_after"] if one["what"] == "outcome.reported"
    ]
    assert reported["outcome"] == "incident"


def test_a_revocation_tells_who_and_why() -> None:
    """Beside the gate's own word."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve")
    stage.command(e.a_revocation(**stage.ids()))

    answer = answers_of(stage)["was_it_reversed"]

    assert [(one["reviewer_id"], one["reason"]) for one in answer["revoked_by"]] == [
        (SENIOR, "Wrong recipient.")
    ]
    assert len(answer["revoked"]) == 1


def test_a_memory_is_an_action_like_any_other() -> None:
    """What was to be written stands where a tool call would."""
    answers = answers_of(memory_kept())

    assert answers["what_was_proposed"]["tool_call"]["tool_name"] == "memory.write"
    assert answers["was_it_executed"]["executed"] == "yes"


@pytest.mark.parametrize("name", TALES)
def test_every_tale_can_be_audited_and_shown(name: str) -> None:
    """No story of the rules leaves the auditor without an answer, or JSON without a form."""
    stage = TALES[name]()

    audit = audited(history_of(stage.world))

    assert json.loads(json.dumps(audit.form()))["answers"].keys() == QUESTIONS.keys()

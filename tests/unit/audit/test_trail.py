"""The nine questions, answered from a journal."""

from __future__ import annotations

import json

import pytest

from consumers.audit.trail import QUESTIONS, UnknownPackage, audited
from tests import examples as e
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

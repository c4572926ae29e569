"""The tales: each plays one story of the rules to its end and returns the stage it was played on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from schemas.requests import MemoryApprovalPackage
from tests import examples as e
from tests.stories.stage import (
    AUDITOR,
    DAY,
    HEAD,
    HOUR,
    MONITOR,
    ORGANISER,
    OTHER_HEAD,
    OTHER_SENIOR,
    SENIOR,
    Stage,
    rule,
)

TWO_SENIORS: Final = [
    {"role": "senior_reviewer"},
    {"role": "senior_reviewer", "distinct_team": True},
]


def approved_and_sent() -> Stage:
    """A notice is approved, taken and sent; sending it again changes nothing."""
    stage = Stage()
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), action="present", presented_digest="ab" * 32))
    stage.decide(SENIOR, "approve")
    stage.take()
    stage.receipt(e.a_notice_sent)
    stage.receipt(e.a_notice_sent)
    stage.outcome()
    return stage


def rejected() -> Stage:
    """A notice is rejected; the same package cannot come back, and a late approval is refused."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "reject")
    stage.decide(OTHER_SENIOR, "approve")
    stage.request(
        interrupt_id="int-2041-2", package=e.a_package(version=2, title="The notice, again")
    )
    return stage


def revised_to_version_two() -> Stage:
    """Revise leads to version 2; a decision on version 1 is stale; version 2 is approved."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "revise", comment="Name the sample.")
    stage.request(interrupt_id="int-2041-2", package=e.a_package(version=2))
    stage.decide(OTHER_SENIOR, "approve", expected_package_version=1)
    stage.decide(OTHER_SENIOR, "approve", expected_package_version=2)
    return stage


def quorum_of_two_teams() -> Stage:
    """Two seniors of two teams; one who lost the role in between is recounted out."""
    stage = Stage(approvals=TWO_SENIORS, mode="human_led")
    stage.request()
    said = {"reviewer_rationale": "The limit was exceeded twice."}
    stage.decide(SENIOR, "approve", **said)
    stage.world.directory(e.a_reviewer(reviewer_id=SENIOR, roles=["reviewer"], team="north"))
    stage.decide(OTHER_SENIOR, "approve", **said)
    stage.decide(HEAD, "approve", **said)
    return stage


def overridden_by_two() -> Stage:
    """High risk: one head overrides, another confirms; the gate opens for that action alone, and
    somebody who had no part audits it."""
    stage = Stage()
    stage.request()
    other = e.a_tool_call(e.notice_args(subject="Second warning"))
    stage.command(e.an_override(**stage.ids(), reviewer_id=HEAD, override_tool_call=other))
    digest = e.digest_of(other)
    stage.decide(HEAD, "approve", action_digest=digest)
    stage.decide(OTHER_HEAD, "approve", action_digest=digest)
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR))
    return stage


def window_without_objection() -> Stage:
    """On the loop: nobody objects, the gate opens when the window ends."""
    stage = Stage(mode="on_the_loop", objection_window="1h")
    stage.request()
    stage.later(HOUR + 1)
    stage.take()
    stage.receipt(e.an_executed)
    return stage


def objected_after_opening() -> Stage:
    """On the loop: the objection comes after the window and takes the open gate back."""
    stage = Stage(mode="on_the_loop", objection_window="1h")
    stage.request()
    stage.later(HOUR + 1)
    stage.decide(MONITOR, "object")
    stage.take()
    return stage


def escalated_to_expiry() -> Stage:
    """Nobody decides: warnings, the ladder, and at its end expiry; a decision then is too late."""
    stage = Stage()
    stage.request()
    stage.later(DAY + 1)
    stage.later(DAY + 1)
    stage.decide(HEAD, "approve")
    return stage


def deferred_until_met() -> Stage:
    """Deferred on a condition, met by a comment; a second deferral is refused; then approved."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "defer", defer_condition="the inspection of May is in")
    stage.later(2 * DAY)
    stage.command(
        e.a_task_command(**stage.ids(), action="comment", comment="It is in.", kind="condition_met")
    )
    stage.decide(SENIOR, "defer", defer_until=e.at(4 * DAY))
    stage.decide(SENIOR, "approve")
    return stage


def decided_for_another() -> Stage:
    """A delegate decides in the principal's name; the principal cannot fill the second slot."""
    stage = Stage(approvals=TWO_SENIORS)
    stage.world.directory(
        e.a_reviewer(reviewer_id=SENIOR, team="north", delegates=[e.a_delegation()])
    )
    stage.request()
    stage.decide(OTHER_SENIOR, "approve", on_behalf_of=SENIOR)
    stage.decide(SENIOR, "approve")
    stage.decide(HEAD, "approve")
    return stage


def excepted_evidence() -> Stage:
    """An exception is granted for one package without evidence, used there alone, and expires."""
    stage = Stage()
    stage.request()
    stage.command(
        e.an_exception(**stage.ids(), reviewer_id=HEAD, kind="missing_evidence", applies_to="pkg-9")
    )
    for number in (9, 10):
        bare = e.a_package(decision_package_id=f"pkg-{number}", evidence_refs=[])
        stage.request(interrupt_id=f"int-{number}", package=bare)
    stage.decide(SENIOR, "approve", decision_package_id="pkg-9")
    stage.later(8 * DAY)
    return stage


def memory_kept() -> Stage:
    """A memory is pending until a person approves exactly its content."""
    stage = Stage(when={"tools": ["memory.*"]}, subject="memory")
    memory = MemoryApprovalPackage(
        package_id="mem-1",
        proposed_memory="The operator answers by mail only.",
        subject_type="operator",
        subject_id="harbour-freight",
        source_refs=["mail:2026-02-11"],
        sensitivity="internal",
        retention="P1Y",
        proposed_by=e.AGENT,
    )
    stage.request(package=e.a_package(tool_call=None, memory=memory))
    stage.decide(SENIOR, "approve", action_digest=None)
    stage.take()
    stage.receipt(e.an_executed)
    return stage


def reported_without_take() -> Stage:
    """A receipt without a take is a difference; a take without a receipt is in doubt."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve")
    stage.receipt(e.an_executed)
    stage.take()
    stage.later(HOUR + 1)
    stage.outcome(outcome="incident", severity="low", detail="It was sent twice.")
    return stage


def cancelled_by_its_agent() -> Stage:
    """The agent takes an approved, untaken request back; the gate is revoked."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve")
    stage.world.send(e.a_cancellation(), e.AGENT, e.INTERRUPT_ID)
    stage.settle()
    stage.take()
    return stage


def decided_before_asked() -> Stage:
    """Commands overtake their request and wait for it; one for a package that never comes is
    given up."""
    stage = Stage()
    stage.decide_unanswered(SENIOR, "approve", e.PACKAGE_ID)
    stage.decide_unanswered(SENIOR, "approve", "pkg-never")
    stage.request()
    stage.later(61)
    return stage


def without_people() -> Stage:
    """Out of the loop: the gate opens at once by policy, and the decision is sampled."""
    stage = Stage(mode="out_of_the_loop", audit_sample=1.0)
    stage.request()
    stage.take()
    stage.receipt(e.an_executed)
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR, verdict="defect"))
    return stage


def worked_on() -> Stage:
    """Claimed, released by its lease, assigned past a conflict, handed on, recused, revoked."""
    stage = Stage(claim_for="30m")
    stage.world.directory(
        e.a_reviewer(
            reviewer_id=OTHER_HEAD, roles=["head_of_enforcement"], conflicts=["case:case-5512"]
        )
    )
    stage.request()
    stage.command(e.a_task_command(**stage.ids()))
    stage.decide(OTHER_SENIOR, "approve")
    stage.later(31 * 60)
    for assignee in (OTHER_HEAD, OTHER_SENIOR):
        stage.command(
            e.a_task_command(
                **stage.ids(), reviewer_id=ORGANISER, action="assign", assignee=assignee
            )
        )
    stage.command(e.a_task_command(**stage.ids(), reviewer_id=OTHER_SENIOR, action="recuse"))
    stage.decide(SENIOR, "approve")
    stage.command(e.a_revocation(**stage.ids(), reviewer_id=SENIOR))
    return stage


def replanned_by_policy() -> Stage:
    """A newer policy says that it applies to what is open: from then on two must approve."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve", comment=None, action_digest="00" * 32)
    newer = stage.world.policy | {
        "policy_version": "8",
        "reapply_to_open": True,
        "rules": [rule(approvals=TWO_SENIORS)],
    }
    stage.publish(newer)
    stage.decide(SENIOR, "approve")
    stage.decide(OTHER_SENIOR, "approve")
    return stage


TALES: Final[Mapping[str, Callable[[], Stage]]] = MappingProxyType(
    {
        tale.__name__: tale
        for tale in (
            approved_and_sent,
            rejected,
            revised_to_version_two,
            quorum_of_two_teams,
            overridden_by_two,
            window_without_objection,
            objected_after_opening,
            escalated_to_expiry,
            deferred_until_met,
            decided_for_another,
            excepted_evidence,
            memory_kept,
            reported_without_take,
            cancelled_by_its_agent,
            decided_before_asked,
            without_people,
            worked_on,
            replanned_by_policy,
        )
    }
)
"""Every tale by its name."""

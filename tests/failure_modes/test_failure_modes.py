"""The eleven failure modes of the requirements' section 26, each played and shown prevented."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.jwk import TrustedKeys
from producers.grants import GrantInvalid, verify_grant
from schemas.directory import ReviewerCapChanged
from schemas.events import HumanDecisionEvent, InterruptStatusChanged, ReviewTaskEvent
from schemas.execution import NoticeSent
from schemas.requests import Dissent
from tests import examples as e
from tests.stories.stage import AUDITOR, DAY, HEAD, MONITOR, ORGANISER, OTHER_SENIOR, SENIOR, Stage
from tests.unit.control.test_crashes import At, Killed
from tests.unit.control.world import KEYS, World, settle


@pytest.mark.parametrize("step", ["produced", "positions_sent", "committed", "apply"])
def test_approval_lost(step: str) -> None:
    """Killed while it records an approval, and the store emptied: the approval is recorded once,
    in a durable event, and the gate is open."""
    world = World()
    worker = world.worker()
    world.request()
    settle(worker)
    world.decide()
    world.cluster.members.clear()
    with pytest.raises(Killed):
        settle(world.worker(At(1, Killed, only=step)))
    world.cluster.members.clear()
    world.store.flush()

    settle(world.worker())

    assert [event.decision for event in world.all(HumanDecisionEvent)] == ["approve"]
    assert world.all(InterruptStatusChanged)[-1].outcome == "approve"


def test_wrong_reviewer() -> None:
    """Who holds neither role nor scope nor the risk does not approve, and every rule is named."""
    stage = Stage()
    stage.world.directory(
        e.a_reviewer(reviewer_id=MONITOR, roles=["monitor"], scopes=[], max_risk_level="low")
    )
    stage.request()

    stage.decide(MONITOR, "approve")

    refusal = stage.answer("cmd-1")
    assert getattr(refusal, "codes", None) == ["MISSING_SCOPE", "MISSING_ROLE", "RISK_ABOVE_LIMIT"]
    assert stage.gates() == []


def test_stale_package_approved() -> None:
    """The package changed after the review: the approval of the old version opens nothing."""
    stage = Stage()
    stage.request()
    stage.request(
        interrupt_id="int-2041-2",
        package=e.a_package(version=2, tool_call=e.a_tool_call(e.notice_args(subject="Other"))),
    )

    answer = stage.decide(SENIOR, "approve", expected_package_version=1)

    assert getattr(answer, "code", None) == "STALE_PACKAGE_VERSION"
    assert getattr(answer, "current_package_version", None) == 2
    assert stage.gates() == []


def test_approval_bypass() -> None:
    """A tool runs without approval: no grant can be shown for it, an altered one is refused
    offline, and a report without a take is a difference that a human must look at."""
    stage = Stage()
    stage.request()
    stage.take_of("grant-of-nobody")
    stage.decide(SENIOR, "approve")
    forged = stage.opened().model_copy(update={"args_json": '{"recipient":"thief@example.org"}'})
    keys = TrustedKeys.from_jwks({"keys": [KEYS["grant"].public_jwk(executor_id="grant")]})

    with pytest.raises(GrantInvalid):
        verify_grant(forged, keys=keys, now=e.at(60))
    stage.receipt(e.an_executed)

    assert stage.codes() == ["UNKNOWN_GRANT", "NOT_TAKEN"]
    assert [t.difference for t in stage.world.all(ReviewTaskEvent) if t.change == "difference"] == [
        "without_take"
    ]


def test_duplicate_approval() -> None:
    """The same approval sent twice is recorded once; its key with other content is a conflict; and
    one person never fills two slots."""
    stage = Stage(
        approvals=[{"role": "senior_reviewer"}, {"role": "senior_reviewer"}],
    )
    stage.request()
    stage.decide(SENIOR, "approve", command_id="cmd-a", idempotency_key="key-a")
    stage.decide(SENIOR, "approve", command_id="cmd-b", idempotency_key="key-a")
    stage.decide(SENIOR, "reject", command_id="cmd-c", idempotency_key="key-a")
    stage.decide(SENIOR, "approve", command_id="cmd-d", idempotency_key="key-d")

    assert stage.codes() == ["DUPLICATE_COMMAND", "IDEMPOTENCY_CONFLICT", "DUPLICATE_APPROVER"]
    assert len(stage.world.all(HumanDecisionEvent)) == 1
    assert stage.gates() == []


def test_rubber_stamping() -> None:
    """Approval without a word is refused where the policy asks for one, what was shown and when
    stands beside the decision, every decision drawn is audited blind, and who decided too much in
    an hour decides nothing more."""
    stage = Stage(comment_required=["high"], audit_sample=1.0)
    both = e.a_reviewer(scopes=["notice:approve", "notice:audit_verdict"])
    stage.world.directory(both)
    stage.request()
    stage.decide(SENIOR, "approve", comment=" ")
    stage.command(e.a_task_command(**stage.ids(), action="present", presented_digest="ab" * 32))
    stage.decide(SENIOR, "approve")
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=SENIOR))
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR, verdict="defect"))
    cap = ReviewerCapChanged(
        event_id="cap-1",
        tenant_id=e.TENANT,
        reviewer_id=SENIOR,
        capped_until=stage.world.clock() + timedelta(hours=1),
        decided=20,
        occurred_at=stage.world.clock(),
    )
    stage.world.send(cap, ORGANISER, cap.event_id, partition=0)
    stage.request(interrupt_id="int-next", package=e.a_package(decision_package_id="pkg-next"))
    stage.decide(SENIOR, "approve", decision_package_id="pkg-next")

    decided = stage.world.all(HumanDecisionEvent)
    assert sorted(stage.codes()) == [
        "COMMENT_REQUIRED",
        "DECISION_NOT_ALLOWED",
        "SEPARATION_OF_DUTIES",
    ]
    assert (decided[0].presented_digest, decided[0].presented_at) == ("ab" * 32, e.NOW)
    assert [event.verdict for event in decided] == [None, "defect"]


def test_opaque_package() -> None:
    """A package without evidence, rationale, policy basis or named uncertainties is not shown to
    anybody: the agent is told what it lacks."""
    stage = Stage()

    stage.request(
        package=e.a_package(
            evidence_refs=[], rationale=" ", policy_basis=[], confidence=0.4, known_uncertainties=[]
        )
    )

    (refusal,) = stage.refusals()
    assert refusal.code == "PACKAGE_INCOMPLETE"
    for lacking in ("evidence_refs", "rationale", "policy_basis", "known_uncertainties"):
        assert lacking in refusal.message
    assert stage.changes() == []


def test_timeout_ignored() -> None:
    """Nobody answers: two warnings, the next role, its warnings, then expiry; nothing is approved
    and nothing stays pending for ever."""
    stage = Stage()
    stage.request()

    stage.later(DAY + 1)
    stage.later(DAY + 1)

    assert stage.statuses() == ["pending", "escalated", "expired"]
    assert stage.changes().count("sla_warning") == 4
    assert stage.gates() == ["denied"]


def test_approval_is_not_execution() -> None:
    """Approved is not sent: until the executor reports, nothing says that it was, and a take
    without a report goes to a human."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve")
    approved = stage.gates(), stage.world.all(NoticeSent)
    stage.take()

    stage.later(3601)

    assert approved == (["opened"], [])
    assert stage.world.all(NoticeSent) == []
    assert stage.changes()[-1] == "in_doubt"


def test_no_rejection_path() -> None:
    """There is more than a yes: reject, revise, more evidence, escalate, defer, override and
    objection each lead somewhere of their own."""
    other = e.a_tool_call(e.notice_args(subject="Second warning"))
    ends: dict[str, str] = {}
    decisions: dict[str, dict[str, Any]] = {
        "reject": {},
        "revise": {"comment": "Shorter."},
        "request_more_evidence": {"evidence_requested": ["lab:2"]},
        "escalate": {},
        "defer": {"defer_until": e.at(3600)},
    }
    for decision, words in decisions.items():
        stage = Stage()
        stage.request()
        stage.decide(SENIOR, decision, **words)
        last = stage.world.all(InterruptStatusChanged)[-1]
        ends[decision] = last.routing or (
            "deferred" if last.deferred_until else stage.statuses()[-1]
        )
    stage = Stage()
    stage.request(package=e.a_package(risk_level="low"))
    stage.command(e.an_override(**stage.ids(), reviewer_id=HEAD, override_tool_call=other))
    ends["override"] = stage.statuses()[-1]
    stage = Stage(mode="on_the_loop")
    stage.request()
    stage.decide(MONITOR, "object")
    ends["object"] = stage.statuses()[-1]

    assert ends == {
        "reject": "reject",
        "revise": "drafting",
        "request_more_evidence": "evidence",
        "escalate": "escalated",
        "defer": "deferred",
        "override": "override",
        "object": "object",
    }


def test_conflict_hidden() -> None:
    """A dissent travels with the package word for word, and a later reviewer sees what the earlier
    ones said; nothing is summed up."""
    stage = Stage()
    dissent = Dissent(by="agent:risk", position="Do not send.", rationale="Sample 2 is missing.")
    stage.request(package=e.a_package(dissents=[dissent]))
    stage.decide(SENIOR, "revise", comment="Answer the dissent.")
    stage.request(interrupt_id="int-2041-2", package=e.a_package(version=2, dissents=[dissent]))
    stage.command(
        e.a_task_command(
            **stage.ids(),
            action="comment",
            comment="The dissent still stands.",
            reviewer_id=OTHER_SENIOR,
            expected_package_version=2,
        )
    )

    state = stage.state()
    assert state.accepted is not None
    assert state.accepted.request.package.dissents == [dissent]
    assert [comment.text for comment in state.comments] == [
        "Answer the dissent.",
        "The dissent still stands.",
    ]

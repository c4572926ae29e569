"""Work on the review task: who holds it, for how long, and what that keeps others from."""

from __future__ import annotations

from typing import Any

import pytest

from core.limits import RECUSED_MAX
from core.step import Step
from schemas.directory import Absence, ReviewerCapChanged
from schemas.events import HumanDecisionEvent, ReviewTaskEvent
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    by,
    changes,
    decides,
    medium,
    open_world,
    quorum,
    somebody,
    works,
)
from tests.unit.core.world import World, a_policy, code, codes, gates, of

LEASE_S = 1800


def _claimed() -> World:
    world = open_world(somebody("r.desk", scopes=["notice:comment"]))
    step = world.send(works("r.lind", "claim"))
    assert step.verdict == "recorded", codes(step)
    return world


def _assigns(world: World, by_whom: str, to: str | None) -> Step:
    return world.send(works(by_whom, "assign", assignee=to))


def test_a_claim_holds_for_its_lease() -> None:
    """The event names holder and lease, and answers its command."""
    world = open_world()
    command = works("r.lind", "claim")

    event = of(world.send(command).events, ReviewTaskEvent)[0]

    assert ("claimed", "r.lind", e.at(LEASE_S), command.command_id) == (
        event.change, event.assigned_to, event.lease_until, event.command_id
    )  # fmt: skip


def test_a_lease_ends_by_itself() -> None:
    """At its end the task is released, by nobody, and is anyone's again."""
    world = _claimed()

    world.wait(LEASE_S + 1)

    assert ("released", None) == (changes(world)[-1], world.last(ReviewTaskEvent).actor)
    assert "recorded" == world.send(works(e.REVIEWER, "claim")).verdict


def test_a_lease_ends_in_time_even_before_its_clock_fires() -> None:
    """A claim appended after the lease succeeds, fired clock or not."""
    world = _claimed()
    world.clock = LEASE_S + 1

    assert "recorded" == world.send(works(e.REVIEWER, "claim")).verdict


def test_the_holder_renews() -> None:
    """A claim of who holds it starts the lease anew."""
    world = _claimed()
    world.clock = 1000

    world.send(works("r.lind", "claim"))

    assert e.at(1000 + LEASE_S) == world.now.lease_until


@pytest.mark.parametrize(
    "decision", ["approve", "reject", "revise", "request_more_evidence", "escalate", "defer"]
)
def test_who_does_not_hold_a_held_task_does_not_decide(decision: str) -> None:
    """NOT_ASSIGNEE for every decision of somebody else, none for the holder's own."""
    step = _claimed().send(decides(e.REVIEWER, decision, defer_until=e.at(HOUR)))
    own = _claimed().send(decides("r.lind", decision, defer_until=e.at(HOUR)))

    assert ["NOT_ASSIGNEE"] == codes(step)
    assert [] == codes(own)


def test_an_override_passes_over_the_holder() -> None:
    """Higher authority does not wait for who holds the task."""
    assert "recorded" == _claimed().send(by(e.an_override, "r.head")).verdict


def test_a_held_task_is_claimed_by_nobody_else() -> None:
    """The second claim is told NOT_ASSIGNEE."""
    assert ["NOT_ASSIGNEE"] == codes(_claimed().send(works(e.REVIEWER, "claim")))


CLAIMS: dict[str, tuple[str, dict[str, Any]]] = {
    "role": ("MISSING_ROLE", {"roles": ["reviewer"]}),
    "scope": ("MISSING_SCOPE", {"scopes": ["payment:approve"]}),
    "risk": ("RISK_ABOVE_LIMIT", {"max_risk_level": "medium"}),
    "lineage": ("SEPARATION_OF_DUTIES", {"linked_identities": [e.REQUESTER]}),
    "conflict": ("CONFLICT_OF_INTEREST", {"conflicts": ["case:case-5512"]}),
    "absence": (
        "UNKNOWN_REVIEWER",
        {"absences": [Absence(valid_from=e.NOW, valid_until=e.at(DAY))]},
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_only_who_could_approve_claims_or_is_assigned(name: str) -> None:
    """A task is held by nobody who may not decide it, by claim or by assignment."""
    wanted, over = CLAIMS[name]
    world = open_world(somebody("r.unfit", **over))

    claimed = world.send(works("r.unfit", "claim"))
    assigned = _assigns(world, "r.lind", "r.unfit")

    assert [wanted] == codes(claimed) == codes(assigned)
    assert world.now.assigned_to is None


def test_who_approves_under_a_slots_own_scope_takes_part() -> None:
    """A slot may ask for a scope of another subject; who has it may look, claim and step aside."""
    slots = [{"role": "senior_reviewer"}, {"role": "legal", "scope": "legal:sign"}]
    counsel = somebody("r.counsel", "legal", scopes=["legal:sign"])
    world = open_world(a_policy(policy_version="8", rule={"approvals": slots}), counsel)

    for action in ("present", "claim", "release", "recuse"):
        assert [] == codes(world.send(works("r.counsel", action)))


def test_an_unheld_task_is_assigned_by_anyone_of_the_subject() -> None:
    """Who has any scope of the subject hands it to who may decide it; it holds without a lease."""
    world = open_world(somebody("r.desk", scopes=["notice:comment"]))

    step = _assigns(world, "r.desk", "r.lind")

    event = of(step.events, ReviewTaskEvent)[0]
    assert ("assigned", "r.lind", None) == (event.change, event.assigned_to, event.lease_until)
    assert ["NOT_ASSIGNEE"] == codes(world.send(decides(e.REVIEWER)))


def test_a_held_task_is_reassigned_by_who_has_the_scope() -> None:
    """Taking a task from its holder asks for <subject>:assign; the holder may pass it on."""
    assert ["NOT_ASSIGNEE"] == codes(_assigns(_claimed(), "r.desk", e.REVIEWER))
    assert [] == codes(_assigns(_claimed(), "r.diaz", e.REVIEWER))
    assert [] == codes(_assigns(_claimed(), "r.lind", e.REVIEWER))


def test_a_held_task_is_released_by_its_holder_or_who_has_the_scope() -> None:
    """Others are told NOT_ASSIGNEE, and so is who releases what nobody holds."""
    assert ["NOT_ASSIGNEE"] == codes(_claimed().send(works("r.desk", "release")))
    assert [] == codes(_claimed().send(works("r.diaz", "release")))
    world = _claimed()
    assert [] == codes(world.send(works("r.lind", "release")))
    assert ["NOT_ASSIGNEE"] == codes(world.send(works("r.lind", "release")))


def test_an_assignment_names_somebody() -> None:
    """Without an assignee it is refused."""
    assert ["DECISION_NOT_ALLOWED"] == codes(_assigns(open_world(), "r.lind", None))


@pytest.mark.parametrize(
    "gone",
    [{"removed": True}, {"absences": [Absence(valid_from=e.NOW, valid_until=e.at(DAY))]}],
)
def test_who_is_gone_holds_up_nobody(gone: dict[str, Any]) -> None:
    """A task assigned to somebody who has left or is away can be decided and claimed by others."""
    world = open_world(somebody("r.desk", scopes=["notice:comment"]))
    _assigns(world, e.REVIEWER, "r.lind")
    world.apply(somebody("r.lind", **gone))

    assert [] == codes(world.send(works("r.desk", "release")))
    assert [] == codes(world.send(works(e.REVIEWER, "claim")))
    assert ["opened"] == gates([world.send(decides(e.REVIEWER))])


def test_an_approval_that_completes_nothing_drops_the_hold() -> None:
    """The next person of the quorum must be able to decide."""
    world = open_world(quorum("senior_reviewer", "senior_reviewer"))
    world.send(works("r.lind", "claim"))
    world.send(decides("r.lind"))

    assert world.now.assigned_to is None
    assert ["opened"] == gates([world.send(decides(e.REVIEWER))])


def test_a_recusal_takes_the_approval_along() -> None:
    """Who steps aside is out: the hold is dropped and an approval given before counts no more."""
    world = open_world(quorum("senior_reviewer", "senior_reviewer"))
    world.send(decides("r.lind"))
    world.send(works("r.lind", "claim"))
    world.send(works("r.lind", "recuse", comment="My brother works there."))

    step = world.send(decides(e.REVIEWER))

    assert world.now.assigned_to is None
    assert (1, 2) == (
        of(step.events, HumanDecisionEvent)[0].quorum.have,
        of(step.events, HumanDecisionEvent)[0].quorum.need,
    )
    assert [] == gates([step])


def test_a_recusal_holds_for_all_versions() -> None:
    """Also at version 2 the answer is CONFLICT_OF_INTEREST, under every id of theirs."""
    world = open_world(somebody("r.twin", linked_identities=["r.lind"]))
    world.send(works("r.lind", "recuse"))
    world.send(decides(e.REVIEWER, "revise"))
    world.send(e.a_request(interrupt_id="int-2", package=e.a_package(version=2)))

    for name in ("r.lind", "r.twin"):
        step = world.send(decides(name, expected_package_version=2))
        assert ["CONFLICT_OF_INTEREST"] == codes(step)


def test_a_recusal_leaves_anothers_hold() -> None:
    """Who does not hold the task takes it from nobody by stepping aside."""
    world = _claimed()
    world.send(works(e.REVIEWER, "recuse"))

    assert "r.lind" == world.now.assigned_to


def test_presenting_starts_the_viewing_clock_once() -> None:
    """The decision says when the package was first shown to its maker, and what was shown last."""
    world = open_world()
    world.send(works("r.lind", "present", presented_digest="a" * 64))
    world.clock = 600
    world.send(works("r.lind", "present", presented_digest="b" * 64))

    decision = of(world.send(decides("r.lind")).events, HumanDecisionEvent)[0]

    assert (e.NOW, "b" * 64) == (decision.presented_at, decision.presented_digest)


def test_what_was_shown_to_one_was_not_shown_to_another() -> None:
    """A presentation is never backfilled."""
    world = open_world()
    world.send(works("r.lind", "present"))

    decision = of(world.send(decides(e.REVIEWER)).events, HumanDecisionEvent)[0]

    assert decision.presented_at is None


def test_a_comment_is_kept_and_says_something() -> None:
    """A blank one is refused; another stands with its writer, kind and version."""
    world = open_world()

    assert ["COMMENT_REQUIRED"] == codes(world.send(works("r.diaz", "comment", comment=" ")))
    world.send(works("r.diaz", "comment", comment="See sample 3."))

    kept = world.now.comments[0]
    assert ("r.diaz", "note", "See sample 3.", 1) == (kept.by, kept.kind, kept.text, kept.version)


@pytest.mark.parametrize("action", ["claim", "release", "assign", "comment", "present", "recuse"])
def test_work_is_on_the_current_version_in_time_by_who_is_known(action: str) -> None:
    """A stale version, a late record and a stranger are refused for every kind of work."""
    over = {"assignee": e.REVIEWER, "comment": "Seen."}
    late = open_world()
    late.clock = DAY + 1

    assert "STALE_PACKAGE_VERSION" == code(
        open_world().send(works("r.lind", action, expected_package_version=2, **over))
    )
    assert "TOO_LATE" == code(late.send(works("r.lind", action, **over)))
    assert "UNKNOWN_REVIEWER" == code(open_world().send(works("r.nobody", action, **over)))


def test_work_decides_nothing() -> None:
    """Claim, comment and present leave interrupt and gate as they are."""
    world = open_world(**medium())
    for action in ("claim", "present", "comment"):
        step = world.send(works("r.lind", action, comment="Seen."))
        assert [] == of(step.events, HumanDecisionEvent)
    assert ("pending", "closed") == (world.now.status, world.now.gate)


def test_a_capped_reviewer_decides_nothing_for_a_while() -> None:
    """Over the hour's cap decisions are refused, under every id; brakes and work are not."""
    world = open_world(somebody("r.twin", linked_identities=["r.lind"]))
    world.apply(_cap("r.lind"))

    for name in ("r.lind", "r.twin"):
        assert ["DECISION_NOT_ALLOWED"] == codes(world.send(decides(name)))
    assert [] == codes(world.send(works("r.lind", "claim")))
    world.clock = HOUR
    assert ["opened"] == gates([world.send(decides("r.lind"))])


def _cap(reviewer_id: str) -> ReviewerCapChanged:
    return ReviewerCapChanged(
        event_id="cap-1", tenant_id=e.TENANT, reviewer_id=reviewer_id,
        capped_until=e.at(HOUR), decided=30, occurred_at=e.NOW,
    )  # fmt: skip


def test_no_crowd_of_recusals_breaks_the_record() -> None:
    """As many as the state can hold step aside; the next is told PACKAGE_FULL."""
    world = open_world()
    crowd = [f"r.{number}" for number in range(RECUSED_MAX)]
    world.state = world.now.model_copy(update={"recused": crowd})

    assert ["PACKAGE_FULL"] == codes(world.send(works("r.lind", "recuse")))

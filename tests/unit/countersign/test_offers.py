"""What may be decided now, and by whom: what the rules themselves would take."""

from __future__ import annotations

import pytest

from core.directory import DirectoryRecord
from countersign.offers import Offer, offers
from schemas.state import ControlPointState
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    WARNING,
    by,
    decides,
    medium,
    on_the_loop,
    open_world,
    out_of_the_loop,
    quorum,
    somebody,
    works,
)
from tests.unit.core.world import World, a_policy

ALWAYS = ["reject", "revise", "request_more_evidence"]
OPEN = ["approve", *ALWAYS, "escalate", "defer"]


def offered(world: World) -> list[Offer]:
    """What the world's control point offers now."""
    tenant = world.directory.tenant(e.TENANT)
    return offers(world.now, tenant, e.at(world.clock))


def acts(world: World) -> list[str]:
    """The acts alone."""
    return [offer.act for offer in offered(world)]


def who(world: World, act: str) -> set[str]:
    """Who may do it."""
    [offer] = [offer for offer in offered(world) if offer.act == act]
    return set(offer.people)


def test_in_the_loop_everything_but_an_objection_is_offered() -> None:
    """To who may; nobody who owns the agent approves what it asks."""
    world = open_world()

    assert acts(world) == [*OPEN, "override", "grant_exception"]
    assert who(world, "approve") == {e.REVIEWER, "r.lind", "r.head", "r.chief"}
    assert who(world, "override") == {"r.head", "r.chief"}


def test_a_held_task_is_decided_by_its_holder() -> None:
    """What is offered to others is what a hold does not bar."""
    world = open_world()
    world.send(works("r.lind", "claim"))

    assert who(world, "approve") == {"r.lind"}
    assert who(world, "override") == {"r.head", "r.chief"}


def test_on_the_loop_an_objection_and_no_approval_is_offered() -> None:
    """Until it is escalated: then somebody may approve."""
    world = open_world(on_the_loop(), **medium())
    watched = acts(world)
    world.send(decides("r.lind", "escalate"))

    assert watched == [*ALWAYS, "escalate", "object", "override", "grant_exception"]
    assert acts(world) == ["approve", *ALWAYS, "defer", "object", "override", "grant_exception"]


def test_a_deferral_is_offered_once() -> None:
    """While it lasts the rest can still be decided."""
    world = open_world()
    world.send(decides("r.lind", "defer", defer_condition="the lab answers"))

    assert acts(world) == [one for one in [*OPEN, "override", "grant_exception"] if one != "defer"]


def test_a_second_head_confirms_an_override() -> None:
    """With its digest; neither a second override nor the original is offered meanwhile."""
    world = open_world()
    world.send(by(e.an_override, "r.head"))

    assert acts(world) == [*OPEN[1:], "confirm_override", "grant_exception"]
    [offer] = [offer for offer in offered(world) if offer.act == "confirm_override"]
    assert offer.people == ("r.chief",)
    assert offer.command == (f"decide --decision approve --action-digest {e.digest_of(WARNING)}")


def test_an_approver_is_not_asked_twice() -> None:
    """Of a quorum only the free slot is offered."""
    world = open_world(quorum("senior_reviewer", "head_of_enforcement"))
    world.send(decides(e.REVIEWER))

    assert who(world, "approve") == {"r.head", "r.chief"}


def test_an_open_gate_can_be_revoked_by_who_opened_it_or_above() -> None:
    """And no longer once it is taken."""
    world = open_world()
    world.send(decides("r.lind"))
    open_gate = offered(world)
    world.send(e.a_take(grant_id=world.now.grant.grant_id if world.now.grant else ""))

    assert [(offer.act, offer.people) for offer in open_gate] == [
        ("revoke", ("r.boss", "r.chief", "r.head", "r.lind"))
    ]
    assert acts(world) == []


def test_what_the_window_opened_can_still_be_objected_to() -> None:
    """Until it is taken."""
    world = open_world(on_the_loop(), **medium())
    world.wait(HOUR + 1)

    assert acts(world) == ["object", "revoke"]


def test_an_audit_waits_for_somebody_who_did_not_decide() -> None:
    """Out of the loop nobody did."""
    world = open_world(out_of_the_loop(audit_sample=1.0), **medium())
    alone = open_world(a_policy(policy_version="8", rule={"audit_sample": 1.0}))
    alone.send(decides("r.lind", "reject"))

    assert "r.lind" in who(world, "audit_verdict")
    assert acts(alone) == ["audit_verdict"]
    assert "r.lind" not in who(alone, "audit_verdict")


def test_an_exception_can_be_taken_back_at_any_time() -> None:
    """By its id, also when all is decided."""
    world = open_world()
    world.send(by(e.an_exception, "r.lind"))
    world.send(decides("r.lind", "reject"))

    assert [offer.command for offer in offered(world)] == ["exception revoke --exception-id exc-1"]


def test_too_late_nothing_is_offered() -> None:
    """Whether or not the worker's clock has come to it."""
    world = open_world()
    world.clock = 2 * DAY

    assert offered(world) == []


def test_what_nobody_has_asked_for_offers_nothing() -> None:
    """Commands that wait for their package."""
    assert offers(ControlPointState(tenant_id="t", decision_package_id="p"),
                  World().directory.tenant("t"), e.NOW) == []  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (a_policy(), ""),
        (a_policy(policy_version="8", rule={"comment_required": ["high"]}), " --comment TEXT"),
        (quorum("senior_reviewer", mode="human_led"), " --rationale TEXT"),
    ],
)
def test_the_words_that_an_approval_needs_are_named(policy: DirectoryRecord, words: str) -> None:
    """By the policy of the package."""
    first = offered(open_world(policy))[0]

    assert first.command == f"decide --decision approve{words}"


def test_who_left_is_not_named() -> None:
    """Nor who has no scope; nobody is an answer too."""
    gone = [somebody(name, removed=True) for name in (e.REVIEWER, "r.lind", "r.diaz", "r.head",
                                                      "r.chief", "r.legal", "r.boss")]  # fmt: skip
    world = open_world()
    world.apply(*gone)

    assert who(world, "approve") == set()

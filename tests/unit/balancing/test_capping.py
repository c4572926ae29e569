"""The sliding hour, and the caps that follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consumers.balancing.capping import Decisions, caps_due, limit_of
from core.directory import TenantContext
from core.policy import parse_policy
from schemas.directory import ReviewerCapChanged
from tests import examples as e
from tests.unit.core.world import a_person, a_world

MINUTE = 60
RULES = {"pkg-strict": "strict", "pkg-lax": "lax"}


def tenant_of(**over: Any) -> TenantContext:
    """A tenant with a limit of three by default, two and five by its rules."""
    form = e.a_policy_form()
    form["defaults"]["decisions_per_hour_max"] = 3
    form["rules"] = [
        {"name": "strict", "decisions_per_hour_max": 2},
        {"name": "lax", "decisions_per_hour_max": 5},
    ]
    return replace(a_world().directory.tenant(e.TENANT), policy=parse_policy(form | over))


def rule_of(key: bytes) -> str | None:
    return RULES.get(key.decode().rpartition("/")[2])


def decided(*minutes: float, by: str = e.REVIEWER, **over: Any) -> Decisions:
    """Decisions of one person, so many minutes after the start."""
    return adding(Decisions(), *minutes, by=by, **over)


def adding(decisions: Decisions, *minutes: float, by: str = e.REVIEWER, **over: Any) -> Decisions:
    """More decisions."""
    for minute in minutes:
        decisions.add(
            e.a_decision_event(
                event_id=f"ev-{by}-{minute}",
                reviewer_id=by,
                occurred_at=e.at(minute * MINUTE),
                **over,
            )
        )
    return decisions


def caps_at(
    minute: float, decisions: Decisions, tenant: TenantContext, *, by: str = e.REVIEWER
) -> list[ReviewerCapChanged]:
    """The caps due at that minute."""
    now = e.at(minute * MINUTE)
    decisions.forget(now)
    return caps_due(decisions, e.TENANT, by, tenant, rule_of, now)


def test_below_the_limit() -> None:
    """Two of three: nothing."""
    assert caps_at(20, decided(0, 10), tenant_of()) == []


def test_at_the_limit() -> None:
    """Until the first of the three has left the hour."""
    (cap,) = caps_at(20, decided(0, 10, 20), tenant_of())

    assert (cap.tenant_id, cap.reviewer_id, cap.decided) == (e.TENANT, e.REVIEWER, 3)
    assert cap.capped_until == e.at(60 * MINUTE)


def test_above_the_limit() -> None:
    """A decision more that was on its way: one more must leave the hour."""
    (cap,) = caps_at(25, decided(0, 10, 20, 25), tenant_of())

    assert cap.capped_until == e.at(70 * MINUTE)


def test_the_hour_slides() -> None:
    """What is an hour old counts no longer; a cap is over when one may decide again."""
    decisions = decided(0, 10, 20)
    assert caps_at(60, decisions, tenant_of()) == []

    adding(decisions, 61)
    (cap,) = caps_at(61, decisions, tenant_of())
    assert cap.capped_until == e.at(70 * MINUTE)


def test_the_strictest_limit_applies() -> None:
    """A decision under a strict rule counts all of the person's decisions against its limit."""
    decisions = decided(0, decision_package_id="pkg-lax")
    assert caps_at(1, decisions, tenant_of()) == []

    adding(decisions, 2, decision_package_id="pkg-strict")
    (cap,) = caps_at(2, decisions, tenant_of())
    assert cap.capped_until == e.at(60 * MINUTE)


def test_only_the_rules_of_what_was_decided() -> None:
    """Four decisions under the lax rule alone are no reason."""
    decisions = decided(0, 1, 2, 3, decision_package_id="pkg-lax")
    assert caps_at(4, decisions, tenant_of()) == []

    adding(decisions, 4, decision_package_id="pkg-lax")
    assert len(caps_at(4, decisions, tenant_of())) == 1


def test_no_limit() -> None:
    """A policy that names none, or no policy: nobody is capped."""
    many = decided(*range(50))

    assert caps_at(50, many, tenant_of(defaults={}, rules=[])) == []
    assert caps_at(50, many, TenantContext()) == []


@pytest.mark.parametrize("decision", ["object", "revoke", "revoke_exception"])
def test_brakes_do_not_count(decision: str) -> None:
    """Nobody is too busy to stop something."""
    assert caps_at(3, decided(0, 1, 2, 3, decision=decision), tenant_of()) == []


@pytest.mark.parametrize(
    "decision",
    ["reject", "revise", "escalate", "defer", "override", "audit_verdict", "grant_exception"],
)
def test_every_other_decision_counts(decision: str) -> None:
    """Not approvals alone: a hasty rejection is as little of a review."""
    assert len(caps_at(3, decided(0, 1, 2, decision=decision), tenant_of())) == 1


def test_others_do_not_count() -> None:
    """Each person has their own hour, and each tenant."""
    decisions = decided(0, 1)
    adding(decisions, 2, by="r.lind")
    adding(decisions, 3, tenant_id="globex")

    assert caps_at(4, decisions, tenant_of()) == []
    assert decisions.people() == [("acme", "r.lind"), ("acme", e.REVIEWER), ("globex", e.REVIEWER)]


def test_a_delegate_decides_in_their_own_hour() -> None:
    """The principal has not decided."""
    decisions = decided(0, 1, 2, by="r.lind", on_behalf_of=e.REVIEWER)

    assert caps_at(3, decisions, tenant_of()) == []
    assert len(caps_at(3, decisions, tenant_of(), by="r.lind")) == 1


def test_one_person_with_two_ids() -> None:
    """The decisions are added up, and every id is capped."""
    world = a_world(a_person(e.REVIEWER, linked_identities=["r.lind"]))
    tenant = replace(world.directory.tenant(e.TENANT), policy=tenant_of().policy)
    decisions = adding(decided(0, 1), 2, by="r.lind")

    found = caps_at(3, decisions, tenant)
    assert [cap.reviewer_id for cap in found] == ["r.lind", e.REVIEWER]
    assert len({cap.event_id for cap in found}) == 2


def test_a_cap_is_written_once() -> None:
    """Not again while as long a one is in force; the same id whoever counts."""
    decisions, tenant = decided(0, 10, 20), tenant_of()
    (cap,) = caps_at(20, decisions, tenant)
    (again,) = caps_at(21, decisions, tenant)
    assert cap.event_id == again.event_id

    assert caps_at(21, decisions, replace(tenant, caps={e.REVIEWER: cap})) == []


def test_the_same_event_twice_counts_once() -> None:
    """As after a restart of a worker."""
    decisions = adding(decided(0, 1), 0, 1)

    assert caps_at(2, decisions, tenant_of()) == []


def test_the_limit_of_a_package() -> None:
    """Its rule's, else that of the defaults; a rule that is gone is none."""
    policy = tenant_of().policy

    assert limit_of(policy, "strict") == 2
    assert limit_of(policy, None) == 3
    assert limit_of(policy, "gone") == 3
    assert limit_of(None, "strict") is None

"""Who may decide: every code, in the fixed order, stopping and collecting as documented."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import CommandRefused, HumanDecisionEvent
from tests import examples as e
from tests.unit.core.world import (
    REFUSED_STRANGER,
    World,
    a_decision_by,
    a_person,
    a_policy,
    approved,
    asked,
    code,
    codes,
    of_other_tenant,
)


def _nobody_of_any_use() -> World:
    """A critical package; r.bad lacks scope and role and risk, has a conflict, and drafted it."""
    bad = a_person(
        "r.bad", "reviewer", scopes=[], max_risk_level="low", conflicts=["case:case-5512"]
    )
    package = e.a_package(risk_level="critical", drafted_by="r.bad")
    policy = a_policy(policy_version="8", rule={"comment_required": ["critical"]})
    return asked(policy, bad, package=package)


EVERYTHING_WRONG: dict[str, Any] = {"on_behalf_of": "r.lind", "comment": " "}


def test_every_rule_that_fails_is_named_in_order() -> None:
    """After ACTION_DIGEST_MISMATCH all rules are looked at; the first is the code."""
    step = _nobody_of_any_use().send(a_decision_by("r.bad", **EVERYTHING_WRONG))

    assert codes(step) == [
        "MISSING_SCOPE",
        "MISSING_ROLE",
        "RISK_ABOVE_LIMIT",
        "DELEGATION_INVALID",
        "SEPARATION_OF_DUTIES",
        "CONFLICT_OF_INTEREST",
        "COMMENT_REQUIRED",
    ]


@pytest.mark.parametrize(
    ("decision", "over"),
    [("object", {}), ("escalate", {}), ("defer", {"defer_until": e.at(30 * 86_400)})],
)
def test_a_decision_not_offered_is_named_after_the_personal_rules(
    decision: str, over: dict[str, Any]
) -> None:
    """DECISION_NOT_ALLOWED stands behind who may: nobody objects in the loop, escalates past the
    ladder's end or defers past defer_max."""
    world = _nobody_of_any_use()
    world.wait(86_401)

    step = world.send(a_decision_by("r.bad", decision, **(EVERYTHING_WRONG | over)))

    assert "DECISION_NOT_ALLOWED" == codes(step)[-1]
    assert "MISSING_SCOPE" == code(step)


@pytest.mark.parametrize(
    ("decision", "over"), [("escalate", {}), ("defer", {"defer_until": e.at(3600)})]
)
def test_escalate_and_defer_are_for_who_has_their_scope(
    decision: str, over: dict[str, Any]
) -> None:
    """MISSING_SCOPE for who may only approve; with the scope it is recorded and stays open."""
    able = a_person("r.able", scopes=[f"notice:{decision}"])
    world = asked(able)

    unable = world.send(a_decision_by(e.REVIEWER, decision, **over))
    done = world.send(a_decision_by("r.able", decision, **over))

    assert (["MISSING_SCOPE"], []) == (codes(unable), codes(done))
    assert not world.last(HumanDecisionEvent).final


def test_an_objection_is_not_for_what_is_in_the_loop() -> None:
    """DECISION_NOT_ALLOWED: where people approve, who is against it rejects."""
    able = a_person("r.able", scopes=["notice:object"])

    step = asked(able).send(a_decision_by("r.able", "object"))

    assert ["DECISION_NOT_ALLOWED"] == codes(step)


STOPS: dict[str, tuple[float, dict[str, Any]]] = {
    # code: seconds waited without firing, changes of the command
    "TOO_LATE": (86_401, {}),
    "STALE_PACKAGE_VERSION": (0, {"expected_package_version": 2}),
    "ACTION_DIGEST_MISMATCH": (0, {"action_digest": "00" * 32}),
}


@pytest.mark.parametrize("first", range(len(STOPS)), ids=list(STOPS))
def test_the_first_failure_stops_before_the_personal_rules(first: int) -> None:
    """Up to ACTION_DIGEST_MISMATCH one code answers, however much else is wrong."""
    world = _nobody_of_any_use()
    over = dict(EVERYTHING_WRONG)
    for waited, part in list(STOPS.values())[first:]:
        over |= part
        world.clock = max(world.clock, waited)

    step = world.send(a_decision_by("r.bad", **over))

    assert [list(STOPS)[first]] == codes(step)


def test_not_open_comes_before_all_of_them() -> None:
    """A decision on a closed interrupt is NOT_OPEN, whoever sends it and whatever it names."""
    world = approved()
    world.clock = 90_000

    step = world.send(a_decision_by("r.nobody", expected_package_version=9, action_digest="x"))

    assert ["NOT_OPEN"] == codes(step)


def test_a_stranger_is_told_nothing() -> None:
    """UNAUTHENTICATED comes first of all, without the version, the reviewer or a reason to guess."""
    world = asked()

    step = world.send(a_decision_by("r.nobody"), **REFUSED_STRANGER)

    refusal = world.last(CommandRefused)
    assert ["UNAUTHENTICATED"] == codes(step)
    assert (None, None) == (refusal.reviewer_id, refusal.current_package_version)


def test_a_signature_for_another_tenant_is_refused_as_that() -> None:
    """TENANT_MISMATCH: validly signed, for another tenant than the record's."""
    step = asked().send(a_decision_by(e.REVIEWER), **of_other_tenant())

    assert ["TENANT_MISMATCH"] == codes(step)


def test_reviewers_always_sign() -> None:
    """The policy's unsigned requests do not make unsigned decisions."""
    world = asked(a_policy(policy_version="8", unsigned_requests="allow"))

    step = world.send(a_decision_by(e.REVIEWER), signer=None)

    assert ["UNAUTHENTICATED"] == codes(step)


def test_in_the_insecure_mode_a_missing_signature_passes() -> None:
    """Where the whole worker takes unsigned records, a decision without signature counts."""
    world = asked()
    world.unsigned = True

    step = world.send(a_decision_by(e.REVIEWER), signer=None)

    assert [] == codes(step)


def test_someone_outside_the_directory_is_unknown() -> None:
    """UNKNOWN_REVIEWER: a valid signature is not an authorization."""
    step = asked().send(a_decision_by("r.nobody"))

    assert ["UNKNOWN_REVIEWER"] == codes(step)


def test_a_removed_reviewer_is_unknown() -> None:
    """UNKNOWN_REVIEWER: whoever was taken out of the directory decides nothing from then on."""
    world = asked()
    world.apply(a_person(e.REVIEWER, removed=True))

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["UNKNOWN_REVIEWER"] == codes(step)


@pytest.mark.parametrize(("seconds", "found"), [(60, []), (61, ["UNKNOWN_REVIEWER"])])
def test_an_authorization_ends_at_its_time(seconds: float, found: list[str]) -> None:
    """An authorization holds up to active_until, judged by the record's append time."""
    world = asked(a_person("r.short", active_until=e.at(60)))
    world.clock = seconds

    step = world.send(a_decision_by("r.short"))

    assert found == codes(step)


def test_each_decision_needs_its_own_scope() -> None:
    """MISSING_SCOPE: who may approve may not therefore reject."""
    step = asked(a_person("r.yes", scopes=["notice:approve"])).send(
        a_decision_by("r.yes", "reject")
    )

    assert ["MISSING_SCOPE"] == codes(step)


def test_a_lower_role_is_not_enough() -> None:
    """MISSING_ROLE: no slot is met by a role below it."""
    step = asked().send(a_decision_by("r.diaz"))

    assert ["MISSING_ROLE"] == codes(step)


def test_a_higher_role_is_enough() -> None:
    """A slot's role is met by any role above it in role_order."""
    step = asked().send(a_decision_by("r.head"))

    assert [] == codes(step)


def test_a_role_outside_the_order_is_met_by_itself_alone() -> None:
    """MISSING_ROLE: even the head does not stand in for legal."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT}]
    world = asked(
        a_policy(policy_version="8", tools=tools, rule={"approvals": [{"role": "legal"}]})
    )

    head, legal = world.send(a_decision_by("r.head")), world.send(a_decision_by("r.legal"))

    assert (["MISSING_ROLE"], []) == (codes(head), codes(legal))


def test_the_risk_ceiling_holds() -> None:
    """RISK_ABOVE_LIMIT: the effective risk is over what the reviewer may decide."""
    step = asked(a_person("r.small", max_risk_level="medium")).send(a_decision_by("r.small"))

    assert ["RISK_ABOVE_LIMIT"] == codes(step)

"""Policy exceptions: decided by a person, for one package and one time, listed where used, never a
precedent."""

from __future__ import annotations

from typing import Any

import pytest

from core.directory import DirectoryRecord, DirectoryRefused
from core.limits import EXCEPTIONS_USED_MAX
from core.step import Step
from schemas.directory import PolicyExceptionChanged
from schemas.events import HumanDecisionEvent, InterruptStatusChanged
from schemas.requests import InterruptRequested
from tests import examples as e
from tests.unit.core.rulebook import (
    DAY,
    HOUR,
    STAFF,
    by,
    decides,
    granted,
    medium,
    of_package,
    open_world,
    out_of_the_loop,
    somebody,
    spread,
    standing,
)
from tests.unit.core.world import (
    World,
    a_directory,
    a_next_request,
    a_policy,
    code,
    codes,
    gates,
    of,
)


def _grants(world: World, reviewer_id: str = "r.lind", **over: Any) -> Step:
    return world.send(by(e.an_exception, reviewer_id, **over))


def _revokes(world: World, reviewer_id: str = "r.lind", **over: Any) -> Step:
    return _grants(world, reviewer_id, **({"action": "revoke"} | over))


def _intake(
    *exceptions: PolicyExceptionChanged,
    request: InterruptRequested | None = None,
    policy: DirectoryRecord | None = None,
) -> tuple[World, Step]:
    """What becomes of a request while these exceptions stand in the directory."""
    more = [policy] if policy else []
    world = World(directory=a_directory(*STAFF, *more, *exceptions))
    return world, world.send(request or e.a_request())


def test_an_exception_is_granted_at_an_open_package() -> None:
    """It is a decision, not final, and every task is told its terms."""
    world = open_world()

    step = _grants(world, kind="missing_evidence")

    decision, told = (
        of(step.events, HumanDecisionEvent)[0],
        of(step.events, PolicyExceptionChanged)[0],
    )
    assert ("grant_exception", False) == (decision.decision, decision.final)
    assert decision.policy_exception is not None
    assert ("granted", "exc-1", e.PACKAGE_ID, "missing_evidence", "r.lind") == (
        told.change, told.exception_id, told.applies_to, told.kind, told.approver_id
    )  # fmt: skip
    assert (decision.event_id, e.at(7 * DAY)) == (told.decision_event_id, told.expires_at)


def test_without_an_end_it_ends_when_the_policy_says() -> None:
    """An exception is never for ever: exception_max bounds it."""
    world = open_world(a_policy(policy_version="8", rule={"exception_max": "3d"}))

    _grants(world, expires_at=None)

    assert e.at(3 * DAY) == world.last(PolicyExceptionChanged).expires_at


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no justification": ("REASON_REQUIRED", {"justification": " "}),
    "nothing excepted": ("REASON_REQUIRED", {"requested_exception": " "}),
    "too long": ("DECISION_NOT_ALLOWED", {"expires_at": e.at(31 * DAY)}),
    "ended": ("DECISION_NOT_ALLOWED", {"expires_at": e.NOW}),
    "reopening of nothing": ("DECISION_NOT_ALLOWED", {"kind": "reopening"}),
    "role": ("MISSING_ROLE", {"reviewer_id": "r.diaz"}),
    "scope": ("MISSING_SCOPE", {"reviewer_id": "r.mute"}),
    "ceiling": ("RISK_ABOVE_LIMIT", {"reviewer_id": "r.low"}),
    "owner": ("SEPARATION_OF_DUTIES", {"reviewer_id": "r.boss"}),
    "conflict": ("CONFLICT_OF_INTEREST", {"reviewer_id": "r.kin"}),
    "stranger": ("UNKNOWN_REVIEWER", {"reviewer_id": "r.nobody"}),
    "stale": ("STALE_PACKAGE_VERSION", {"expected_package_version": 2}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_exception_that_is_refused_lifts_nothing(name: str) -> None:
    """It asks what an approval asks, for words, and for an end within the policy's bound."""
    wanted, over = REFUSED[name][0], dict(REFUSED[name][1])
    world = open_world(
        somebody("r.mute", scopes=["notice:approve"]),
        somebody("r.low", max_risk_level="medium"),
        somebody("r.kin", conflicts=["case:case-5512"]),
    )

    step = _grants(world, over.pop("reviewer_id", "r.lind"), **over)

    assert [wanted] == codes(step)
    assert [] == of(world.events, PolicyExceptionChanged)


def test_an_exception_id_is_granted_once() -> None:
    """Neither again here, nor where another package has used the id, nor after it ended."""
    world = open_world(granted("exc-2", applies_to="pkg-other"))
    _grants(world)

    assert ["DECISION_NOT_ALLOWED"] == codes(_grants(world))
    assert ["DECISION_NOT_ALLOWED"] == codes(_grants(world, exception_id="exc-2"))
    _revokes(world)
    assert ["DECISION_NOT_ALLOWED"] == codes(_grants(world))


def test_the_first_to_take_an_exception_id_keeps_it() -> None:
    """Two packages that grant one id at the same moment: every task goes by the first."""
    world = open_world(granted("exc-1", applies_to="pkg-a", decision_package_id="pkg-a"))
    late = granted("exc-1", applies_to="pkg-b", decision_package_id="pkg-b")

    with pytest.raises(DirectoryRefused, match="exc-1"):
        world.apply(late)
    with pytest.raises(DirectoryRefused, match="exc-1"):
        world.apply(late.model_copy(update={"change": "revoked"}))


def test_an_exception_that_ended_does_not_come_back() -> None:
    """After revoked or expired, granted is refused by the directory."""
    world = open_world(granted(), granted(change="revoked"))

    with pytest.raises(DirectoryRefused, match="ended"):
        world.apply(granted())


def test_a_closed_package_grants_nothing() -> None:
    """NOT_OPEN after a decision, TOO_LATE after the time."""
    world, late = open_world(), open_world()
    world.send(decides("r.lind"))
    late.clock = DAY + 1

    assert ["NOT_OPEN"] == codes(_grants(world))
    assert ["TOO_LATE"] == codes(_grants(late))


def test_an_exception_is_revoked_at_any_time() -> None:
    """Also after the package was decided; every task is told, and it takes a scope and words."""
    world = open_world(somebody("r.mute", scopes=["notice:grant_exception"]))
    _grants(world)
    world.send(decides("r.lind"))

    assert ["MISSING_SCOPE"] == codes(_revokes(world, "r.mute"))
    assert ["REASON_REQUIRED"] == codes(_revokes(world, justification=" "))
    assert [] == codes(_revokes(world, "r.head"))
    assert "revoked" == world.last(PolicyExceptionChanged).change
    assert "revoke_exception" == world.last(HumanDecisionEvent).decision
    assert ["NOT_OPEN"] == codes(_revokes(world))


def test_an_exception_expires_by_itself() -> None:
    """At its end every task is told, once, whatever became of the package."""
    world = open_world()
    _grants(world, expires_at=e.at(HOUR))
    world.send(decides("r.lind"))

    world.wait(HOUR + 1)

    assert "expired" == world.last(PolicyExceptionChanged).change
    assert [] == world.wait(DAY)


# --- the four kinds at intake ---


def _bare(package_id: str = e.PACKAGE_ID, **package: Any) -> InterruptRequested:
    return of_package(package_id, package={"evidence_refs": [], "evidence": []} | package)


def test_missing_evidence_is_excepted() -> None:
    """A package without evidence is taken in under an exception, and the decision lists it."""
    assert "PACKAGE_INCOMPLETE" == code(_intake(request=_bare())[1])
    world, step = _intake(granted(kind="missing_evidence"), request=_bare())

    assert "recorded" == step.verdict
    world.send(decides("r.lind"))
    assert ["exc-1"] == world.last(HumanDecisionEvent).exceptions_used


def test_only_the_evidence_is_excepted() -> None:
    """Everything else that a package needs is still asked for."""
    _, step = _intake(granted(kind="missing_evidence"), request=_bare(rationale=""))

    assert "PACKAGE_INCOMPLETE" == code(step)


def test_an_exception_is_no_precedent() -> None:
    """Another package, as alike as it may be, is not helped."""
    _, step = _intake(granted(kind="missing_evidence"), request=_bare("pkg-2042"))

    assert "PACKAGE_INCOMPLETE" == code(step)


ENDED: dict[str, list[PolicyExceptionChanged]] = {
    "over": [granted(kind="missing_evidence", expires_at=e.at(-1))],
    "revoked": [
        granted(kind="missing_evidence"),
        granted(kind="missing_evidence", change="revoked"),
    ],
    "expired": [
        granted(kind="missing_evidence"),
        granted(kind="missing_evidence", change="expired"),
    ],
    "of another kind": [granted(kind="threshold")],
    "on record only": [granted(kind=None)],
}


@pytest.mark.parametrize("name", ENDED)
def test_what_is_not_in_force_lifts_nothing(name: str) -> None:
    """Ended, revoked, of another kind, or only on record: the package stays incomplete."""
    _, step = _intake(*ENDED[name], request=_bare())

    assert "PACKAGE_INCOMPLETE" == code(step)


def test_an_exception_lifts_the_tables_threshold() -> None:
    """The agent's own risk counts instead of the table's; the decision lists the exception."""
    low = e.a_request(package=e.a_package(risk_level="low"))
    plain, _ = _intake(request=low)
    world, _ = _intake(granted(kind="threshold"), request=low)

    assert plain.now.accepted is not None and world.now.accepted is not None
    assert "medium" == plain.now.accepted.plan.effective_risk
    assert "low" == world.now.accepted.plan.effective_risk
    assert ["exc-1"] == world.now.accepted.plan.exceptions


def test_under_an_exception_nothing_runs_without_people() -> None:
    """What rests on an exception is never out of or on the loop."""
    low = e.a_request(package=e.a_package(risk_level="low"))

    _, plain = _intake(request=low, policy=out_of_the_loop())
    _, step = _intake(granted(kind="threshold"), request=low, policy=out_of_the_loop())

    assert ["opened"] == gates([plain])
    assert [] == gates([step])


def test_a_threshold_that_changes_nothing_is_not_used() -> None:
    """An exception that made no difference is not listed as one the plan rests on."""
    world, _ = _intake(granted(kind="threshold"))

    assert world.now.accepted is not None
    assert [] == world.now.accepted.plan.exceptions


def _reopening(**over: Any) -> InterruptRequested:
    return of_package("pkg-new", package={"reopens": "pkg-closed"} | over)


STRICT = a_policy(policy_version="8", rule={"reopening": "exception"})


def test_reopening_under_an_exception() -> None:
    """Where the policy asks for it, a new package that names the closed one is let through by an
    exception that applies to the closed one."""
    good = granted(kind="reopening", applies_to="pkg-closed")

    assert "NOT_REOPENABLE" == code(_intake(request=_reopening(), policy=STRICT)[1])
    world, step = _intake(good, request=_reopening(), policy=STRICT)
    assert "recorded" == step.verdict
    assert world.now.accepted is not None
    assert ["exc-1"] == world.now.accepted.plan.exceptions


@pytest.mark.parametrize("applies_to", ["pkg-new", "pkg-else"])
def test_a_reopening_is_for_the_closed_package_it_names(applies_to: str) -> None:
    """An exception for another package, or for the new one, reopens nothing."""
    other = granted(kind="reopening", applies_to=applies_to)

    assert "NOT_REOPENABLE" == code(_intake(other, request=_reopening(), policy=STRICT)[1])


def test_reopening_is_free_where_the_policy_allows_it() -> None:
    """By default a new package may name what it reopens, but never runs without people."""
    _, step = _intake(request=_reopening(risk_level="medium"), policy=out_of_the_loop())

    assert "recorded" == step.verdict
    assert [] == gates([step])


def test_outside_the_sla_the_packages_deadline_does_not_count() -> None:
    """Under the exception the policy's time holds; the request's expires_at still counts."""
    late = e.a_request(package=e.a_package(deadline=e.at(HOUR)))
    ending = e.a_request(package=e.a_package(deadline=e.at(HOUR)), expires_at=e.at(2 * HOUR))
    lifted = granted(kind="outside_sla")

    due = [
        (status.decide_by, status.decide_by_source)
        for _, step in (_intake(request=late), _intake(lifted, request=late),
                        _intake(lifted, request=ending))
        for status in of(step.events, InterruptStatusChanged)
    ]  # fmt: skip
    assert [
        (e.at(HOUR), "deadline"), (e.at(DAY), "policy"), (e.at(2 * HOUR), "expires_at")
    ] == due  # fmt: skip


@pytest.mark.parametrize("approver", ["r.boss", e.REQUESTER, "r.twin"])
def test_nobody_excepts_their_own_package(approver: str) -> None:
    """An exception granted at another package by who stands behind this one, under whatever id,
    lifts nothing here: separation of duties is by this package's lineage."""
    own = granted(kind="missing_evidence", approver_id=approver)
    twin = somebody("r.twin", linked_identities=["r.boss"])
    world = World(directory=a_directory(*STAFF, twin, own))

    assert "PACKAGE_INCOMPLETE" == code(world.send(_bare()))


# --- what rests on an exception ---


@pytest.mark.parametrize("change", ["revoked", "expired"])
def test_no_approval_rests_on_an_ended_exception(change: str) -> None:
    """Once it was revoked or has expired, approving is refused; rejecting is not."""
    world, _ = _intake(granted(kind="missing_evidence"), request=_bare())
    world.apply(granted(kind="missing_evidence", change=change))

    assert ["DECISION_NOT_ALLOWED"] == codes(world.send(decides("r.lind")))
    assert [] == codes(world.send(decides("r.lind", "reject")))


def test_an_exception_ends_at_its_time_even_before_its_clock_fires() -> None:
    """A second after expires_at approving is refused."""
    world, _ = _intake(granted(kind="missing_evidence", expires_at=e.at(60)), request=_bare())
    world.clock = 61

    assert ["DECISION_NOT_ALLOWED"] == codes(world.send(decides("r.lind")))


def test_an_exception_granted_here_helps_the_next_version() -> None:
    """Asked for at version 1, it takes version 2 in without the evidence, and no third package."""
    world = open_world()
    _grants(world, kind="missing_evidence")
    spread(world)
    world.send(decides("r.lind", "revise"))

    step = world.send(a_next_request(package={"evidence_refs": []}))

    assert "recorded" == step.verdict
    world.send(decides("r.lind", expected_package_version=2))
    assert ["exc-1"] == world.last(HumanDecisionEvent).exceptions_used
    assert ("decided", "approve") == standing(world)


def test_exceptions_on_record_are_listed() -> None:
    """One that lifts no rule of ours is still named by every decision on its package."""
    world, _ = _intake(granted(kind=None), request=e.a_request(**medium()))
    world.send(decides("r.lind"))

    assert ["exc-1"] == world.last(HumanDecisionEvent).exceptions_used


def test_a_package_rests_on_no_more_exceptions_than_a_decision_can_list() -> None:
    """More than fit on a decision are refused at intake: none is used without being named."""
    many = [granted(f"exc-{number}") for number in range(EXCEPTIONS_USED_MAX + 1)]

    _, full = _intake(*many)
    _, fits = _intake(*many[1:])

    assert "PACKAGE_FULL" == code(full)
    assert "recorded" == fits.verdict

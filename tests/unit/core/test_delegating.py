"""Delegation, absence and linked identities: both names kept, never wider than either's own."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.directory import Absence, ReviewerAuthorization
from schemas.events import HumanDecisionEvent
from schemas.headers import rfc3339
from tests import examples as e
from tests.unit.core.rulebook import DAY, decides, open_world, quorum, somebody, works
from tests.unit.core.world import World, code, codes, gates, of

LENT = e.a_delegation(to="r.lind")


def _lending(**over: Any) -> ReviewerAuthorization:
    form: dict[str, Any] = {"delegates": [LENT]} | over
    return somebody(e.REVIEWER, **form)


def _for_okafor(world: World, by: str = "r.lind", **over: Any) -> list[str]:
    return codes(world.send(decides(by, on_behalf_of=e.REVIEWER, **over)))


def test_a_delegate_decides_in_both_names() -> None:
    """The event names who decided and for whom."""
    world = open_world(_lending())

    step = world.send(decides("r.lind", on_behalf_of=e.REVIEWER))

    decision = of(step.events, HumanDecisionEvent)[0]
    assert ("r.lind", e.REVIEWER) == (decision.reviewer_id, decision.on_behalf_of)
    assert ["opened"] == gates([step])


INVALID: dict[str, list[ReviewerAuthorization]] = {
    "none": [somebody(e.REVIEWER)],
    "to another": [_lending(delegates=[e.a_delegation(to="r.diaz")])],
    "ended": [_lending(delegates=[e.a_delegation(valid_until=e.at(-1), valid_from=e.at(-DAY))])],
    "not begun": [_lending(delegates=[e.a_delegation(valid_from=e.at(1))])],
    "principal gone": [_lending(removed=True)],
    "principal of lower role": [_lending(roles=["reviewer"])],
    "principal without the scope": [_lending(scopes=["notice:reject"])],
    "principal of a lower ceiling": [_lending(max_risk_level="medium")],
}


@pytest.mark.parametrize("name", INVALID)
def test_nobody_decides_on_authority_that_is_not_lent(name: str) -> None:
    """A delegation is to one person, time-boxed, and lends nothing that its giver has not."""
    world = open_world(*INVALID[name])

    assert ["DELEGATION_INVALID"] == _for_okafor(world)


NARROW: dict[str, tuple[str, dict[str, Any]]] = {
    "role": ("MISSING_ROLE", {"roles": ["reviewer"]}),
    "scope": ("MISSING_SCOPE", {"scopes": ["notice:reject"]}),
    "ceiling": ("RISK_ABOVE_LIMIT", {"max_risk_level": "medium"}),
}


@pytest.mark.parametrize("name", NARROW)
def test_a_delegate_gains_nothing(name: str) -> None:
    """What the delegate may not do alone is not theirs through a delegation either."""
    wanted, over = NARROW[name]
    world = open_world(_lending(), somebody("r.lind", **over))

    assert [wanted] == _for_okafor(world)


def test_a_delegation_is_not_passed_on() -> None:
    """The delegate's delegate has no delegation from the principal."""
    chain = somebody("r.lind", delegates=[e.a_delegation(to="r.head")])
    world = open_world(_lending(), chain)

    assert ["DELEGATION_INVALID"] == _for_okafor(world, "r.head")


def test_separation_of_duties_holds_through_a_delegation() -> None:
    """Neither the delegate of who stands behind the package approves, nor who does so as delegate."""
    owner_lends = somebody("r.boss", "head_of_enforcement", delegates=[LENT])
    to_owner = _lending(delegates=[e.a_delegation(to="r.boss")])
    world = open_world(owner_lends, to_owner)

    step = world.send(decides("r.lind", on_behalf_of="r.boss"))

    assert ["SEPARATION_OF_DUTIES"] == codes(step)
    assert ["SEPARATION_OF_DUTIES"] == _for_okafor(world, "r.boss")


def test_the_principals_conflict_bars_the_delegate() -> None:
    """Conflicts and recusals of either person count."""
    conflicted = open_world(_lending(conflicts=["case:case-5512"]))
    recused = open_world(_lending())
    recused.send(works(e.REVIEWER, "recuse"))

    assert ["CONFLICT_OF_INTEREST"] == _for_okafor(conflicted)
    assert ["CONFLICT_OF_INTEREST"] == _for_okafor(recused)


def test_delegate_and_principal_fill_one_slot() -> None:
    """They count as one person, whoever approves first."""
    two = quorum("senior_reviewer", "senior_reviewer")
    world, other = open_world(two, _lending()), open_world(two, _lending())
    world.send(decides("r.lind", on_behalf_of=e.REVIEWER))
    other.send(decides(e.REVIEWER))

    assert ["DUPLICATE_APPROVER"] == codes(world.send(decides(e.REVIEWER)))
    assert ["DUPLICATE_APPROVER"] == codes(world.send(decides("r.lind")))
    assert ["DUPLICATE_APPROVER"] == _for_okafor(other)


def test_a_delegation_that_ends_takes_its_approval_along() -> None:
    """Before the gate opens the approvals are recounted; one on borrowed authority has lapsed."""
    lent = e.a_delegation(valid_until=e.at(60))
    world = open_world(quorum("senior_reviewer", "legal"), _lending(delegates=[lent]))
    world.send(decides("r.lind", on_behalf_of=e.REVIEWER))
    world.clock = 61

    step = world.send(decides("r.legal"))

    assert 1 == of(step.events, HumanDecisionEvent)[0].quorum.have
    assert [] == gates([step])


def _away(**over: Any) -> ReviewerAuthorization:
    absence: dict[str, Any] = {
        "valid_from": e.NOW,
        "valid_until": e.at(DAY),
        "delegate": "r.lind",
    } | over
    return somebody(e.REVIEWER, absences=[Absence(**absence)])


def test_who_is_absent_does_not_decide() -> None:
    """UNKNOWN_REVIEWER says until when; afterwards they decide again."""
    world = open_world(_away())

    step = world.send(decides(e.REVIEWER))
    assert ["UNKNOWN_REVIEWER"] == codes(step)
    assert rfc3339(e.at(DAY)) in str(step.events[0])
    world.clock = DAY + 1
    assert code(world.send(decides(e.REVIEWER))) == "TOO_LATE"


def test_an_absence_ends_with_its_time() -> None:
    """A second after the absence the reviewer is there again."""
    world = open_world(_away(valid_until=e.at(60)))
    world.clock = 61

    assert ["opened"] == gates([world.send(decides(e.REVIEWER))])


def test_the_delegate_of_an_absence_stands_in() -> None:
    """Whom the absence names decides for the absent one while it lasts; nobody else does."""
    assert [] == _for_okafor(open_world(_away()))
    assert ["DELEGATION_INVALID"] == _for_okafor(open_world(_away(delegate=None)))
    assert ["DELEGATION_INVALID"] == _for_okafor(open_world(_away()), "r.head")
    assert ["DELEGATION_INVALID"] == _for_okafor(open_world(_away(valid_from=e.at(1))))


def test_an_absent_delegate_stands_in_for_nobody() -> None:
    """Who is away does not decide for others either."""
    gone = somebody("r.lind", absences=[Absence(valid_from=e.NOW, valid_until=e.at(DAY))])

    assert ["UNKNOWN_REVIEWER"] == _for_okafor(open_world(_away(), gone))


def test_an_approval_stands_while_its_giver_is_on_holiday() -> None:
    """An absence that begins after the approval takes nothing back."""
    world = open_world(quorum("senior_reviewer", "legal"))
    world.send(decides(e.REVIEWER))
    world.apply(_away(valid_from=e.at(1)))
    world.clock = 60

    assert ["opened"] == gates([world.send(decides("r.legal"))])


@pytest.mark.parametrize("linked", [e.REQUESTER, "r.boss", e.AGENT])
def test_a_linked_identity_behind_the_package_bars(linked: str) -> None:
    """Requester, owner and drafter under another id are still the same person."""
    world = open_world(somebody("r.lind", linked_identities=[linked]))

    assert ["SEPARATION_OF_DUTIES"] == codes(world.send(decides("r.lind")))


def test_identities_are_linked_through_others() -> None:
    """If a is b, and b is c, then a is c."""
    world = open_world(
        somebody("r.lind", linked_identities=["r.l2"]),
        somebody("r.l3", linked_identities=["r.l2", e.REQUESTER]),
    )

    assert ["SEPARATION_OF_DUTIES"] == codes(world.send(decides("r.lind")))


def test_a_linked_identity_brings_its_conflicts() -> None:
    """What one id of a person declared, the person has declared."""
    world = open_world(
        somebody("r.twin", conflicts=["case:case-5512"]),
        somebody("r.lind", linked_identities=["r.twin"]),
    )

    assert ["CONFLICT_OF_INTEREST"] == codes(world.send(decides("r.lind")))


def test_linked_identities_approve_once() -> None:
    """Two ids of one person do not make two approvals."""
    world = open_world(
        quorum("senior_reviewer", "senior_reviewer"),
        somebody("r.twin", linked_identities=["r.lind"]),
    )
    world.send(decides("r.lind"))

    assert ["DUPLICATE_APPROVER"] == codes(world.send(decides("r.twin")))

"""One key, one outcome: duplicates, conflicts, and what binds a key."""

from __future__ import annotations

import pytest

from core.limits import KEYS_PER_PACKAGE_MAX
from schemas.events import CommandRefused, HumanDecisionEvent, KeyAnswered
from schemas.state import AnsweredKey
from tests import examples as e
from tests.unit.core.world import (
    a_decision_by,
    a_next_request,
    a_person,
    a_policy,
    approved,
    asked,
    code,
    codes,
    of,
)


def test_the_same_command_again_is_a_duplicate() -> None:
    """Same key and payload: the first event is named again, and nothing else happens."""
    world = approved()
    first = world.last(HumanDecisionEvent)
    before = world.state

    step = world.send(a_decision_by(e.REVIEWER))

    assert ("duplicate", ["DUPLICATE_COMMAND"]) == (step.verdict, codes(step))
    assert first.event_id == world.last(CommandRefused).first_event_id
    assert before is not None
    assert before.model_dump(exclude={"refusals"}) == world.now.model_dump(exclude={"refusals"})


def test_a_duplicate_is_answered_under_its_own_id() -> None:
    """The command id is not part of the payload: the answer carries the one that was sent now."""
    world = approved()

    world.send(a_decision_by(e.REVIEWER, command_id="cmd-again"))

    refusal = world.last(CommandRefused)
    assert ("DUPLICATE_COMMAND", "cmd-again") == (refusal.code, refusal.command_id)


def test_the_same_key_with_another_payload_is_a_conflict() -> None:
    """IDEMPOTENCY_CONFLICT: the first outcome stands."""
    world = approved()
    key = a_decision_by(e.REVIEWER).idempotency_key

    step = world.send(a_decision_by(e.REVIEWER, "reject", idempotency_key=key))

    assert ["IDEMPOTENCY_CONFLICT"] == codes(step)
    assert "approve" == world.now.outcome


def test_a_key_is_bound_to_who_signed() -> None:
    """Two people may choose the same key; neither answers for the other."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = asked(a_policy(policy_version="8", rule={"approvals": two}))

    world.send(a_decision_by(e.REVIEWER, idempotency_key="k"))
    world.send(a_decision_by("r.lind", idempotency_key="k"))

    assert "decided" == world.now.status


def test_idempotency_comes_before_whether_it_is_open() -> None:
    """A repeated command on a closed package is a duplicate, not NOT_OPEN."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "reject"))

    step = world.send(a_decision_by(e.REVIEWER, "reject"))

    assert ["DUPLICATE_COMMAND"] == codes(step)


def test_idempotency_outlives_a_version() -> None:
    """A command for version 1 that comes again after version 2 opened is still a duplicate."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "revise"))
    world.send(a_next_request())

    step = world.send(a_decision_by(e.REVIEWER, "revise"))

    assert ["DUPLICATE_COMMAND"] == codes(step)


def test_a_refusal_that_can_be_mended_does_not_bind() -> None:
    """Once the reviewer stands in the directory, the very same command is recorded."""
    world = asked()
    unknown = world.send(a_decision_by("r.new"))
    world.apply(a_person("r.new"))

    known = world.send(a_decision_by("r.new"))

    assert (["UNKNOWN_REVIEWER"], []) == (codes(unknown), codes(known))


def test_a_missing_comment_does_not_bind_the_key() -> None:
    """The same key may be used again with the comment that was missing."""
    world = asked()
    world.send(a_decision_by(e.REVIEWER, "revise", comment=None))

    step = world.send(a_decision_by(e.REVIEWER, "revise", comment="Name the site."))

    assert [] == codes(step)


@pytest.mark.parametrize("bound", ["TOO_LATE", "NOT_OPEN", "STALE_PACKAGE_VERSION"])
def test_a_refusal_that_time_cannot_mend_binds(bound: str) -> None:
    """TOO_LATE, NOT_OPEN and STALE_PACKAGE_VERSION are answered again as duplicates."""
    world = asked() if bound != "NOT_OPEN" else approved()
    if bound == "TOO_LATE":
        world.clock = 86_401
    version = 7 if bound == "STALE_PACKAGE_VERSION" else 1
    command = a_decision_by("r.lind", expected_package_version=version)
    refusal = world.send(command)

    again = world.send(command)

    assert ([bound], ["DUPLICATE_COMMAND"]) == (codes(refusal), codes(again))
    assert of(refusal.events, CommandRefused)[0].event_id == (
        of(again.events, CommandRefused)[0].first_event_id
    )


def test_a_bound_refusal_on_an_expired_package_is_kept() -> None:
    """TOO_LATE from the table of a package that has expired binds as well."""
    world = asked(a_policy(policy_version="8", rule={"on_timeout": "expire"}))
    world.wait(86_401)

    step = world.send(a_decision_by(e.REVIEWER))

    assert ["TOO_LATE"] == codes(step)
    assert 1 == len(of(step.events, KeyAnswered))


def test_opposite_decisions_at_one_instant_have_one_winner() -> None:
    """Approve and reject appended at the same time: the first is recorded, the other refused."""
    world = asked()

    first = world.send(a_decision_by(e.REVIEWER, "reject"))
    second = world.send(a_decision_by("r.lind", "approve"))

    assert ([], ["NOT_OPEN"]) == (codes(first), codes(second))
    assert "denied" == world.now.gate


def test_a_full_package_keeps_what_it_has_answered() -> None:
    """PACKAGE_FULL refuses new keys only: those already answered are still duplicates."""
    world = asked()
    first = a_decision_by("r.lind", expected_package_version=9)
    world.send(first)
    missing = KEYS_PER_PACKAGE_MAX - len(world.now.answered)
    more = [
        AnsweredKey(key_digest=f"{n:032x}", payload_digest="00", event_id=f"ev-{n}")
        for n in range(missing)
    ]
    world.state = world.now.model_copy(update={"answered": [*world.now.answered, *more]})

    again, new = world.send(first), world.send(a_decision_by(e.REVIEWER))

    assert ("DUPLICATE_COMMAND", "PACKAGE_FULL") == (code(again), code(new))
    assert KEYS_PER_PACKAGE_MAX == len(world.now.answered)


def test_a_full_package_does_not_bind_the_key_it_refuses() -> None:
    """PACKAGE_FULL is not kept for a key, since there is no room to keep it."""
    world = asked()
    full = [
        AnsweredKey(key_digest=f"{n:032x}", payload_digest="00", event_id=f"ev-{n}")
        for n in range(KEYS_PER_PACKAGE_MAX)
    ]
    world.state = world.now.model_copy(update={"answered": full})

    found = [code(world.send(a_decision_by(e.REVIEWER))) for _ in range(2)]

    assert ["PACKAGE_FULL", "PACKAGE_FULL"] == found

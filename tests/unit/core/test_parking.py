"""Decisions that arrive before their package: they wait, bounded, and are judged as they came."""

from __future__ import annotations

from core.authentication import Signer
from core.limits import PARKED_CHARS_MAX, PARKED_PER_PACKAGE_MAX
from schemas.events import (
    CommandParked,
    CommandRefused,
    CommandUnparked,
    HumanDecisionEvent,
    ToolGateEvent,
)
from tests import examples as e
from tests.unit.core.world import (
    PARK_TTL,
    World,
    a_decision_by,
    a_policy,
    a_world,
    code,
    codes,
    gates,
    of,
    signer_of,
    statuses,
)


def _waiting(reviewer: str = e.REVIEWER) -> World:
    world = a_world()
    world.send(a_decision_by(reviewer))
    world.clock += 5
    return world


def test_a_decision_waits_for_its_package() -> None:
    """A decision on a package that nobody has asked for yet is parked, not refused."""
    world = a_world()

    step = world.send(a_decision_by(e.REVIEWER))

    assert ("parked", "awaited") == (step.verdict, world.now.status)
    assert e.at(PARK_TTL.total_seconds()) == of(step.events, CommandParked)[0].park_until


def test_a_parked_decision_is_judged_when_the_package_comes() -> None:
    """Request and waiting approval in one step: opened, then decided, and the gate opens."""
    world = _waiting()

    step = world.send(e.a_request())

    assert [("pending", None), ("decided", "approve")] == statuses([step])
    assert ["opened"] == gates([step])
    assert [] == world.now.parked


def test_a_parked_decision_is_recorded_at_its_own_time() -> None:
    """It is judged by its own append time and signature, and answered under its own id."""
    world = _waiting()

    world.send(e.a_request())

    decision = world.last(HumanDecisionEvent)
    assert (e.at(0), f"cmd-{e.REVIEWER}-approve") == (decision.occurred_at, decision.command_id)
    assert f"key of {e.REVIEWER}" == decision.kid


def test_the_grant_of_a_parked_approval_starts_when_it_is_judged() -> None:
    """Nobody loses the grant's time because the approval had to wait."""
    world = _waiting()

    world.send(e.a_request())

    assert e.at(5 + 48 * 3600) == world.last(ToolGateEvent).valid_until


def test_parked_decisions_are_judged_in_their_order() -> None:
    """Of two that wait, the first is recorded and the second finds the interrupt closed."""
    world = a_world()
    world.send(a_decision_by(e.REVIEWER, "reject"))
    world.send(a_decision_by("r.lind", "approve"))

    step = world.send(e.a_request())

    assert [("pending", None), ("decided", "reject")] == statuses([step])
    assert ["NOT_OPEN"] == codes(step)


def test_a_parked_decision_that_came_twice_counts_once() -> None:
    """Idempotency holds for what waits: the second is a duplicate of the first."""
    world = a_world()
    for _ in range(2):
        world.send(a_decision_by(e.REVIEWER))

    step = world.send(e.a_request())

    assert ["DUPLICATE_COMMAND"] == codes(step)
    assert 1 == len(of(step.events, HumanDecisionEvent))


def test_a_request_that_is_refused_leaves_them_waiting() -> None:
    """An incomplete package does not use up the decisions that wait for a complete one."""
    world = _waiting()

    world.send(e.a_request(package=e.a_package(title="")))

    assert ("awaited", 1) == (world.now.status, len(world.now.parked))


def test_the_wait_is_bounded_in_time() -> None:
    """UNKNOWN_PACKAGE after PARK_TTL, under the command's own id; nothing is left behind."""
    world = _waiting()

    steps = world.wait(PARK_TTL.total_seconds())

    refusal = world.last(CommandRefused)
    assert ["UNKNOWN_PACKAGE"] == [code(step) for step in steps]
    assert (f"cmd-{e.REVIEWER}-approve", e.REVIEWER, e.at(0)) == (
        refusal.command_id,
        refusal.reviewer_id,
        refusal.occurred_at,
    )
    assert world.state is None


def test_each_waits_for_its_own_time() -> None:
    """A younger command goes on waiting when an older one is given up."""
    world = _waiting()
    world.send(a_decision_by("r.lind"))

    world.wait(PARK_TTL.total_seconds() - 4)

    assert ["cmd-r.lind-approve"] == [parked.command_id for parked in world.now.parked]


def test_the_number_that_waits_is_bounded() -> None:
    """UNKNOWN_PACKAGE at once for one command more than may wait."""
    world = a_world()
    for n in range(PARKED_PER_PACKAGE_MAX):
        world.send(a_decision_by(e.REVIEWER, idempotency_key=f"k-{n}"))

    step = world.send(a_decision_by(e.REVIEWER, idempotency_key="one more"))

    assert ["UNKNOWN_PACKAGE"] == codes(step)
    assert PARKED_PER_PACKAGE_MAX == len(world.now.parked)


def test_a_very_long_command_does_not_wait() -> None:
    """UNKNOWN_PACKAGE at once for a command too long to be kept in the state."""
    world = a_world()

    step = world.send(a_decision_by(e.REVIEWER, comment="x" * PARKED_CHARS_MAX))

    assert (["UNKNOWN_PACKAGE"], None) == (codes(step), step.state)


def test_a_version_that_is_never_reached_is_stale() -> None:
    """STALE_PACKAGE_VERSION: a decision on version 2 that waited for the package finds version 1."""
    world = a_world()
    world.send(a_decision_by(e.REVIEWER, expected_package_version=2))

    step = world.send(e.a_request())

    assert ["STALE_PACKAGE_VERSION"] == codes(step)


def test_two_parked_decisions_of_one_gateway_session_count_once() -> None:
    """Key kind and session survive the wait: one session is one approver."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = a_world(a_policy(policy_version="8", rule={"approvals": two}))
    for reviewer in (e.REVIEWER, "r.lind"):
        command = a_decision_by(reviewer)
        world.send(command, signer=signer_of(command, kid="gw", kind="gateway", sid="s"))

    step = world.send(e.a_request())

    assert ["DUPLICATE_APPROVER"] == codes(step)
    assert ["gateway", "gateway"] == [p.signer_kind for p in of(world.events, CommandParked)]


def test_parked_decisions_of_two_sessions_count_as_two() -> None:
    """Distinct sessions of one gateway stay distinct while they wait."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = a_world(a_policy(policy_version="8", rule={"approvals": two}))
    for reviewer in (e.REVIEWER, "r.lind"):
        command = a_decision_by(reviewer)
        world.send(command, signer=signer_of(command, kid="gw", kind="gateway", sid=reviewer))

    step = world.send(e.a_request())

    assert [("pending", None), ("decided", "approve")] == statuses([step])


def test_a_parked_session_meets_one_that_did_not_wait() -> None:
    """A session is the same before and after the package came."""
    two = [{"role": "senior_reviewer"}, {"role": "senior_reviewer"}]
    world = a_world(a_policy(policy_version="8", rule={"approvals": two}))
    first, second = a_decision_by(e.REVIEWER), a_decision_by("r.lind")
    world.send(first, signer=signer_of(first, kid="gw", kind="gateway", sid="s"))
    world.send(e.a_request())

    step = world.send(second, signer=signer_of(second, kid="gw", kind="gateway", sid="s"))

    assert ["DUPLICATE_APPROVER"] == codes(step)


def test_an_unsigned_command_that_waited_is_not_signed_by_waiting() -> None:
    """UNAUTHENTICATED if the worker takes unsigned records no more when the package comes."""
    world = a_world()
    world.unsigned = True
    world.send(a_decision_by(e.REVIEWER), signer=None)
    world.unsigned = False

    step = world.send(e.a_request())

    assert ["UNAUTHENTICATED"] == codes(step)


def test_a_parked_command_is_judged_by_todays_directory() -> None:
    """Authority is that of the moment of judging, not of waiting."""
    world = _waiting("r.new")

    step = world.send(e.a_request())

    assert ["UNKNOWN_REVIEWER"] == codes(step)


def test_everything_that_waited_is_released_before_it_is_judged() -> None:
    """In the journal each command is unparked and then answered."""
    world = _waiting()

    step = world.send(e.a_request())

    kinds = [type(event) for event in step.events]
    assert kinds.index(CommandUnparked) + 1 == kinds.index(HumanDecisionEvent)


def test_a_stranger_cannot_wait() -> None:
    """UNAUTHENTICATED at once: an unproven command takes no room."""
    world = a_world()
    command = a_decision_by(e.REVIEWER)

    step = world.send(command, signer=None, signature_present=True)

    assert (["UNAUTHENTICATED"], None) == (codes(step), step.state)


def test_the_signer_is_who_it_was() -> None:
    """What is parked keeps all that proves the sender."""
    world = a_world()
    command = a_decision_by(e.REVIEWER)
    signer: Signer = signer_of(command, kid="gw", kind="gateway", sid="s")

    world.send(command, signer=signer)

    parked = world.now.parked[0]
    assert (signer.subject, signer.kind, signer.kid, signer.sid) == (
        parked.signer_id,
        parked.signer_kind,
        parked.kid,
        parked.sid,
    )

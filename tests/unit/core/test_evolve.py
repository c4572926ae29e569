"""`evolve` is total: every event of every history folds, and decides nothing."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Final

import pytest

from core.context import Event
from core.evolve import evolve
from core.limits import (
    COMMENT_CHARS_KEPT_MAX,
    COMMENTS_KEPT_MAX,
    EXCEPTIONS_PER_PACKAGE_MAX,
    KEYS_PER_PACKAGE_MAX,
    LINEAGE_NAMES_MAX,
    PARKED_PER_PACKAGE_MAX,
    PRESENTED_KEPT_MAX,
    REFUSALS_KEPT_MAX,
)
from schemas.codec import decode_any, encode
from schemas.events import (
    CommandRefused,
    CommandUnparked,
    InterruptStatusChanged,
    ReviewTaskEvent,
)
from schemas.model import Record
from schemas.state import (
    AnsweredKey,
    ControlPointState,
    GrantedException,
    PendingOverride,
    Presented,
    TaskComment,
)
from schemas.topics import RECORD_BYTES_MAX
from schemas.vocabulary import TaskChange
from tests import examples as e
from tests.unit.core.rulebook import DAY, HOUR, STAFF, open_world
from tests.unit.core.world import (
    World,
    a_decision_by,
    a_next_request,
    a_policy,
    a_world,
    approved,
    asked,
    taken,
)

WORK: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("r.lind", "claim", {}),
    ("r.lind", "release", {}),
    ("r.head", "assign", {"assignee": "r.lind"}),
    ("r.lind", "present", {"presented_digest": "ab" * 32}),
    ("r.lind", "comment", {"comment": "Sample 2 again."}),
    (e.REVIEWER, "recuse", {}),
)


def _everything() -> World:
    """A world that has seen every kind of event, and every change of a review task."""
    world = a_world(*STAFF)
    world.send(a_decision_by("r.nobody"))
    world.send(e.a_request())
    world.apply(
        a_policy(policy_version="9", reapply_to_open=True, rule={"audit_sample": 1.0}), *STAFF
    )
    for number, (who, action, over) in enumerate(WORK):
        command = {"command_id": f"work-{number}", "idempotency_key": f"work-{number}"}
        world.send(e.a_task_command(reviewer_id=who, action=action, **(command | over)))
    world.send(e.an_exception(reviewer_id="r.head", idempotency_key="exception"))
    world.send(a_decision_by("r.lind", "defer", defer_until=e.at(HOUR)))
    world.wait(HOUR + 1)
    world.send(a_decision_by("r.lind", "revise"))
    world.send(a_next_request())
    world.wait(DAY + HOUR)
    world.send(a_decision_by("r.head", expected_package_version=2))
    assert world.now.grant is not None
    grant = world.now.grant.grant_id
    world.send(e.a_take(grant_id=grant))
    world.send(e.a_notice_sent(grant_id=grant, attempt_id="another", event_id="another"))
    world.wait(2 * HOUR)
    world.send(e.an_in_doubt(grant_id=grant))
    world.send(e.a_notice_sent(grant_id=grant))
    world.send(
        e.a_verdict(reviewer_id="r.chief", expected_package_version=2, idempotency_key="verdict")
    )
    return world


def test_every_kind_of_event_folds() -> None:
    """A history with every kind of event there is folds into a state, event by event."""
    world = _everything()
    state: ControlPointState | None = None

    for event in world.events:
        state = evolve(state, event)

    assert {type(event) for event in world.events} == set(typing.get_args(Event))
    changed = {event.change for event in world.events if isinstance(event, ReviewTaskEvent)}
    assert changed == set(typing.get_args(TaskChange))
    assert world.state == state


def test_folding_the_written_events_gives_the_same_state() -> None:
    """Encoded and read back, the events of a history fold into the same bytes."""
    world = _everything()
    state: ControlPointState | None = None

    for event in world.events:
        read: Record = decode_any(encode(event))
        assert isinstance(read, Event)
        state = evolve(state, read)

    assert state is not None
    assert encode(world.now) == encode(state)


def test_the_history_is_the_same_when_judged_again() -> None:
    """The same inputs in the same context give the same events, byte for byte."""
    first, second = _everything(), _everything()

    assert [encode(event) for event in first.events] == [encode(event) for event in second.events]


@pytest.mark.parametrize(
    "event",
    [
        e.a_refusal(),
        CommandUnparked(
            command_id="c", origin="t/0/1", tenant_id=e.TENANT, decision_package_id=e.PACKAGE_ID
        ),
    ],
)
def test_what_concerns_no_control_point_makes_none(event: Event) -> None:
    """A refusal for a package that nobody asked for leaves nothing behind."""
    assert evolve(None, event) is None


def test_an_event_without_its_control_point_is_our_bug() -> None:
    """A status of a package that was never accepted cannot come from the rules."""
    with pytest.raises(AssertionError, match="without a control point"):
        evolve(None, e.a_status())


def test_evolve_changes_nothing_in_place() -> None:
    """The state before an event is the same after it."""
    world = approved()
    before = encode(world.now)

    evolve(world.now, world.last(InterruptStatusChanged))

    assert before == encode(world.now)


def test_only_the_last_refusals_are_kept() -> None:
    """However many commands are refused, the state keeps a few of them, the newest."""
    world = asked()

    for n in range(REFUSALS_KEPT_MAX + 3):
        world.send(a_decision_by("r.nobody", command_id=f"cmd-{n}"))

    kept = [refusal.command_id for refusal in world.now.refusals]
    assert [f"cmd-{n}" for n in range(3, REFUSALS_KEPT_MAX + 3)] == kept


@pytest.mark.parametrize("stranger", ["UNAUTHENTICATED", "TENANT_MISMATCH"])
def test_a_stranger_does_not_write_into_the_state(stranger: str) -> None:
    """What an unproven sender gets refused for does not push out the refusals of others."""
    world = asked()
    refusal: CommandRefused = e.a_refusal(code=stranger, codes=[stranger])

    assert world.state == evolve(world.state, refusal)


@pytest.mark.parametrize("make", [asked, approved, taken])
def test_a_terminal_status_comes_once(make: Callable[[], World]) -> None:
    """An interrupt has at most one final status event."""
    world = make()
    for _ in range(3):
        world.wait(3 * 86_400)

    finals = [x for x in world.events if isinstance(x, InterruptStatusChanged) and x.final]

    assert 1 == len(finals)


def _widest_exception() -> GrantedException:
    world = open_world()
    text = "ü" * 64_000
    world.send(e.an_exception(reviewer_id="r.head", requested_exception=text, justification=text))
    return world.now.exceptions[0]


def _widest_override() -> PendingOverride:
    world = open_world()
    text, call = "ü" * 21_000, e.a_tool_call(e.notice_args(body="ü" * 65_000))
    world.send(
        e.an_override(
            reviewer_id="r.head",
            original_recommendation=text,
            override_decision=text,
            override_reason=text,
            override_tool_call=call,
        )
    )
    assert world.now.override is not None
    return world.now.override


def test_the_largest_state_fits_a_record() -> None:
    """With every list at its limit, a state is far under what a topic takes."""
    world = a_world(a_policy(policy_version="8"))
    for n in range(PARKED_PER_PACKAGE_MAX):
        world.send(
            a_decision_by(e.REVIEWER, idempotency_key="k" * 200 + str(n), comment="ü" * 64_000)
        )
    waiting = world.now.parked
    world.send(e.a_request(package=e.a_package(rationale="ü" * 65_536)))
    accepted = world.now.accepted
    assert accepted is not None
    names = [f"{n:0128}" for n in range(LINEAGE_NAMES_MAX)]
    lineage = accepted.lineage.model_copy(update={"drafters": names, "claimed": names})
    keys = [AnsweredKey(key_digest="0" * 32, payload_digest="0" * 64, event_id="0" * 36)]
    comment = TaskComment(
        by="b" * 128, text="ü" * COMMENT_CHARS_KEPT_MAX, version=1, occurred_at=e.NOW
    )
    shown = Presented(reviewer_id="b" * 128, presented_at=e.NOW, presented_digest="0" * 64)

    largest = world.now.model_copy(
        update={
            "accepted": accepted.model_copy(update={"lineage": lineage}),
            "answered": keys * KEYS_PER_PACKAGE_MAX,
            "parked": waiting,
            "comments": [comment] * COMMENTS_KEPT_MAX,
            "presented": [shown] * PRESENTED_KEPT_MAX,
            "exceptions": [_widest_exception()] * EXCEPTIONS_PER_PACKAGE_MAX,
            "override": _widest_override(),
        }
    )

    assert len(encode(largest)) < RECORD_BYTES_MAX

"""Receipts: what became of a take, said by who took it, and doubts that a human must settle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.context import Receipt
from core.limits import RECEIPTS_OF_OTHERS_MAX, RECEIPTS_PER_GRANT_MAX
from core.step import Step
from core.timers import running
from schemas.events import ReceiptRecorded, ReviewTaskEvent
from schemas.state import Grant
from tests import examples as e
from tests.unit.core.world import (
    World,
    approved,
    code,
    grant_id,
    of,
    signer_of,
    taken,
)

MAKERS: dict[str, Callable[..., Receipt]] = {
    "tool.executed": e.an_executed,
    "tool.failed": e.a_failed,
    "tool.in_doubt": e.an_in_doubt,
    "notice.sent": e.a_notice_sent,
    "notice.failed": e.a_notice_failed,
    "tool.denied": e.a_denied,
    "outcome.reported": e.an_outcome,
}
REPORTS = ["tool.executed", "tool.failed", "tool.in_doubt", "notice.sent", "notice.failed"]
CERTAIN = [name for name in REPORTS if name != "tool.in_doubt"]


def _receipt(world: World, kind: str, **over: Any) -> Receipt:
    form = {"grant_id": grant_id(world), "event_id": f"receipt {kind}".replace(" ", "-")}
    return MAKERS[kind](**(form | over))


def _report(world: World, kind: str, **over: Any) -> Step:
    return world.send(_receipt(world, kind, **over))


def _grant(world: World) -> Grant:
    assert world.now.grant is not None
    return world.now.grant


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_stops_the_clock(kind: str) -> None:
    """A report of the attempt that took is recorded, and execute_within runs no more."""
    world = taken()

    step = _report(world, kind)

    recorded = of(step.events, ReceiptRecorded)[0]
    assert (kind, e.ATTEMPT_ID) == (recorded.receipt_type, recorded.attempt_id)
    assert [] == running(world.now)


@pytest.mark.parametrize("kind", ["tool.denied", "outcome.reported"])
def test_what_is_no_report_leaves_the_clock_running(kind: str) -> None:
    """A denial or a later outcome does not say what became of the take."""
    world = taken()

    step = _report(world, kind)

    assert (None, ["execute_within"]) == (code(step), [t.name for t in running(world.now)])


def test_a_denial_needs_no_take() -> None:
    """An executor that refuses to act before it took has its denial recorded as its own."""
    world = approved()

    step = _report(world, "tool.denied", attempt_id="attempt-x")

    assert "attempt-x" == of(step.events, ReceiptRecorded)[0].attempt_id


@pytest.mark.parametrize("kind", [*REPORTS, "outcome.reported"])
def test_reporting_without_a_take_is_refused(kind: str) -> None:
    """NOT_TAKEN: nobody ran what was not taken, or it must be looked into."""
    world = approved()

    step = _report(world, kind)

    assert "NOT_TAKEN" == code(step)


@pytest.mark.parametrize("kind", REPORTS)
def test_another_attempt_cannot_report(kind: str) -> None:
    """NOT_TAKEN: the report must be of the attempt that took."""
    world = taken()

    step = _report(world, kind, attempt_id="attempt-2")

    assert "NOT_TAKEN" == code(step)


@pytest.mark.parametrize("kind", REPORTS)
def test_another_executor_cannot_report(kind: str) -> None:
    """RECEIPT_MISMATCH: the key must be that of the executor that took."""
    world = taken()
    receipt = _receipt(world, kind)

    step = world.send(receipt, signer=signer_of(receipt, subject="other"))

    assert "RECEIPT_MISMATCH" == code(step)


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_of_another_action_is_refused(kind: str) -> None:
    """RECEIPT_MISMATCH: what was run is not what was approved."""
    world = taken()

    step = _report(world, kind, action_digest="00" * 32)

    assert "RECEIPT_MISMATCH" == code(step)


def test_a_receipt_for_an_unknown_grant_is_refused() -> None:
    """UNKNOWN_GRANT: a receipt names the grant that was taken."""
    step = _report(taken(), "notice.sent", grant_id="grant-invented")

    assert "UNKNOWN_GRANT" == code(step)


def test_the_same_receipt_again_is_a_duplicate() -> None:
    """DUPLICATE_COMMAND: a receipt is recorded once, by its event id."""
    world = taken()
    _report(world, "notice.sent")

    step = _report(world, "notice.sent")

    assert "DUPLICATE_COMMAND" == code(step)
    assert 1 == len(_grant(world).receipt_ids)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("notice.sent", "tool.executed", None),
        ("notice.failed", "tool.failed", None),
        ("notice.sent", "notice.failed", "RECEIPT_MISMATCH"),
        ("tool.failed", "tool.executed", "RECEIPT_MISMATCH"),
        ("tool.executed", "tool.in_doubt", "RECEIPT_MISMATCH"),
        ("tool.failed", "tool.in_doubt", "RECEIPT_MISMATCH"),
        ("tool.in_doubt", "tool.executed", None),
        ("tool.in_doubt", "tool.failed", None),
        ("tool.in_doubt", "tool.in_doubt", None),
    ],
)
def test_reports_must_agree(first: str, second: str, found: str | None) -> None:
    """RECEIPT_MISMATCH: done against not done, or a doubt about what was certain."""
    world = taken()
    _report(world, first)

    step = _report(world, second, event_id="receipt-second")

    assert found == code(step)


def test_a_doubt_is_raised_to_a_human() -> None:
    """tool.in_doubt opens the task again, in doubt; nothing is retried."""
    world = taken()

    _report(world, "tool.in_doubt")

    task = world.last(ReviewTaskEvent)
    assert ("in_doubt", True) == (task.status, _grant(world).in_doubt)


def test_a_second_doubt_is_not_raised_again() -> None:
    """One task is enough for one doubt, whether the clock or the executor raised it."""
    world = taken()
    world.wait(3601)

    step = _report(world, "tool.in_doubt")

    assert ([], True) == (of(step.events, ReviewTaskEvent), _grant(world).in_doubt)


@pytest.mark.parametrize("kind", CERTAIN)
@pytest.mark.parametrize("by_clock", [True, False])
def test_a_later_report_settles_the_doubt(kind: str, by_clock: bool) -> None:
    """A certain report of the attempt ends the doubt and closes its task."""
    world = taken()
    if by_clock:
        world.wait(3601)
    else:
        _report(world, "tool.in_doubt")

    _report(world, kind)

    task = world.last(ReviewTaskEvent)
    assert ("closed", False, kind) == (
        task.status,
        _grant(world).in_doubt,
        _grant(world).receipt_type,
    )


def test_the_receipts_of_a_grant_are_bounded() -> None:
    """PACKAGE_FULL: no flood of receipts makes the state grow."""
    world = taken()

    found = [
        code(_report(world, "tool.in_doubt", event_id=f"r-{n}"))
        for n in range(RECEIPTS_PER_GRANT_MAX + 2)
    ]

    assert [None] * RECEIPTS_PER_GRANT_MAX + ["PACKAGE_FULL"] * 2 == found


def test_others_cannot_keep_out_the_takers_report() -> None:
    """Denials and outcomes fill only their part; the attempt that took still has room."""
    world = taken()
    found = [
        code(_report(world, "tool.denied", event_id=f"r-{n}", attempt_id=f"a-{n}"))
        for n in range(RECEIPTS_OF_OTHERS_MAX + 1)
    ]

    step = _report(world, "notice.sent")

    assert ("PACKAGE_FULL", None) == (found[-1], code(step))


def test_an_outcome_comes_after_the_report() -> None:
    """OutcomeReported is recorded beside the report and does not replace it."""
    world = taken()
    _report(world, "notice.sent")

    step = _report(world, "outcome.reported", outcome="incident")

    assert (None, "notice.sent") == (code(step), _grant(world).receipt_type)

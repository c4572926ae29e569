"""The guard around an action: what is reported is what is known, and a denial is a record."""

from __future__ import annotations

from datetime import datetime

import pytest

from producers.attempt import DETAIL_CHARS_MAX
from producers.connection import BrokerUnreachable
from producers.guard import Denied, NotDone, Permit
from schemas.execution import (
    GrantTake,
    OutcomeReported,
    Receipt,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from schemas.model import Record
from tests import examples as e
from tests.unit.producers.executors import KEY, World, an_open_gate, consumed

Patch = pytest.MonkeyPatch


def permitted(world: World) -> Permit:
    """The executor has taken a grant."""
    gate = an_open_gate()
    world.opened[str(gate.grant_id)] = gate
    permit = world.guard().take(gate)
    assert isinstance(permit, Permit)
    return permit


def receipts(world: World) -> list[Receipt]:
    """What was reported."""
    return [record for record, _, _ in world.wire.published if isinstance(record, Receipt)]


def test_what_returns_was_executed(monkeypatch: Patch) -> None:
    """With what the action said of itself, signed by the executor, under the attempt's own id."""
    world = World(monkeypatch)
    permit = permitted(world)

    with world.guard().acting(permit) as act:
        assert dict(act.args) == e.notice_args()
        act.detail, act.result_digest = "sent", "ab" * 32

    [receipt] = receipts(world)
    assert isinstance(receipt, ToolExecuted)
    assert (receipt.attempt_id, receipt.detail) == (permit.attempt_id, "sent")
    assert (act.receipt, act.reported) == (receipt, True)
    _, identity, record_id = world.wire.published[-1]
    assert identity is not None and (identity.key, identity.subject) == (KEY, e.EXECUTOR)
    assert record_id == receipt.event_id


def test_not_done_is_failed_and_goes_on(monkeypatch: Patch) -> None:
    """Nothing after the block runs as if it had been done."""
    world = World(monkeypatch)
    permit = permitted(world)

    with pytest.raises(NotDone), world.guard().acting(permit):
        raise NotDone("amount: not a number")

    [receipt] = receipts(world)
    assert isinstance(receipt, ToolFailed)
    assert receipt.detail == "amount: not a number"


@pytest.mark.parametrize("error", [ValueError("secret"), KeyboardInterrupt(), SystemExit(1)])
def test_any_other_exception_is_a_doubt(monkeypatch: Patch, error: BaseException) -> None:
    """Never executed, never failed; and its words stay out of the record."""
    world = World(monkeypatch)
    permit = permitted(world)

    with pytest.raises(type(error)), world.guard().acting(permit):
        raise error

    [receipt] = receipts(world)
    assert isinstance(receipt, ToolInDoubt)
    assert type(error).__name__ in str(receipt.detail)
    assert "secret" not in str(receipt.detail)


def test_a_receipt_that_cannot_be_published_is_kept(monkeypatch: Patch) -> None:
    """The action is done and must not be done again; the same receipt is sent later."""
    world = World(monkeypatch, refuses={ToolExecuted})
    permit = permitted(world)

    with pytest.raises(BrokerUnreachable), world.guard().acting(permit) as act:
        act.detail = "done"

    assert isinstance(act.receipt, ToolExecuted) and not act.reported
    world.refuses.clear()
    assert world.guard().report(act.receipt) == act.receipt


def test_the_doubt_is_not_hidden_by_a_broker_that_is_away(monkeypatch: Patch) -> None:
    """The program sees its own exception, with a note."""
    world = World(monkeypatch, refuses={ToolInDoubt})
    permit = permitted(world)

    with pytest.raises(ZeroDivisionError) as caught, world.guard().acting(permit):
        raise ZeroDivisionError

    assert "could not be reported" in caught.value.__notes__[0]


def test_words_never_stop_a_receipt(monkeypatch: Patch) -> None:
    """Too long, not Unicode, no digest: that it was done is true without them."""
    world = World(monkeypatch)

    with world.guard().acting(permitted(world)) as act:
        act.detail, act.result_digest = "\ud800" * (DETAIL_CHARS_MAX + 1), "x" * 2000

    [receipt] = receipts(world)
    assert isinstance(receipt, ToolExecuted)
    receipt.model_dump_json()


def test_a_denial_is_a_record_and_the_same_one_again(monkeypatch: Patch) -> None:
    """Who refused what and why; refusing again changes nothing."""
    world = World(monkeypatch)
    gate = an_open_gate()

    first = world.guard().denied(gate, "the amount is over our limit")
    again = world.guard().denied(gate, "the amount is over our limit")

    assert isinstance(first, ToolDenied) and first == again
    assert first.reason == "the amount is over our limit"
    assert (first.executor_id, first.grant_id) == (e.EXECUTOR, "grant-1")
    nothing = gate.model_copy(update={"grant_id": None})
    assert world.guard().denied(nothing, "no grant") is None


def test_an_outcome_is_reported_by_the_executor(monkeypatch: Patch) -> None:
    """The same words are the same report, other words a further one."""
    world = World(monkeypatch)

    def report(detail: str) -> OutcomeReported:
        return world.guard().report_outcome(
            "grant-1",
            tenant_id=e.TENANT,
            decision_package_id=e.PACKAGE_ID,
            outcome="incident",
            severity="high",
            detail=detail,
        )

    first, again, other = report("a"), report("a"), report("b")

    assert first.event_id == again.event_id != other.event_id
    assert (first.outcome, first.severity, first.reported_by) == ("incident", "high", e.EXECUTOR)
    assert len(world.published(OutcomeReported)) == 3


def test_a_new_attempt_that_comes_too_late_says_that_it_did_nothing(monkeypatch: Patch) -> None:
    """Otherwise a human would be asked. A given attempt may have acted in an earlier life."""
    world = World(monkeypatch)
    gate = an_open_gate()

    def late(record: Record) -> list[Record]:
        assert isinstance(record, GrantTake)
        return [consumed(gate, record.attempt_id, execute_by=e.at(59))]

    world.wire.answering = late

    new, given = world.guard().take(gate), world.guard().take(gate, attempt_id="att-mine")

    assert isinstance(new, Denied) and isinstance(given, Denied)
    assert (new.code, new.taken, given.taken) == ("GRANT_EXPIRED", True, True)
    [receipt] = receipts(world)
    assert isinstance(receipt, ToolFailed)
    assert receipt.attempt_id == new.attempt_id


def test_an_ended_grant_is_told_from_a_bad_one(monkeypatch: Patch) -> None:
    """Neither is taken; neither stands in the log yet."""
    world = World(monkeypatch)
    world.now = datetime.fromtimestamp(e.at(0).timestamp() + 49 * 3600, tz=e.NOW.tzinfo)

    ended = world.guard().take(an_open_gate())

    assert isinstance(ended, Denied)
    assert (ended.code, ended.on_record, ended.taken) == ("GRANT_EXPIRED", False, False)
    assert world.wire.published == []

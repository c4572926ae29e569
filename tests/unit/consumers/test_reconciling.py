"""Grants against takes and receipts: agreement says nothing, and each disagreement is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, get_args

import pytest

from consumers.reconciling import (
    MENDS,
    Consumed,
    Difference,
    Kind,
    Ledger,
    Opened,
    Reported,
    differences,
)
from tests import examples as e

GRANT: Final = (e.TENANT, e.PACKAGE_ID, "grant-1")
OTHER: Final = (e.TENANT, e.PACKAGE_ID, "grant-2")
DIGEST: Final = "aa" * 32
OPENED: Final = Opened(GRANT, "ev-opened", e.INTERRUPT_ID, "notice.send", DIGEST)
CONSUMED: Final = Consumed(GRANT, "ev-consumed", "attempt-1", e.EXECUTOR, e.at(3600))
LATER: Final = e.at(7200)


def a_report(receipt_type: str = "tool.executed", **over: Any) -> Reported:
    """The executor that took the grant reports."""
    form: dict[str, Any] = {
        "grant": GRANT,
        "receipt_type": receipt_type,
        "receipt_id": f"receipt-{receipt_type}",
        "attempt_id": "attempt-1",
        "executor_id": e.EXECUTOR,
        "action_digest": DIGEST,
        "result": "r1",
        "appended": e.at(60),
    }
    return Reported(**(form | over))


def found(
    *reported: Reported,
    opened: Sequence[Opened] = (OPENED,),
    consumed: Sequence[Consumed] = (CONSUMED,),
    now: datetime = LATER,
) -> list[Difference]:
    """What differs in a history."""
    return differences(Ledger(opened, consumed, reported), now)


def kinds(differing: list[Difference]) -> list[str]:
    """Their kinds."""
    return [one.kind for one in differing]


def test_granted_taken_and_reported_is_one_story() -> None:
    """Executed by the one that took it, in time, as granted."""
    assert found(a_report()) == []
    assert found(a_report("notice.sent", executor_id=None)) == []
    assert found(a_report("tool.failed")) == []


def test_what_is_not_taken_or_not_due_yet_is_no_difference() -> None:
    """An open grant waits, and an executor has its time."""
    assert found(consumed=()) == []
    assert found(now=e.at(3600)) == []


def test_executed_without_a_grant() -> None:
    """No gate was ever opened with that grant, or it was another package's."""
    [none] = found(a_report(), opened=(), consumed=())
    [elsewhere] = found(
        a_report(grant=(e.TENANT, "pkg-other", "grant-1")), a_report(receipt_id="mine")
    )

    assert (none.kind, none.grant, none.receipt_id) == (
        "without_grant",
        GRANT,
        "receipt-tool.executed",
    )
    assert (elsewhere.kind, elsewhere.grant[1]) == ("without_grant", "pkg-other")


def test_executed_without_a_take() -> None:
    """Nobody took the grant, or another attempt did."""
    [nobody] = found(a_report(), consumed=())
    another = found(a_report(attempt_id="attempt-2"), a_report(receipt_id="mine"))

    assert (nobody.kind, "was taken by nobody" in nobody.what) == ("without_take", True)
    assert [(one.kind, one.attempt_id) for one in another] == [("without_take", "attempt-2")]
    assert "was taken by attempt-1" in another[0].what


def test_executed_before_its_take() -> None:
    """The take came afterwards, and what was said before it does not answer it."""
    early = found(a_report(refused="NOT_TAKEN"))

    assert kinds(early) == ["not_reported", "without_take"]


def test_a_failure_that_was_not_taken_is_nothing() -> None:
    """Nothing was done, by its own word, and nothing was allowed."""
    assert found(a_report("tool.failed"), consumed=()) == []
    assert found(a_report("notice.failed"), opened=(), consumed=()) == []


def test_taken_and_not_reported_in_time() -> None:
    """Past `execute_by` with no receipt of that attempt in the log."""
    [late] = found()

    assert (late.kind, late.attempt_id, late.executor_id) == (
        "not_reported",
        "attempt-1",
        e.EXECUTOR,
    )


def test_a_doubt_stays_until_it_is_settled() -> None:
    """`in_doubt` is a report, and no answer."""
    doubt = a_report("tool.in_doubt")

    assert kinds(found(doubt)) == ["in_doubt"]
    assert found(doubt, a_report(appended=e.at(61))) == []


def test_another_action_than_was_granted() -> None:
    """The digest of the receipt is not the grant's."""
    [other] = found(a_report(action_digest="bb" * 32))

    assert (other.kind, other.receipt_id) == ("other_action", "receipt-tool.executed")
    assert "bb" * 32 in other.what


def test_another_executor_than_took_it() -> None:
    """Also by its signature, where the record names none."""
    assert kinds(found(a_report(executor_id="svc:other"))) == ["other_executor"]
    assert kinds(found(a_report("notice.sent", executor_id="svc:other"))) == ["other_executor"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tool.executed", "tool.failed"),
        ("tool.failed", "tool.executed"),
        ("notice.sent", "tool.failed"),
        ("tool.executed", "tool.in_doubt"),
        ("tool.failed", "tool.in_doubt"),
    ],
)
def test_receipts_that_contradict_each_other(first: str, second: str) -> None:
    """Done and not done, or a doubt about what was certain; the later one is named."""
    [one] = found(a_report(first), a_report(second, appended=e.at(61)))

    assert (one.kind, one.receipt_id) == ("contradiction", f"receipt-{second}")
    assert one.what.startswith(f"{second} after {first}")


def test_two_results_of_one_grant() -> None:
    """Two receipts tell of different results: it was run twice. The same one again is no second."""
    again = a_report(receipt_id="receipt-2", appended=e.at(61))

    assert kinds(found(a_report(), replace(again, result="r2"))) == ["executed_twice"]
    assert found(a_report(), again) == []
    assert found(a_report(), a_report(appended=e.at(61))) == []


def test_a_grant_that_was_consumed_twice() -> None:
    """One grant by two attempts, or two grants of one interrupt; a copy of an event is none."""
    twice = replace(CONSUMED, event_id="ev-2", attempt_id="attempt-2")
    two = (OPENED, replace(OPENED, grant=OTHER, event_id="ev-opened-2"))
    both = (CONSUMED, replace(CONSUMED, grant=OTHER, event_id="ev-2"))
    of_other = a_report(grant=OTHER, receipt_id="receipt-2")

    assert "consumed_twice" in kinds(found(a_report(), consumed=(CONSUMED, twice)))
    assert kinds(found(a_report(), of_other, opened=two, consumed=both)) == ["consumed_twice"]
    assert found(a_report(), opened=(OPENED, OPENED), consumed=(CONSUMED, CONSUMED)) == []


def test_what_nobody_entitled_has_sent_says_nothing() -> None:
    """A forged receipt is no execution, and settles nothing."""
    forged = a_report(refused="UNAUTHENTICATED", attempt_id="attempt-9")

    assert found(forged, a_report()) == []
    assert kinds(found(a_report(refused="TENANT_MISMATCH"))) == ["not_reported"]


def test_other_refusals_are_told_and_hide_nothing() -> None:
    """The worker refused it and the executor still did it."""
    [one] = found(a_report(refused="NOT_TAKEN"), consumed=())

    assert (one.kind, one.what.endswith("the worker refused it: NOT_TAKEN")) == (
        "without_take",
        True,
    )


def test_a_receipt_that_came_twice_is_one_difference() -> None:
    """At-least-once senders repeat themselves."""
    assert kinds(found(a_report(), a_report(appended=e.at(61)), consumed=())) == ["without_take"]


def test_every_kind_says_what_to_do() -> None:
    """A difference without a mend helps nobody."""
    assert set(MENDS) == set(get_args(Kind))
    form = found()[0].form()
    assert form["mend"] == MENDS["not_reported"]
    assert (form["tenant_id"], form["decision_package_id"], form["grant_id"]) == GRANT

"""The demo's payments: once a grant, once a payment id, and an amount that is text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.payments import Ledger, main
from producers.guard import NotDone, Permit
from tests import examples as e
from tests.unit.demo.permits import a_permit, payment_args


def a_payment(number: int = 1, **over: Any) -> Permit:
    """An approved payment."""
    return a_permit(number, "payment.execute", "payment", payment_args(number, **over))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "payments.sqlite3", clock=lambda: e.at(90))


def test_a_payment_is_entered_once_a_grant(ledger: Ledger) -> None:
    """Again, it is the first result; and the ledger can say later that it was done."""
    first, again = ledger.pay(a_payment()), ledger.pay(a_payment())

    [row] = ledger.rows()
    assert (row["payee"], row["amount"], row["currency"]) == ("ACME", "120.50", "EUR")
    assert (row["grant_id"], row["approvers"]) == ("grant-1", [e.REVIEWER])
    assert first == again == ledger.recall("grant-1")
    assert ledger.recall("grant-2") is None


def test_a_payment_id_is_paid_once_whoever_approved_it_again(ledger: Ledger) -> None:
    """Another grant is no second payment."""
    ledger.pay(a_payment(1))

    with pytest.raises(NotDone, match="payment_id: PAY-1 was paid before"):
        ledger.pay(a_payment(2, payment_id="PAY-1"))

    assert len(ledger.rows()) == 1


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"amount": 120.5}, "amount"),
        ({"amount": "120,50"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "1.234"}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"payee": ""}, "payee"),
        ({"payment_id": "a/b"}, "payment_id"),
        ({"fee": "1"}, "fee"),
    ],
)
def test_malformed_arguments_are_refused_by_field(
    ledger: Ledger, over: dict[str, Any], field: str
) -> None:
    """And the value is not repeated: what is refused is on record for ever."""
    with pytest.raises(NotDone, match=f"^{field}: ") as caught:
        ledger.pay(a_payment(**over))

    assert not over[field] or str(over[field]) not in str(caught.value).removeprefix(field)
    assert ledger.rows() == []


def test_it_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object a line."""
    file = tmp_path / "payments.sqlite3"
    Ledger(file).pay(a_payment())

    assert main(["--file", str(file), "list"]) == 0
    assert '"amount": "120.50"' in capsys.readouterr().out

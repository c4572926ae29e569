"""`reconcile`: what it prints, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.reconciling import Ledger
from countersign.commands import reconcile
from tests.unit.consumers.test_reconciling import CONSUMED, OPENED, a_report
from tests.unit.countersign.command import Command


def with_ledger(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> dict[str, Any]:
    """The log holds this; what the command asks for."""
    asked: dict[str, Any] = {}

    def read(*_: Any, **how: Any) -> Ledger:
        asked.update(how)
        return ledger

    monkeypatch.setattr(reconcile, "read_ledger", read)
    return asked


def test_agreement_is_said_and_ends_well(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0, with what was looked at."""
    asked = with_ledger(monkeypatch, Ledger([OPENED], [CONSUMED], [a_report()]))

    ran = command("reconcile", "--tenant", "acme")

    assert (ran.code, ran.out) == (0, "they agree: 1 grants, 1 takes, 1 receipts\n")
    assert asked["tenant_id"] == "acme"


def test_a_difference_is_named_with_its_ids_and_what_to_do(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1; the same as JSON."""
    with_ledger(monkeypatch, Ledger([OPENED], [], [a_report()]))

    text, data = command("reconcile"), command("reconcile", "--json")

    assert (text.code, data.code) == (1, 1)
    for part in ("without_take: acme/", "grant-1", "attempt attempt-1", "do: stop the executor"):
        assert part in text.out
    assert data.json["agree"] is False
    assert [one["kind"] for one in data.json["differences"]] == ["without_take"]


def test_nobody_answers(command: Command) -> None:
    """Exit 3, as everywhere."""
    assert command("reconcile").code == 3

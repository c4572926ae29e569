"""What `request` and `wait` say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from countersign.deployment import Deployment
from schemas.canonical import record_json
from schemas.model import Record
from schemas.requests import InterruptRequested
from tests import examples as e
from tests.examples.tasks import an_open
from tests.unit.countersign.command import Command
from tests.unit.producers.clients import wired


class Found:
    """The queue: one control point."""

    def find(self, *_: object) -> Any:
        """It."""
        return an_open(e.PACKAGE_ID)


def test_a_request_is_open_and_nothing_is_said_of_whom_it_waits_for(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policy alone may have decided it in the same moment; `wait` tells."""

    def opened(record: Record) -> list[Record]:
        assert isinstance(record, InterruptRequested)
        return [
            e.a_status(status="pending", final=False, outcome=None, required_role="head"),
            e.a_status(status="decided", final=True, outcome="approve"),
        ]

    wired(monkeypatch, opened)
    form = record_json(e.a_request())
    Path("request.json").write_text(json.dumps(form))

    ran = command("request", "request.json")

    assert ran.out == (
        f"{e.PACKAGE_ID}: open; wait for its outcome with: "
        f"countersign wait {e.PACKAGE_ID} --tenant {e.TENANT}\n"
    ), ran.err


def test_what_expired_is_not_expired_with_expired(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is told where it says more than the status; exit 1."""
    wire = wired(monkeypatch, lambda _: [])
    interrupt = f"{e.PACKAGE_ID}-v1"
    wire.answers.append(
        e.a_status(
            interrupt_id=interrupt, status="expired", final=True, outcome="expired", reason="late"
        )
    )
    monkeypatch.setattr(Deployment, "queue", lambda _: Found())

    ran = command("wait", e.PACKAGE_ID)

    assert (ran.code, ran.out) == (1, f"{e.PACKAGE_ID}: expired: late\n"), ran.err

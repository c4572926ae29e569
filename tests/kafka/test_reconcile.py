"""The reconciler and the context of reviews, on the real log."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from consumers.settings import PREFIX
from schemas.directory import PolicyExceptionChanged
from schemas.events import CommandRefused, HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from schemas.journal import JournalEntry
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.unit.countersign.command import Command


@pytest.fixture
def cli(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Commands that speak to the test's deployment."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in deployment.env.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(deployment.directory)
    return Command(capsys, monkeypatch)


def test_an_execution_without_a_take_is_found_and_a_forged_one_is_not(
    deployment: Deployment, cli: Command
) -> None:
    """The forged receipt comes first, under the id of the true one."""
    deployment.worker()
    deployment.agent().submit(e.a_request())
    deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")
    gate = eventually(lambda: deployment.records("tool-gate", ToolGateEvent), within_s=20)[0]
    receipt = e.an_executed(grant_id=gate.grant_id, action_digest=gate.action_digest)
    deployment.publish(receipt, by=None, record_id=receipt.event_id)
    eventually(lambda: deployment.records("command-refused", CommandRefused), within_s=20)
    forged = cli("reconcile", "--json")
    deployment.publish(receipt, by=e.EXECUTOR, record_id=receipt.event_id)
    eventually(lambda: len(deployment.records("command-refused", CommandRefused)) == 2, within_s=20)
    true = cli("reconcile", "--tenant", e.TENANT, "--json")

    assert (forged.code, forged.json["differences"]) == (0, [])
    assert true.code == 1
    [difference] = true.json["differences"]
    assert (difference["kind"], difference["receipt_id"]) == ("without_take", receipt.event_id)
    assert "NOT_TAKEN" in difference["what"]


def test_an_exception_of_one_task_holds_in_another(deployment: Deployment) -> None:
    """It goes over the one partition of review-context, and the journal says how far it was read."""
    count = deployment.settings.partitions
    own = partition_for(record_key(e.TENANT, e.PACKAGE_ID), count)
    target = next(
        name
        for name in (f"pkg-{number}" for number in range(100))
        if partition_for(record_key(e.TENANT, name), count) != own
    )
    grants = e.a_reviewer(scopes=["notice:approve", "notice:grant_exception"])
    deployment.publish_people(grants)
    deployment.worker()
    deployment.agent().submit(e.a_request())
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    command = e.an_exception(kind="missing_evidence", applies_to=target, expires_at=tomorrow)
    deployment.publish(command, by=command.reviewer_id, record_id=command.command_id)
    eventually(lambda: deployment.records("review-context", PolicyExceptionChanged), within_s=20)

    request = e.a_request(
        interrupt_id="int-target",
        package=e.a_package(decision_package_id=target, evidence_refs=[]),
    )
    deployment.agent().submit(request)

    opened = eventually(
        lambda: [
            status
            for status in deployment.records("interrupt-status", InterruptStatusChanged)
            if status.decision_package_id == target
        ],
        within_s=20,
    )
    assert opened[0].status == "pending"
    [read] = deployment.reads("review-context")
    assert read.partition == 0
    [granted] = deployment.records("human.decision_recorded", HumanDecisionEvent)
    assert granted.decision == "grant_exception"
    offsets = [
        entry.context.review_context_offset
        for entry in deployment.records("audit-journal", JournalEntry)
        if entry.input.key == record_key(e.TENANT, target)
    ]
    assert offsets == [2]  # the exception, and the marker of its transaction

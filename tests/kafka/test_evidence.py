"""Checkpoints and evidence on the real broker: written, survived, exported, and no way around."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumers.settings import PREFIX
from producers.publisher import Publisher
from schemas.events import InterruptStatusChanged
from schemas.journal import JournalCheckpoint
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.unit.countersign.command import NOBODY, Command


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


def ask_and_decide(deployment: Deployment, cli: Command) -> None:
    """A request and an approval, answered by the worker."""
    text = e.a_request().model_dump_json(exclude_defaults=True)
    Path("request.json").write_text(text, encoding="utf-8")
    asked = cli("request", "request.json", "--key", deployment.key_file(e.AGENT))
    assert asked.code == 0, asked.err
    command = e.a_decision()
    deployment.publish(command, by=e.REVIEWER, record_id=command.command_id)
    eventually(lambda: any(
        one.final for one in deployment.records("interrupt-status", InterruptStatusChanged)
    ))  # fmt: skip


def test_the_evidence_of_a_package_is_exported_and_proven_without_the_broker(
    deployment: Deployment, cli: Command
) -> None:
    """Through a worker that was killed; and a checkpoint by somebody else is found at the broker."""
    first = deployment.worker(CHECKPOINT_ENTRIES="2")
    ask_and_decide(deployment, cli)
    first.kill()
    deployment.worker(CHECKPOINT_ENTRIES="2")
    late = e.a_decision(command_id="cmd-late", idempotency_key="late")
    deployment.publish(late, by=e.REVIEWER, record_id=late.command_id)
    eventually(lambda: deployment.records("audit-checkpoint", JournalCheckpoint))

    verified = cli("audit", "verify", "--json")
    written = cli("audit", "export", e.INTERRUPT_ID, "--tenant", e.TENANT, "--out", "evidence",
                  "--json")  # fmt: skip
    proven = cli("audit", "verify", "evidence", "--manifest-sha256",
                 written.json["manifest_sha256"], "--json",
                 settings={"BOOTSTRAP_SERVERS": NOBODY})  # fmt: skip
    again = cli("audit", "export", "--out", "evidence")

    assert verified.code == 0, verified.err
    assert verified.json["checkpoints"] > 0
    assert verified.json["covered"] > 0
    assert verified.json["unsigned"] == 0
    assert written.code == 0, written.err
    assert proven.code == 0, proven.err
    assert proven.json["rejudged"] >= 2
    assert (proven.json["unproven"], proven.json["refolded"]) == (0, 0)
    assert (again.code, "not empty" in again.err) == (2, True)

    place = deployment.reads("audit-checkpoint")[-1]
    headers = [(name, value or b"") for name, value in place.headers]
    with Publisher(deployment.kafka) as out:
        out.publish_raw(
            deployment.topic("audit-checkpoint"),
            e.PACKAGE_ID.encode(),
            (place.value or b"")[:-1] + b"\x00",
            headers,
        )
    forged = cli("audit", "verify", "--json")

    assert forged.code == 1
    assert forged.json["fault"]["where"] == "audit-checkpoint"

"""A subject's whole way on real servers: sealed, approved, mailed, erased, and still proven."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumers.queue import Queue
from consumers.settings import PREFIX
from deploy.mail_sink import MailSink
from schemas.execution import NoticeSent
from schemas.journal import JournalCheckpoint
from schemas.topics import TOPICS
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.unit.countersign.command import Command

WORDS = "Their daughter told me so."
PLANTED = (e.RECIPIENT, "permitted discharge", "Harbour Freight", "EN-2041", WORDS, "site 12")


@pytest.fixture
def cli(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Commands that speak to the test's deployment, with keys of subjects."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in deployment.env.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(deployment.directory)
    monkeypatch.setenv(f"{PREFIX}SUBJECT_KEYS", str(deployment.directory / "subjects"))
    return Command(capsys, monkeypatch)


def found_in_kafka(deployment: Deployment) -> list[str]:
    """Which planted texts stand anywhere in any topic."""
    stored = b"".join(
        part or b""
        for topic in TOPICS
        for read in deployment.reads(topic)
        for part in (read.key, read.value, *(value for _, value in read.headers))
    )
    assert b"sealed:1:" in stored
    return [text for text in PLANTED if text.encode() in stored]


def test_an_erased_subject_is_nowhere_in_kafka_and_the_journal_proves(
    deployment: Deployment, cli: Command
) -> None:
    """The mail had the words; after the erasure nobody can read them, and `audit verify` is good."""
    keys = str(deployment.directory / "subjects")
    text = e.a_request().model_dump_json(exclude_defaults=True)
    Path("request.json").write_text(text, encoding="utf-8")
    with MailSink() as sink:
        deployment.worker(CHECKPOINT_ENTRIES="2")
        notifier = deployment.notifier(SMTP_URL=sink.url, SUBJECT_KEYS=keys)
        asking = ("request", "request.json", "--key", deployment.key_file(e.AGENT))
        first, again = cli(*asking), cli(*asking)
        assert (first.code, again.code) == (0, 0), first.err + again.err
        assert "asked before" in again.out, "sealed again it is the same request"
        state = eventually(
            lambda: Queue(deployment.config, deployment.topic).find(e.TENANT, e.PACKAGE_ID)
        )
        assert state.accepted is not None
        digest = state.accepted.action_digest
        decided = cli(
            "decide", e.PACKAGE_ID, "--tenant", e.TENANT, "--as", e.REVIEWER, "--version", "1",
            "--key", deployment.key_file(e.REVIEWER), "--decision", "approve",
            "--comment", WORDS, "--action-digest", digest,
        )  # fmt: skip
        assert decided.code == 0, decided.err
        eventually(lambda: deployment.records("notice.sent", NoticeSent))
        notifier.stop()
        [mail] = sink.received
    assert mail.recipients == (e.RECIPIENT,)
    eventually(lambda: deployment.records("audit-checkpoint", JournalCheckpoint))
    assert found_in_kafka(deployment) == []
    shown = cli("audit", "show", e.PACKAGE_ID, "--tenant", e.TENANT, "--json")
    listed = cli("interrupts", "show", e.PACKAGE_ID, "--tenant", e.TENANT)
    assert WORDS in shown.out and e.RECIPIENT in shown.out
    assert "Harbour Freight" in listed.out

    erased = cli("audit", "erase", "case:case-5512", "--tenant", e.TENANT, "--yes", "--json")
    assert erased.code == 0, erased.err

    verified = cli("audit", "verify", "--json")
    assert verified.code == 0, verified.err
    assert verified.json["good"] and verified.json["rejudged"] >= 2
    for argv in (
        ("audit", "show", e.PACKAGE_ID),
        ("interrupts", "show", e.PACKAGE_ID),
        ("explain", e.PACKAGE_ID),
    ):
        after = cli(*argv, "--tenant", e.TENANT)
        assert not [text for text in PLANTED if text in after.out], argv
        if argv[0] != "explain":
            assert f"erased on {erased.json['erased_on']}" in after.out
    tail = cli("tail", "interrupt-requested", "--from-start", "--count", "1", "--json")
    assert f"erased on {erased.json['erased_on']}" in tail.out

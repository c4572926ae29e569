"""The notifier as a real process on real Kafka and real SMTP; the test plays the control worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from core.authentication import authenticate
from core.jwk import TrustedKeys, trusted_key
from deploy.mail_sink import MailSink
from producers.guard import stable_attempt_id
from producers.keys import read_key
from producers.signing import sign_grant
from schemas.canonical import action_digest, canonical_json
from schemas.codec import decode
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake, NoticeFailed, NoticeSent, ToolDenied, ToolInDoubt
from schemas.headers import CE_TYPE, header
from schemas.model import Record
from tests.examples import (
    EFFECT,
    EXECUTOR,
    RECIPIENT,
    TENANT,
    TOOL,
    a_gate_event,
    a_refusal,
    notice_args,
)
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.service import Service

SESSION_MS: Final = "6000"
"""The shortest that brokers allow: a dead notifier is missed after 6 s."""
_BOUND = (
    "tenant_id",
    "interrupt_id",
    "decision_package_id",
    "package_version",
    "effect_type",
    "action_digest",
)


@dataclass
class PlayedWorker:
    """What the control worker does for a grant, done by the test."""

    deployment: Deployment
    gates: dict[str, ToolGateEvent] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    answered: int = 0
    execute_within: timedelta = timedelta(minutes=10)

    def open(self, number: int = 1, **args: object) -> ToolGateEvent:
        """Opens a gate with a signed grant."""
        now = datetime.now(UTC)
        args_json = canonical_json(notice_args(**args))
        gate = a_gate_event(
            event_id=f"opened-{number}",
            decision_package_id=f"pkg-{number}",
            grant_id=f"grant-{number}",
            args_json=args_json,
            action_digest=action_digest(TOOL, EFFECT, args_json),
            occurred_at=now,
            valid_until=now + timedelta(hours=1),
        )
        claims: dict[str, Any] = {
            "aud": gate.tool_name,
            "sub": gate.run_id,
            "jti": gate.grant_id,
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(hours=1)).timestamp()),
            **{name: getattr(gate, name) for name in _BOUND},
        }
        signed = sign_grant(claims, read_key(self.deployment.key_file("grant")))
        gate = gate.model_copy(update={"grant_jws": signed})
        self.gates[str(gate.grant_id)] = gate
        self._publish(gate, gate.event_id)
        return gate

    def answer(self) -> int:
        """Answers the takes that came since: the first has it, another is a duplicate."""
        takes = self.takes()
        for take in takes[self.answered :]:
            if take.grant_id in self.taken:
                refused = a_refusal(
                    event_id=f"refused-{self.answered}",
                    command_id=take.attempt_id,
                    refused_type="grant.take",
                    code="DUPLICATE_COMMAND",
                    decision_package_id=take.decision_package_id,
                )
                self._publish(refused, refused.event_id)
            else:
                self._consume(take)
            self.answered += 1
        return len(takes)

    def takes(self) -> list[GrantTake]:
        """The takes in the log."""
        found = self.deployment.records("tool-execution", GrantTake)
        return [record for record in found if type(record) is GrantTake]

    def _consume(self, take: GrantTake) -> None:
        self.taken.add(take.grant_id)
        now = datetime.now(UTC)
        consumed = self.gates[take.grant_id].model_copy(
            update={
                "event_id": f"consumed-{take.grant_id}",
                "gate": "consumed",
                "args_json": None,
                "grant_jws": None,
                "executor_id": take.executor_id,
                "attempt_id": take.attempt_id,
                "execute_by": now + self.execute_within,
                "occurred_at": now,
            }
        )
        self._publish(consumed, consumed.event_id)

    def _publish(self, record: Record, record_id: str) -> None:
        self.deployment.publish(record, by=None, record_id=record_id)


class DyingNotifier(Service):
    """The notifier, which kills itself at a step."""

    def __init__(self, deployment: Deployment, dies_at: str, smtp_url: str) -> None:
        env = {**deployment.env, "DIES_AT": dies_at, "COUNTERSIGN_SMTP_URL": smtp_url}
        env["COUNTERSIGN_KAFKA_SESSION_TIMEOUT_MS"] = SESSION_MS
        super().__init__("dying", (), env, deployment.directory / "dying.log")
        self._command = [sys.executable, "-m", "tests.kafka.notifier_that_dies"]


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with MailSink() as sink:
        yield sink


@pytest.fixture
def worker(deployment: Deployment) -> PlayedWorker:
    return PlayedWorker(deployment)


def short_sighted(deployment: Deployment, sink: MailSink) -> Service:
    """A notifier whose death is noticed soon."""
    return deployment.notifier(SMTP_URL=sink.url, KAFKA_SESSION_TIMEOUT_MS=SESSION_MS)


def outcome(deployment: Deployment) -> list[Record]:
    """Every receipt that stands in the log."""
    kinds = (NoticeSent, NoticeFailed, ToolInDoubt, ToolDenied)
    found: list[Record] = [
        *deployment.records("notice.sent"),
        *deployment.records("tool-execution"),
    ]
    return [record for record in found if isinstance(record, kinds)]


def reported(deployment: Deployment, worker: PlayedWorker) -> Callable[[], list[Record]]:
    """The receipts so far; takes are answered meanwhile."""

    def look() -> list[Record]:
        worker.answer()
        return outcome(deployment)

    return look


def test_one_gate_is_one_mail(deployment: Deployment, sink: MailSink, worker: PlayedWorker) -> None:
    """Nothing is sent before `consumed`; then one mail, and one NoticeSent, signed."""
    notifier = deployment.notifier(SMTP_URL=sink.url)
    worker.open()
    eventually(worker.takes)
    assert sink.received == []

    worker.answer()
    eventually(lambda: outcome(deployment))
    notifier.stop()

    (mail,) = sink.received
    (sent,) = outcome(deployment)
    assert isinstance(sent, NoticeSent)
    assert mail.recipients == (RECIPIENT,)
    assert mail.message_id == sent.provider_message_id
    assert "notice_sent" in notifier.log_text()
    for secret in (RECIPIENT, "Enforcement notice", "discharge"):
        assert secret not in notifier.log_text()


def test_takes_and_receipts_are_signed_by_the_executor(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """Each is believed by whoever holds the trusted keys, for this deployment's audience."""
    deployment.notifier(SMTP_URL=sink.url)
    worker.open(1)
    worker.open(2, recipient="nobody")
    eventually(lambda: len(reported(deployment, worker)()) == 2)

    jwk = deployment.key(EXECUTOR).public_jwk(
        executor_id=EXECUTOR, tools=["notice.*"], tenant_ids=[TENANT]
    )
    keys = TrustedKeys.of([trusted_key(jwk)])
    reads = [*deployment.reads("tool-execution"), *deployment.reads("notice.sent")]
    for read in reads:
        signer = authenticate(
            decode(read.value, read.headers),
            (header(read.headers, CE_TYPE) or b"").decode(),
            read.value or b"",
            read.headers,
            keys=keys,
            audience=deployment.settings.audience,
            append_time=read.appended,
        )
        assert signer.subject == EXECUTOR
    assert {type(record) for record in outcome(deployment)} == {NoticeSent, ToolDenied}
    assert len(sink.received) == 1


def test_a_mail_server_that_is_away_and_comes_back(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """No word while it is away; then exactly one mail and one NoticeSent."""
    sink.stop()
    notifier = deployment.notifier(SMTP_URL=sink.url)
    worker.open()
    eventually(worker.answer)
    eventually(lambda: "smtp" in notifier.get("/readyz")[1], what="/readyz names smtp")
    assert outcome(deployment) == []

    sink.start()
    eventually(lambda: outcome(deployment))
    notifier.stop()

    assert [type(record) for record in outcome(deployment)] == [NoticeSent]
    assert len(sink.received) == 1


def test_a_mail_server_that_stays_away(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """At execute_by, not before, the notice has failed."""
    sink.stop()
    worker.execute_within = timedelta(seconds=4)
    deployment.notifier(SMTP_URL=sink.url)
    worker.open()
    (failed,) = eventually(reported(deployment, worker))

    assert isinstance(failed, NoticeFailed)
    consumed = next(
        gate for gate in deployment.records("tool-gate", ToolGateEvent) if gate.gate == "consumed"
    )
    assert consumed.execute_by is not None
    assert failed.occurred_at >= consumed.execute_by


def test_a_refusal_for_good(deployment: Deployment, sink: MailSink, worker: PlayedWorker) -> None:
    """What the server will never take fails at once."""
    sink.refuse_permanently()
    deployment.notifier(SMTP_URL=sink.url)
    worker.open()
    (failed,) = eventually(reported(deployment, worker))

    assert isinstance(failed, NoticeFailed)
    assert "550" in failed.reason
    assert sink.received == []


@pytest.mark.parametrize(
    ("step", "mails", "receipt"),
    [
        ("before commit t", 1, NoticeSent),
        ("after commit t", 1, NoticeSent),
        ("after grant.take", 1, NoticeSent),
        ("before commit s", 1, NoticeSent),
        ("after commit s", 0, ToolInDoubt),
        ("after mail", 1, ToolInDoubt),
        ("before notice.sent", 1, ToolInDoubt),
        ("after notice.sent", 1, NoticeSent),
    ],
)
def test_killed_at_a_step(
    deployment: Deployment,
    sink: MailSink,
    worker: PlayedWorker,
    step: str,
    mails: int,
    receipt: type[Record],
) -> None:
    """kill -9 anywhere: its successor goes on, or asks a human; never a second mail."""
    with DyingNotifier(deployment, step, sink.url) as first:
        first.start()
        worker.open()

        def is_dead() -> bool:
            worker.answer()
            return not first.running

        eventually(is_dead, what="it dies")
    second = short_sighted(deployment, sink)
    eventually(reported(deployment, worker))
    eventually(lambda: "under_way 0.0" in second.metrics(), what="nothing is under way")
    second.stop()

    assert [type(record) for record in outcome(deployment)] == [receipt]
    assert len(sink.received) == mails


def test_one_that_slept_through_its_successor_does_not_send(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """SIGSTOP past the session: whoever took over has sent, who wakes up does not."""
    sleeper = short_sighted(deployment, sink)
    worker.open()
    eventually(worker.takes)
    sleeper.pause()
    successor = short_sighted(deployment, sink)
    eventually(reported(deployment, worker))
    sleeper.resume()
    eventually(lambda: "partition_left" in sleeper.log_text(), what="it sees that it was replaced")
    sleeper.wait_ready()
    sleeper.stop()
    successor.stop()

    assert [type(record) for record in outcome(deployment)] == [NoticeSent]
    assert len(sink.received) == 1


def test_one_that_slept_until_its_successor_had_left_does_not_send(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """An empty group would take a commit of nobody: it is no fence, so the member id is asked."""
    sleeper = short_sighted(deployment, sink)
    worker.open()
    eventually(worker.takes)
    sleeper.pause()
    successor = short_sighted(deployment, sink)
    eventually(reported(deployment, worker))
    successor.stop()
    sleeper.resume()
    eventually(lambda: "partition_left" in sleeper.log_text(), what="it sees that it was replaced")
    sleeper.wait_ready()
    sleeper.stop()

    assert [type(record) for record in outcome(deployment)] == [NoticeSent]
    assert len(sink.received) == 1


def test_a_second_notifier_shares_the_work(
    deployment: Deployment, sink: MailSink, worker: PlayedWorker
) -> None:
    """Partitions are divided, every gate is sent once, whoever does it."""
    first = short_sighted(deployment, sink)
    for number in range(1, 9):
        worker.open(number)
    second = short_sighted(deployment, sink)
    for number in range(9, 17):
        worker.open(number)
    eventually(lambda: len(reported(deployment, worker)()) >= 16)
    second.stop()
    first.stop()

    sent = [record for record in outcome(deployment) if isinstance(record, NoticeSent)]
    assert len(sink.received) == 16
    assert {record.attempt_id for record in sent} == {
        stable_attempt_id(f"grant-{number}", EXECUTOR) for number in range(1, 17)
    }

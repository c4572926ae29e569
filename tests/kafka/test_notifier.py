"""The notifier as a real process on real Kafka and real SMTP; the test plays the control worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.notification.kafka import KafkaLog
from consumers.notification.ports import NotOwner
from consumers.notification.progress import Progress
from core.authentication import authenticate
from core.jwk import TrustedKeys, trusted_key
from deploy.mail_sink import MailSink
from producers.attempt import stable_attempt_id
from producers.executor import executor_of
from producers.gate_feed import Assigned
from schemas.codec import decode
from schemas.events import ToolGateEvent
from schemas.execution import NoticeFailed, NoticeSent, ToolDenied, ToolInDoubt
from schemas.headers import CE_TYPE, header
from schemas.model import Record
from tests.examples import (
    EXECUTOR,
    RECIPIENT,
    TENANT,
)
from tests.kafka.played_worker import (
    SESSION_MS,
    DyingNotifier,
    PlayedWorker,
    outcome,
    reported,
    short_sighted,
)
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with MailSink() as sink:
        yield sink


@pytest.fixture
def worker(deployment: Deployment) -> PlayedWorker:
    return PlayedWorker(deployment)


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
    """Nobody owns the partition when it wakes up, and still its old life is over."""
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
    eventually(lambda: len(reported(deployment, worker)()) >= 16, within_s=90)
    second.stop()
    first.stop()

    sent = [record for record in outcome(deployment) if isinstance(record, NoticeSent)]
    assert len(sink.received) == 16
    assert {record.attempt_id for record in sent} == {
        stable_attempt_id(f"grant-{number}", EXECUTOR) for number in range(1, 17)
    }


def test_a_member_that_the_group_gave_up_cannot_commit(deployment: Deployment) -> None:
    """It does not poll for too long, another takes over and leaves: then its commit is refused."""
    client = {"session.timeout.ms": SESSION_MS, "max.poll.interval.ms": SESSION_MS}
    config = replace(deployment.kafka, client=client)
    trusted = trusted_key(
        deployment.key(EXECUTOR).public_jwk(
            executor_id=EXECUTOR, tools=["notice.*"], tenant_ids=[TENANT]
        )
    )
    executor = executor_of(deployment.key(EXECUTOR), TrustedKeys.of([trusted]))
    first = KafkaLog(config, executor)
    eventually(lambda: any(isinstance(what, Assigned) for what in first.poll(0.1)))
    first.commit({0: Progress(0, {0: "t"})})
    second = KafkaLog(config, executor)
    eventually(lambda: any(isinstance(what, Assigned) for what in second.poll(0.1)))
    eventually(lambda: second.committed(0) == Progress(0, {0: "t"}))
    second.commit({0: Progress(5)})
    second.close()

    with pytest.raises(NotOwner):
        first.commit({0: Progress(0, {0: "s"})})
    first.close()

"""The whole line on real servers: request, decision, grant, take, mail, notice.sent."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from deploy.mail_sink import MailSink
from schemas.events import ToolGateEvent
from schemas.execution import NoticeSent
from schemas.journal import JournalEntry
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def notices(deployment: Deployment) -> list[NoticeSent]:
    """What was sent so far."""
    return deployment.records("notice.sent", NoticeSent)


def waits_to_send(deployment: Deployment) -> bool:
    """Whether the notifier has committed that it holds a taken grant and is not sending."""
    group = deployment.topic("notifier")
    admin = AdminClient(deployment.config)
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    found = asked[group].result(timeout=20).topic_partitions
    return any('"t"' in str(place.metadata) for place in found)


def test_an_approved_notice_is_mailed_once_and_then_recorded(deployment: Deployment) -> None:
    """The mail has the approved text; the event names it; the journal has its receipt."""
    with MailSink() as sink:
        deployment.worker()
        deployment.notifier(SMTP_URL=sink.url)
        deployment.agent().submit(e.a_request())
        assert notices(deployment) == []
        deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")

        (sent,) = eventually(lambda: notices(deployment))

        (mail,) = sink.received
        assert sent.provider_message_id == mail.message_id
        assert mail.recipients == (e.RECIPIENT,)
    gates = [g.gate for g in deployment.records("tool-gate", ToolGateEvent)]
    assert gates == ["opened", "consumed"]
    verdicts = [
        j.verdict
        for j in deployment.records("audit-journal", JournalEntry)
        if j.input.topic == "notice.sent"
    ]
    assert verdicts == ["recorded"]


def test_while_the_mail_server_is_away_nothing_is_claimed(deployment: Deployment) -> None:
    """No notice.sent; after its return exactly one mail and one event, a killed notifier included."""
    sink = MailSink()
    with sink:
        pass  # its port is known, and nobody listens
    deployment.worker()
    notifier = deployment.notifier(SMTP_URL=sink.url, wait=False)
    deployment.agent().submit(e.a_request())
    deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")
    eventually(
        lambda: (
            [g.gate for g in deployment.records("tool-gate", ToolGateEvent)]
            == ["opened", "consumed"]
        )
    )
    assert notices(deployment) == []
    # Between two tries: while it speaks to a mail server a kill leaves a doubt, as it must.
    eventually(lambda: "try_failed" in notifier.log_text() and waits_to_send(deployment))
    notifier.kill()
    with sink:
        notifier.start(wait=False)

        eventually(lambda: notices(deployment), 90)

        assert len(sink.received) == 1
        assert len(notices(deployment)) == 1


def test_a_rejected_notice_is_never_mailed(deployment: Deployment) -> None:
    """The gate is denied and nobody takes anything."""
    with MailSink() as sink:
        deployment.worker()
        deployment.notifier(SMTP_URL=sink.url)
        asked = deployment.agent().submit(e.a_request())
        deployment.reviewer().decide(e.PACKAGE_ID, "reject", version=1)

        outcome = deployment.agent().wait(asked, timeout_s=20)

        assert outcome.outcome == "reject"
        assert [g.gate for g in deployment.records("tool-gate", ToolGateEvent)] == ["denied"]
        assert sink.received == []

"""Mail over real SMTP: what is known after each kind of failure."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta

import pytest

from consumers.notification.mailer import (
    Ambiguous,
    Mail,
    Outcome,
    PermanentFailure,
    Sent,
    TemporaryFailure,
)
from consumers.notification.smtp import SmtpMailer, SmtpServer, SmtpUrlError, smtp_server
from deploy.mail_sink import MailSink
from tests.examples import NOW
from tests.unit.notification.smtp_server import CUT, ScriptedServer

MAIL = Mail(
    sender="notices@agency.example",
    recipient="a@b.example",
    message=b"Subject: x\r\nMessage-ID: <1@agency.example>\r\n\r\n.hidden\r\nlast\r\n",
    send_by=NOW + timedelta(hours=1),
)
HELLO = (b"220 hi", b"250 hi")


def try_at(port: int, *, now: datetime = NOW, answer_within_s: float = 10) -> Outcome:
    """One try at a port of this machine."""
    mailer = SmtpMailer(
        SmtpServer("127.0.0.1", port),
        clock=lambda: now,
        connect_within_s=answer_within_s,
        answer_within_s=answer_within_s,
    )
    return mailer.send(MAIL)


def test_a_mail_arrives_as_it_was_written() -> None:
    """The server gets envelope and bytes; a line that starts with a dot keeps it."""
    with MailSink() as sink:
        outcome = try_at(sink.port)

    assert outcome == Sent()
    assert [(m.sender, m.recipients) for m in sink.received] == [(MAIL.sender, (MAIL.recipient,))]
    assert sink.received[0].content.endswith(b"\r\n\r\n.hidden\r\nlast\r\n")


def test_a_temporary_refusal() -> None:
    """451 means that another try may succeed; what the server said is kept for the record."""
    with MailSink() as sink:
        sink.refuse_temporarily()
        outcome = try_at(sink.port)

    assert outcome == TemporaryFailure(
        "the mail was answered with 451", "451 4.3.0 Try again later"
    )


def test_a_permanent_refusal() -> None:
    """550 means that it will never be taken."""
    with MailSink() as sink:
        sink.refuse_permanently()
        outcome = try_at(sink.port)

    assert outcome == PermanentFailure("RCPT was answered with 550", "550 5.1.1 No such mailbox")


def test_a_sink_that_was_stopped_and_started() -> None:
    """While it is away the mail waits; on the same port it is taken again."""
    with MailSink() as sink:
        sink.stop()
        away = try_at(sink.port)
        sink.start()
        back = try_at(sink.port)

    assert isinstance(away, TemporaryFailure)
    assert away.ours
    assert back == Sent()
    assert len(sink.received) == 1


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ((b"421 busy",), TemporaryFailure("no session: SMTPConnectError 421", ours=True)),
        ((b"554 go away",), TemporaryFailure("no session: SMTPConnectError 554", ours=True)),
        ((CUT,), TemporaryFailure("no session: SMTPServerDisconnected", ours=True)),
        ((*HELLO, b"450 later"), TemporaryFailure("MAIL was answered with 450", "450 later")),
        ((*HELLO, b"550 no"), PermanentFailure("MAIL was answered with 550", "550 no")),
        ((*HELLO, CUT), TemporaryFailure("the connection broke: SMTPServerDisconnected", ours=True)),
        ((*HELLO, b"250 ok", b"452 full"), TemporaryFailure("RCPT was answered with 452", "452 full")),
        ((*HELLO, b"250 ok", b"250 ok", b"554 no"), PermanentFailure("DATA was answered with 554", "554 no")),
        ((*HELLO, b"250 ok", b"250 ok", CUT), TemporaryFailure("the connection broke: SMTPServerDisconnected", ours=True)),
        ((*HELLO, b"250 ok", b"251 forwarded", b"354 go", b"250 taken"), Sent()),
        ((*HELLO, b"250 ok", b"250 ok", b"354 go", b"452 full"), TemporaryFailure("the mail was answered with 452", "452 full")),
        ((*HELLO, b"250 ok", b"250 ok", b"354 go", b"554 spam"), PermanentFailure("the mail was answered with 554", "554 spam")),
        ((*HELLO, b"250 ok", b"250 ok", b"354 go", CUT), Ambiguous("no answer after the mail was handed over: SMTPServerDisconnected")),
        ((*HELLO, b"250 ok", b"250 ok", b"354 go", b"nonsense"), Ambiguous("an answer that means nothing: -1")),
    ],
)  # fmt: skip
def test_what_a_failure_means_depends_on_the_step(
    script: tuple[bytes, ...], outcome: Outcome
) -> None:
    """Before the mail was handed over nothing was sent; after it, only an answer is knowledge."""
    with ScriptedServer(*script) as server:
        found = try_at(server.port)

    assert found == outcome


def test_silence_after_the_mail_is_ambiguous() -> None:
    """A server that takes the mail and says nothing may have it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with ScriptedServer(*HELLO, b"250 ok", b"250 ok", b"354 go", b"250-taken") as server:
            outcome = try_at(server.port, answer_within_s=0.2)
        silent = try_at(listening.getsockname()[1], answer_within_s=0.2)

    assert isinstance(outcome, Ambiguous)
    assert isinstance(silent, TemporaryFailure)


def test_nothing_is_handed_over_after_its_time() -> None:
    """A try that was held up until execute_by does not reach DATA's end."""
    with ScriptedServer(*HELLO, b"250 ok", b"250 ok", b"354 go", b"250 bye") as server:
        outcome = try_at(server.port, now=MAIL.send_by)

    assert outcome == TemporaryFailure("the time to send is over")
    assert b".\r\n" not in server.heard


def test_a_server_without_starttls_gets_nothing() -> None:
    """smtp+starttls:// never falls back to plain text."""
    with ScriptedServer(*HELLO) as server:
        mailer = SmtpMailer(SmtpServer("127.0.0.1", server.port, "smtp+starttls", "u", "p"))
        outcome = mailer.send(MAIL)

    assert outcome == TemporaryFailure("no session: SMTPNotSupportedError", ours=True)
    assert not any(b"AUTH" in line for line in server.heard)


def test_no_address_and_no_word_of_the_server_is_for_the_log() -> None:
    """`why` and the repr of an outcome, which are logged, repeat nothing that the server said."""
    with ScriptedServer(*HELLO, b"250 ok", b"550 <a@b.example> unknown") as server:
        outcome = try_at(server.port)

    assert isinstance(outcome, PermanentFailure)
    assert "a@b.example" in outcome.said
    assert "a@b.example" not in repr(outcome)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://127.0.0.1:2525", SmtpServer("127.0.0.1", 2525)),
        ("smtp://mail.example", SmtpServer("mail.example", 25)),
        ("smtps://u:p%40ss@mail.example", SmtpServer("mail.example", 465, "smtps", "u", "p@ss")),
        ("smtp+starttls://u:p@[::1]:1587/", SmtpServer("::1", 1587, "smtp+starttls", "u", "p")),
    ],
)
def test_smtp_urls(url: str, server: SmtpServer) -> None:
    """Scheme, host, port and credentials, percent-decoded."""
    assert smtp_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example",
        "smtp://",
        "smtp://mail.example:99999",
        "smtp://mail.example/path",
        "smtps://secret-user@mail.example",
        "smtp://secret-user:secret@mail.example",
    ],
)
def test_smtp_urls_that_cannot_be(url: str) -> None:
    """A wrong one says what to mend, and repeats no credentials."""
    with pytest.raises(SmtpUrlError) as raised:
        smtp_server(url)

    assert "secret" not in str(raised.value)

"""The mail sink of development and tests."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys

import pytest

from deploy.mail_sink import MailSink

MAIL = "Subject: Notice\r\nMessage-ID: <1@a.example>\r\n\r\nText \x1b[31m\r\nand more\r\n"


def send(port: int) -> None:
    """One mail."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("a@a.example", ["b@b.example"], MAIL)


def test_mails_are_kept_over_a_stop() -> None:
    """It comes back on the same port with what it had."""
    with MailSink() as sink:
        send(sink.port)
        port = sink.port
        sink.stop()
        with pytest.raises(OSError, match="refused"):
            send(port)
        sink.start()
        send(port)

    assert [mail.message_id for mail in sink.received] == ["<1@a.example>"] * 2
    assert sink.received[0].message["Subject"] == "Notice"


def test_it_refuses_when_told() -> None:
    """For a while, or for good; and takes mails again."""
    with MailSink() as sink:
        sink.refuse_temporarily()
        with pytest.raises(smtplib.SMTPDataError) as later:
            send(sink.port)
        sink.refuse_permanently()
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(sink.port)
        sink.accept()
        send(sink.port)

    assert later.value.smtp_code == 451
    assert len(sink.received) == 1


def test_a_port_that_is_taken() -> None:
    """It says so at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sink = MailSink(taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            sink.start()


def test_stopping_cuts_who_is_connected() -> None:
    """A client in the middle of its words loses its connection."""
    with MailSink() as sink:
        client = smtplib.SMTP("127.0.0.1", sink.port, timeout=10)
        sink.stop()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
        client.close()


def test_the_command_prints_each_mail() -> None:
    """Headers and text, without anything that could steer the terminal; a line's end is no such
    thing."""
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.mail_sink", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        send(int(said.rpartition(":")[2]))
        lines = [process.stdout.readline() for _ in range(8)]
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(10)

    assert "COUNTERSIGN_SMTP_URL=smtp://127.0.0.1:" in said
    assert "Subject: Notice\n" in lines
    assert "".join(lines).endswith("\n\nText \\x1b[31m\nand more\n")
    assert code == 0

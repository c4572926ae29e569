"""Which arguments are a notice, and the mail that they become."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from consumers.notification.notice import (
    NotANotice,
    Notice,
    as_message,
    message_id,
    notice_from,
    sender_from,
)
from tests.examples import GRANT_ID, NOTICE_BODY, NOW, RECIPIENT, notice_args

SENDER = sender_from("Enforcement <notices@agency.example>")


def mail_of(notice: Notice, grant_id: str = GRANT_ID) -> EmailMessage:
    """The mail of a notice, parsed again."""
    content = as_message(notice, grant_id=grant_id, sender=SENDER, now=NOW)
    return message_from_bytes(content, policy=default)


def test_four_arguments_are_used_and_others_ignored() -> None:
    """What else was approved is bound by the digest and not sent."""
    notice = notice_from(notice_args(case="C-17", copies=3))

    assert notice == Notice("EN-2041", RECIPIENT, "Enforcement notice EN-2041", NOTICE_BODY)


@pytest.mark.parametrize("name", ["notice_id", "recipient", "subject", "body"])
@pytest.mark.parametrize("value", [None, "", "  ", 7, ["a@b.example"], "\ud800"])
def test_a_missing_argument_is_no_notice(name: str, value: object) -> None:
    """Each of the four must be there and be text; the refusal names the argument only."""
    with pytest.raises(NotANotice, match=name):
        notice_from(notice_args(**{name: value}))


@pytest.mark.parametrize("name", ["notice_id", "recipient", "subject"])
@pytest.mark.parametrize(
    "end", ["\nBcc: x@evil.example", "\rBcc: x", "\r\n\r\nbody", "\x00", "\u2028x", "\x85"]
)
def test_a_line_break_in_a_line_is_no_notice(name: str, end: str) -> None:
    """Nothing that an agent wrote can add a header (CWE-93)."""
    args = notice_args()
    with pytest.raises(NotANotice, match=f"{name} has a line break") as raised:
        notice_from(args | {name: args[name] + end})

    assert "evil" not in str(raised.value)


@pytest.mark.parametrize(
    "recipient",
    [
        "nobody",
        "@b.example",
        "a@",
        "a b@c.example",
        "a@b.example, c@d.example",
        "a@b.example;c@d.example",
        "Somebody <a@b.example>",
        "<a@b.example>",
        '"a b"@c.example',
        "a@b@c.example",
        "a..b@c.example",
        ".a@c.example",
        "a@-c.example",
        "a@c..example",
        "a@[127.0.0.1]",
        "ä@c.example",
        "a@exämple.example",
        "x" * 65 + "@c.example",
        "a@" + "c" * 253,
    ],
)
def test_what_is_not_one_plain_address_is_no_notice(recipient: str) -> None:
    """One mailbox that every server understands, or nothing."""
    with pytest.raises(NotANotice, match="not one plain mail address"):
        notice_from(notice_args(recipient=recipient))


@pytest.mark.parametrize(
    "recipient", ["a@b", "a.b+c@d-e.example", "x_{y}|z@c.example", "1@2.example"]
)
def test_plain_addresses(recipient: str) -> None:
    """The usual forms go through, and into the mail as they are."""
    notice = notice_from(notice_args(recipient=recipient))

    assert str(mail_of(notice)["To"]) == recipient


def test_the_mail_says_what_was_approved() -> None:
    """Sender, recipient, subject and body arrive as they were approved, beyond ASCII too."""
    body = "Größe: 31 % über dem Grenzwert.\n.\n.dot at the start\n"
    mail = mail_of(notice_from(notice_args(subject="Bescheid — Ü 7", body=body)))

    assert mail["From"] == "Enforcement <notices@agency.example>"
    assert mail["To"] == RECIPIENT
    assert mail["Subject"] == "Bescheid — Ü 7"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW
    assert mail.get_content().replace("\r\n", "\n") == body


def test_a_body_cannot_leave_its_mail() -> None:
    """Line ends of every kind become CRLF: no bare one that two servers could read differently."""
    content = as_message(
        notice_from(notice_args(body="a\n.\nb\r.\rc\r\n.\r\nMAIL FROM:<x>\n")),
        grant_id=GRANT_ID,
        sender=SENDER,
        now=NOW,
    )

    bare = content.replace(b"\r\n", b"")
    assert b"\n" not in bare
    assert b"\r" not in bare


def test_the_message_id_is_the_grants() -> None:
    """The same grant always has the same Message-ID, another grant another one."""
    notice = notice_from(notice_args())
    later = notice_from(notice_args(subject="Another"))

    assert mail_of(notice)["Message-ID"] == mail_of(later)["Message-ID"]
    assert mail_of(notice)["Message-ID"] == message_id(GRANT_ID, SENDER)
    assert mail_of(notice, "grant-2")["Message-ID"] != mail_of(notice)["Message-ID"]
    assert message_id("a:b@c", SENDER).endswith("@agency.example>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("notices@agency.example", "notices@agency.example"),
        ("Agency <notices@agency.example>", "Agency <notices@agency.example>"),
        ('"Agency, Nord" <n@a.example>', '"Agency, Nord" <n@a.example>'),
    ],
)
def test_the_sender(text: str, shown: str) -> None:
    """SMTP_FROM is an address, with a name if one likes."""
    assert str(sender_from(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "agency", "A <n@a.example", "A\n <n@a.example>", "a@b.c, d@e.f"]
)
def test_a_sender_that_cannot_be(text: str) -> None:
    """Anything else is refused at the start."""
    with pytest.raises(ValueError, match="address|bracket|control"):
        sender_from(text)


def test_nothing_of_a_notice_is_shown_by_accident() -> None:
    """Its repr, which could reach a log, names only the notice id."""
    shown = repr(notice_from(notice_args()))

    assert shown == "Notice(notice_id='EN-2041')"

"""A notice: what the approved arguments must be, and the mail that they become."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final

LINE_CHARS_MAX: Final = 1024
"""Of notice id and subject; what a receipt's line may hold."""
ADDRESS_CHARS_MAX: Final = 254
"""RFC 5321, section 4.5.3.1.3: a path of 256 with its brackets."""
_LOCAL_CHARS_MAX: Final = 64
_ADDRESS: Final = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
)
"""One plain mailbox (RFC 5321 Dot-string at a host name): no quoting, no list, no second line."""
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_POLICY: Final = SMTP.clone(cte_type="7bit")
"""CRLF, and nothing above ASCII on the wire: every server takes it."""


class NotANotice(Exception):
    """The arguments cannot be sent as a notice. The message names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The four arguments that are used. Others are bound by the digest, and ignored."""

    notice_id: str
    recipient: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)


def notice_from(args: Mapping[str, Any]) -> Notice:
    """The notice that the verified arguments ask for. Raises NotANotice."""
    notice = Notice(
        notice_id=_line(args, "notice_id"),
        recipient=_line(args, "recipient"),
        subject=_line(args, "subject"),
        body=_text(args, "body"),
    )
    if not is_address(notice.recipient):
        raise NotANotice("recipient is not one plain mail address")
    if "\0" in notice.body:
        raise NotANotice("body has a null character")
    return notice


def is_address(text: str) -> bool:
    """Whether the text is one plain ASCII mail address."""
    match = _ADDRESS.fullmatch(text)
    return (
        match is not None
        and len(text) <= ADDRESS_CHARS_MAX
        and len(match["local"]) <= _LOCAL_CHARS_MAX
    )


def sender_from(text: str) -> Address:
    """The sender in SMTP_FROM: an address, or `Name <address>`. Raises ValueError."""
    name, bracket, rest = text.strip().rpartition("<")
    address = rest.removesuffix(">") if bracket else rest
    if bracket and not rest.endswith(">"):
        raise ValueError("the bracket is not closed")
    if not is_address(address):
        raise ValueError("not one plain mail address")
    if _NOT_IN_A_LINE.search(name):
        raise ValueError("the name has a control character")
    try:
        return Address(name.strip().strip('"'), addr_spec=address)
    except (MessageError, ValueError, IndexError):
        raise ValueError("not one plain mail address") from None


def message_id(grant_id: str, sender: Address) -> str:
    """The Message-ID of the one mail of a grant: a repeat is recognised by whoever receives it."""
    return f"<{hashlib.sha256(grant_id.encode()).hexdigest()[:40]}@{sender.domain}>"


def as_message(notice: Notice, *, grant_id: str, sender: Address, now: datetime) -> bytes:
    """The mail of a notice, CRLF lines, not yet dot-stuffed (RFC 5322)."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=notice.recipient)
    mail["Subject"] = notice.subject
    mail["Date"] = now
    mail["Message-ID"] = message_id(grant_id, sender)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    mail.set_content(notice.body)
    return mail.as_bytes()


def _line(args: Mapping[str, Any], name: str) -> str:
    value = _text(args, name)
    if len(value) > LINE_CHARS_MAX:
        raise NotANotice(f"{name} is longer than {LINE_CHARS_MAX} characters")
    if _NOT_IN_A_LINE.search(value):
        raise NotANotice(f"{name} has a line break or another control character")
    return value


def _text(args: Mapping[str, Any], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str) or not value.strip():
        raise NotANotice(f"{name} is missing, or is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotANotice(f"{name} is not Unicode text") from None
    return value

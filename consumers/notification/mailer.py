"""The port to the mail: one try, and what is known after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one recipient. `message` has CRLF lines. Not to be handed on after `send_by`."""

    sender: str
    recipient: str = field(repr=False)
    message: bytes = field(repr=False)
    send_by: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """The server took responsibility for the mail."""


@dataclass(frozen=True, slots=True)
class TemporaryFailure:
    """Certainly not sent; another try may succeed.

    why: fit for a log (no address, no text of the server). said: what the server said.
    ours: the fault is the way to the server, not this mail.
    """

    why: str
    said: str = field(default="", repr=False)
    ours: bool = False


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """Certainly not sent, and the server will not take it."""

    why: str
    said: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The mail was handed over and no answer came: nobody knows whether it was sent."""

    why: str


Outcome = Sent | TemporaryFailure | PermanentFailure | Ambiguous


class Mailer(Protocol):
    """Tries once to send a mail. Raises nothing; called from several threads at once.

    Only Sent, TemporaryFailure and PermanentFailure are knowledge. Whatever could have let the
    server have the whole mail without telling us is Ambiguous, and is never tried again.
    """

    def send(self, mail: Mail) -> Outcome:
        """One try."""
        ...

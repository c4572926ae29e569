"""Mail over SMTP (RFC 5321), spoken step by step, for what a failure means depends on the step."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from consumers.notification.mailer import (
    Ambiguous,
    Mail,
    Outcome,
    PermanentFailure,
    Sent,
    TemporaryFailure,
)

CONNECT_WITHIN_S: Final = 10.0
ANSWER_WITHIN_S: Final = 60.0
"""A server that accepts slowly is waited for: giving up after DATA means asking a human."""
SAID_CHARS_MAX: Final = 500
_LINE_STARTS_WITH_DOT: Final = re.compile(rb"^\.", re.MULTILINE)
Security = Literal["smtp", "smtps", "smtp+starttls"]
_PORTS: Final[dict[Security, int]] = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where and how mail is handed over, from SMTP_URL."""

    host: str
    port: int
    security: Security = "smtp"
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class SmtpUrlError(ValueError):
    """SMTP_URL cannot be used; the message says what to mend and repeats no secret."""


def smtp_server(url: str) -> SmtpServer:
    """The server of `smtp://`, `smtps://` or `smtp+starttls://[user:password@]host[:port]`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SmtpUrlError("the port must be a number up to 65535") from None
    scheme: Security | None = next((known for known in _PORTS if known == parts.scheme), None)
    if scheme is None:
        raise SmtpUrlError("must be smtp://host:port (or smtps://, smtp+starttls://)")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SmtpUrlError(f"must be {scheme}://host:port and nothing after it")
    if bool(parts.username) != bool(parts.password):
        raise SmtpUrlError("user and password go together: user:password@host, percent-encoded")
    if parts.username and scheme == "smtp":
        raise SmtpUrlError("a password needs smtps:// or smtp+starttls://; smtp:// shows it")
    return SmtpServer(
        host=parts.hostname,
        port=port or _PORTS[scheme],
        security=scheme,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


class SmtpMailer:
    """A connection a mail: nothing is kept, so nothing can be stale. See Mailer."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        connect_within_s: float = CONNECT_WITHIN_S,
        answer_within_s: float = ANSWER_WITHIN_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._connect_within_s = connect_within_s
        self._answer_within_s = answer_within_s
        self._tls = tls or ssl.create_default_context()

    def send(self, mail: Mail) -> Outcome:
        """One try: 1. connect and log in; 2. the envelope; 3. the mail itself."""
        try:
            connection = self._connect()  # 1.
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return TemporaryFailure(f"no session: {_named(error)}", ours=True)
        try:
            refused = self._envelope(connection, mail)  # 2.
            if refused is not None:
                return refused
            if self._clock() >= mail.send_by:
                connection.close()  # without QUIT, which would be taken for the mail
                return TemporaryFailure("the time to send is over")
        except (OSError, smtplib.SMTPException, ValueError) as error:
            _hang_up(connection)
            return TemporaryFailure(f"the connection broke: {_named(error)}", ours=True)
        outcome = _hand_over(connection, mail.message)  # 3.
        _hang_up(connection)
        return outcome

    def _connect(self) -> smtplib.SMTP:
        server, within_s = self._server, self._connect_within_s
        connection: smtplib.SMTP
        if server.security == "smtps":
            connection = smtplib.SMTP_SSL(
                server.host, server.port, timeout=within_s, context=self._tls
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=within_s)
        try:
            if connection.sock is not None:
                connection.sock.settimeout(self._answer_within_s)
            connection.ehlo_or_helo_if_needed()
            if server.security == "smtp+starttls":
                connection.starttls(context=self._tls)
                connection.ehlo_or_helo_if_needed()
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _envelope(self, connection: smtplib.SMTP, mail: Mail) -> Outcome | None:
        """Sender, recipient and the word DATA; None: the server waits for the mail."""
        steps: list[tuple[str, Callable[[], tuple[int, bytes]], tuple[int, ...]]] = [
            ("MAIL", lambda: connection.mail(mail.sender), (250,)),
            ("RCPT", lambda: connection.rcpt(mail.recipient), (250, 251)),
            ("DATA", lambda: connection.docmd("DATA"), (354,)),
        ]
        for step, ask, good in steps:
            code, said = ask()
            if code not in good:
                _hang_up(connection)
                return _refusal(step, code, said)
        return None


def _hand_over(connection: smtplib.SMTP, message: bytes) -> Outcome:
    """Sends the mail's bytes. From the first byte on, a broken connection is no knowledge."""
    end = b"" if message.endswith(b"\r\n") else b"\r\n"
    try:
        connection.send(_LINE_STARTS_WITH_DOT.sub(b"..", message) + end + b".\r\n")
        code, said = connection.getreply()
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return Ambiguous(f"no answer after the mail was handed over: {_named(error)}")
    if 200 <= code < 300:
        return Sent()
    refusal = _refusal("the mail", code, said)
    return refusal if 400 <= code < 600 else Ambiguous(f"an answer that means nothing: {code}")


def _refusal(step: str, code: int, said: bytes) -> TemporaryFailure | PermanentFailure:
    text = " ".join(said.decode("utf-8", "replace").split())[:SAID_CHARS_MAX]
    why, answer = f"{step} was answered with {code}", f"{code} {text}".strip()
    if 500 <= code < 600:
        return PermanentFailure(why, answer)
    return TemporaryFailure(why, answer)


def _named(error: BaseException) -> str:
    """The kind of an error, with its SMTP code: its text may repeat addresses or passwords."""
    code = getattr(error, "smtp_code", None) or getattr(error, "errno", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


def _hang_up(connection: smtplib.SMTP) -> None:
    """Says QUIT where that still works. It cannot change what is known."""
    try:
        if connection.sock is not None:
            connection.sock.settimeout(2.0)
            connection.quit()
    except (OSError, smtplib.SMTPException, ValueError):
        pass
    finally:
        connection.close()

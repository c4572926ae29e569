"""A mail server for development and tests: it takes every mail, keeps it, and sends nothing.

    python -m deploy.mail_sink --port 2525

prints each mail. In tests it can be told to refuse, and be stopped and started on the same port.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Final, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 1024 * 1024
_STARTED_WITHIN_S: Final = 10.0
_ACCEPTED: Final = "250 OK"
_TRY_LATER: Final = "451 4.3.0 Try again later"
_NEVER: Final = "550 5.1.1 No such mailbox"


@dataclass(frozen=True, slots=True)
class Received:
    """A mail as it came in: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return message_from_bytes(self.content, policy=default)

    @property
    def message_id(self) -> str:
        """Its Message-ID."""
        return str(self.message["Message-ID"] or "").strip()


class MailSink:
    """A mail server on the loopback interface, in a thread of its own. A context manager.

    port 0: any free one, kept over `stop` and `start`. on_mail is called in the server's thread.
    """

    def __init__(self, port: int = 0, *, on_mail: Callable[[Received], None] | None = None) -> None:
        self.port = port
        self._on_mail = on_mail
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._answer_to_recipient = _ACCEPTED
        self._answer_to_mail = _ACCEPTED
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its SMTP_URL."""
        return f"smtp://{LOOPBACK}:{self.port}"

    @property
    def received(self) -> list[Received]:
        """Every mail that it took, the first first."""
        with self._lock:
            return list(self._received)

    def refuse_temporarily(self) -> None:
        """Answers each mail with 451 from now on."""
        self._answer_to_recipient, self._answer_to_mail = _ACCEPTED, _TRY_LATER

    def refuse_permanently(self) -> None:
        """Answers each recipient with 550 from now on."""
        self._answer_to_recipient, self._answer_to_mail = _NEVER, _ACCEPTED

    def accept(self) -> None:
        """Takes mails again."""
        self._answer_to_recipient, self._answer_to_mail = _ACCEPTED, _ACCEPTED

    def start(self) -> Self:
        """Listens; mails that were kept stay. Raises OSError when the port is taken."""
        assert self._thread is None, "it runs already"
        started: list[OSError | None] = []
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(started, ready), name="mail-sink", daemon=True
        )
        self._thread.start()
        assert ready.wait(_STARTED_WITHIN_S), "the mail sink did not start"
        if started[0] is not None:
            self._thread.join()
            self._thread = None
            raise started[0]
        return self

    def stop(self) -> None:
        """Refuses connections and cuts those that are open. Twice is fine."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread, self._loop = None, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd asks whether a recipient is welcome."""
        if self._answer_to_recipient == _ACCEPTED:
            envelope.rcpt_tos.append(address)
        return self._answer_to_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd hands a mail over."""
        if self._answer_to_mail != _ACCEPTED:
            return self._answer_to_mail
        content = envelope.content
        assert isinstance(content, bytes), "decode_data is off"
        mail = Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), content)
        with self._lock:
            self._received.append(mail)
        if self._on_mail is not None:
            self._on_mail(mail)
        return _ACCEPTED

    def _run(self, started: list[OSError | None], ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        connections: list[SMTP] = []

        def connected() -> SMTP:
            connection = SMTP(
                self, data_size_limit=BODY_BYTES_MAX, hostname="mail-sink.example", loop=loop
            )
            connections.append(connection)
            return connection

        try:
            server = loop.run_until_complete(
                loop.create_server(connected, LOOPBACK, self.port, reuse_address=True)
            )
        except OSError as error:
            loop.close()
            started.append(error)
            ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._loop = loop
        started.append(None)
        ready.set()
        loop.run_forever()
        server.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        loop.run_until_complete(_finished(loop))
        loop.close()


async def _finished(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels what still runs, so that closing the loop leaves nothing behind."""
    rest = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each mail that comes in, until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.mail_sink", description="A mail server that keeps what it gets."
    )
    parser.add_argument("--port", type=int, default=2525, help="0: any free one")
    port = parser.parse_args(arguments).port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with MailSink(port, on_mail=_print) as sink:
            print(f"listening: COUNTERSIGN_SMTP_URL={sink.url}", flush=True)
            stop.wait()
    except OSError as error:
        print(f"cannot listen on {LOOPBACK}:{port}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _print(mail: Received) -> None:
    message = mail.message
    body = message.get_body(("plain",))
    lines = ["-" * 72]
    lines += [f"{name}: {message[name]}" for name in ("From", "To", "Subject", "Message-ID")]
    lines += ["", str(body.get_content()) if body is not None else "(no plain text)"]
    text = "\n".join(lines).replace("\r\n", "\n")  # as SMTP ends lines
    print(_inert(text), flush=True)


def _inert(text: str) -> str:
    """The text with whatever could steer a terminal shown as an escape."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""The threads that send, so that a slow mail server does not stop the polling of Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from consumers.logs import logger
from consumers.notification.mailer import Ambiguous, Mail, Mailer, Outcome

THREADS: Final = 4
"""Mails under way at once. Each holds one connection; few servers like more from one client."""


class ThreadedOutbox:
    """A few threads before a mailer. They end with the process: a mail under way then is in doubt.

    See the port Outbox.
    """

    def __init__(self, mailer: Mailer, *, threads: int = THREADS) -> None:
        self._mailer = mailer
        self._waiting: SimpleQueue[tuple[str, Mail]] = SimpleQueue()
        self._done: SimpleQueue[tuple[str, Outcome]] = SimpleQueue()
        self._free = threads
        for number in range(threads):
            Thread(target=self._send, name=f"mail-{number}", daemon=True).start()

    @property
    def free(self) -> int:
        """See Outbox."""
        return self._free

    def hand_over(self, ticket: str, mail: Mail) -> None:
        """See Outbox."""
        assert self._free > 0, "a mail that waits behind others would be marked as on its way"
        self._free -= 1
        self._waiting.put((ticket, mail))

    def done(self) -> Sequence[tuple[str, Outcome]]:
        """See Outbox."""
        found: list[tuple[str, Outcome]] = []
        while True:
            try:
                found.append(self._done.get_nowait())
            except Empty:
                self._free += len(found)
                return found

    def _send(self) -> None:
        while True:
            ticket, mail = self._waiting.get()
            try:
                outcome = self._mailer.send(mail)
            except Exception as error:  # noqa: BLE001 - a bug; what it had done is not known
                name = type(error).__name__
                logger().error("mailer_broke", attempt_id=ticket, error=name)
                outcome = Ambiguous(f"the mailer broke: {name}")
            self._done.put((ticket, outcome))

"""The threads that send."""

from __future__ import annotations

from threading import Event

from consumers.notification.mailer import Ambiguous, Mail, Outcome, Sent
from consumers.notification.outbox import ThreadedOutbox
from tests.examples import NOW
from tests.support.eventually import eventually

MAIL = Mail("a@b.example", "c@d.example", b"", NOW)


class HeldMailer:
    """A mailer that waits until it is let go."""

    def __init__(self, outcome: Outcome | None) -> None:
        self.go = Event()
        self._outcome = outcome

    def send(self, mail: Mail) -> Outcome:
        """See Mailer; without an outcome it breaks."""
        self.go.wait(10)
        if self._outcome is None:
            raise RuntimeError("a bug")
        return self._outcome


def test_handing_over_does_not_wait() -> None:
    """As many mails as threads are on their way; each comes back under its ticket."""
    mailer = HeldMailer(Sent())
    outbox = ThreadedOutbox(mailer, threads=2)
    outbox.hand_over("one", MAIL)
    outbox.hand_over("two", MAIL)
    assert outbox.free == 0
    assert outbox.done() == []
    mailer.go.set()
    found: list[tuple[str, Outcome]] = []

    def all_came_back() -> bool:
        found.extend(outbox.done())
        return len(found) == 2

    eventually(all_came_back)

    assert sorted(found, key=lambda done: done[0]) == [("one", Sent()), ("two", Sent())]
    assert outbox.free == 2


def test_a_mailer_that_breaks_leaves_a_doubt() -> None:
    """A bug in the middle of a try says nothing about the mail; the thread lives on."""
    mailer = HeldMailer(None)
    mailer.go.set()
    outbox = ThreadedOutbox(mailer, threads=1)
    for _ in range(2):
        outbox.hand_over("one", MAIL)
        ((ticket, outcome),) = eventually(outbox.done)

        assert ticket == "one"
        assert isinstance(outcome, Ambiguous)

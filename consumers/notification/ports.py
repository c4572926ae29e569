"""The port to Kafka: all that the notifier needs of it, so that tests need no broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from consumers.notification.mailer import Mail, Outcome
from consumers.notification.progress import Progress
from producers.gate_feed import Assigned, Revoked
from schemas.headers import Headers
from schemas.model import Record

TopicName = Literal["tool-gate", "command-refused", "notice.sent", "tool-execution"]


class Unavailable(Exception):
    """A part that is needed does not work now; nothing is known. Try again later."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part
        self.why = why


class NotOwner(Exception):
    """The partitions were given to somebody else: whatever waited for this commit is not done."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A record as it stands in a topic. record None: what stands there is no record."""

    topic: TopicName
    partition: int
    offset: int
    appended: datetime
    record: Record | None
    value: bytes = field(default=b"", repr=False)
    headers: Headers = field(default=(), repr=False)


Happening = Heard | Assigned | Revoked


class Log(Protocol):
    """Kafka. One thread owns it. Partition n is that of `tool-gate` and of `command-refused`."""

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """What happened, in order, within timeout_s. Raises Unavailable."""
        ...

    def committed(self, partition: int) -> Progress | None:
        """What was committed last. Raises Unavailable, ProgressUnreadable."""
        ...

    def commit(self, progress: Mapping[int, Progress]) -> None:
        """Commits for all partitions given, and returns when the group has it.

        Raises NotOwner when this member is not the owner any more, Unavailable when it is not
        known whether it was committed.
        """
        ...

    def pause(self, partition: int) -> None:
        """Hears nothing of the gates of this partition until `resume`."""
        ...

    def resume(self, partition: int) -> None:
        """Hears of the gates of this partition again."""
        ...

    def end(self, topic: TopicName, partition: int) -> int:
        """The offset after the last record, uncommitted ones included. Raises Unavailable."""
        ...

    def history(
        self,
        topic: TopicName,
        partition: int,
        *,
        end: int,
        start: int | None = None,
        since: datetime | None = None,
    ) -> Iterator[Heard]:
        """Committed records from `start`, or those appended `since`, up to `end`.

        Raises Unavailable.
        """
        ...

    def publish(self, record: Record, *, record_id: str, traceparent: bytes | None) -> None:
        """Signs and publishes, and returns when the broker has it. Raises Unavailable."""
        ...


class Outbox(Protocol):
    """Where mails wait for a thread that sends them. Owned by one thread."""

    @property
    def free(self) -> int:
        """How many mails would be begun at once."""
        ...

    def hand_over(self, ticket: str, mail: Mail) -> None:
        """Begins one try. Only with `free`; from now on the mail may be out."""
        ...

    def done(self) -> Sequence[tuple[str, Outcome]]:
        """What became of tries since the last call, by ticket."""
        ...

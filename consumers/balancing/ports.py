"""The port to Kafka: all that the balancer needs of it, so that tests need no broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from schemas.commands import ReviewTaskCommand
from schemas.directory import ReviewerCapChanged
from schemas.headers import Headers

TopicName = Literal[
    "interrupt-state",
    "reviewer-directory",
    "control-policy",
    "review-context",
    "human.decision_recorded",
    "command-refused",
]


class Unavailable(Exception):
    """A part that is needed does not work now; nothing is known. Try again later."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part
        self.why = why


@dataclass(frozen=True, slots=True)
class Heard:
    """A committed record as it stands in a topic. `appended` is the broker's append time."""

    topic: TopicName
    partition: int
    offset: int
    appended: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers


class Log(Protocol):
    """The topics that the balancer follows, from where what it must know begins: the states, the
    directories and the review context from their first record, the decisions from an hour ago, the
    refusals from now on. It keeps no position: whoever starts again folds again."""

    def poll(self, timeout_s: float) -> Sequence[Heard]:
        """What came; of one partition in its order. Raises Unavailable."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether every topic has been read to where it ended at some moment since the start."""
        ...

    def send(self, command: ReviewTaskCommand) -> None:
        """Publishes a command, signed, and waits until the broker has it. Raises Unavailable: then
        nothing is known of it; the same command again does no harm."""
        ...

    def publish(self, cap: ReviewerCapChanged) -> None:
        """Publishes a cap, signed, and waits until the broker has it. Raises Unavailable."""
        ...

"""What can stop the demo: one line about it, and the end of the log that explains it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException

from consumers.reading import ReadStalled, TopicMissing
from consumers.topics_admin import TopicsWrong
from countersign.demo.services import ServiceEnded, Services
from countersign.failure import AnswerIsNo, CommandFailed, OutOfReach, understood
from producers.agent import NoOutcome, RequestRefused
from producers.answers import DeadLettered, NoAnswer
from producers.connection import BrokerUnreachable, NotAllowed

_EXPECTED = (
    BrokerUnreachable,
    CommandFailed,
    DeadLettered,
    KafkaException,
    NoAnswer,
    NoOutcome,
    NotAllowed,
    ReadStalled,
    RequestRefused,
    ServiceEnded,
    TopicMissing,
    TopicsWrong,
)


@contextmanager
def explained(services: Services) -> Iterator[None]:
    """Turns whatever goes wrong inside into one failed command: 3 a server is away, else 1."""
    try:
        yield
    except _EXPECTED as error:
        known = understood(error)
        lines = known.lines if known is not None else (str(error),)
        kind = OutOfReach if isinstance(known, OutOfReach) else AnswerIsNo
        raise kind(f"the demo failed: {lines[0]}", *lines[1:], *services.tails()) from None

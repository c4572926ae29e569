"""The one funnel: every way a command can fail becomes one line and an exit code.

Exit codes: 0 ok, 1 the answer is no, 2 usage or settings, 3 a server is out of reach, 4 no outcome
in time. A traceback means a bug of ours.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from consumers.kafka_trouble import trouble
from consumers.queue import UnknownControlPoint
from consumers.reading import ReadStalled, TopicMissing
from consumers.settings import SettingsError, load
from consumers.topics_admin import TopicsWrong
from core.jwk import KeySetError
from countersign.output import inert
from producers.agent import NoOutcome as NothingDecided
from producers.agent import RequestRefused
from producers.answers import DeadLettered
from producers.connection import BrokerUnreachable, NotAllowed, unreachable
from producers.keys import KeyFileError
from producers.sealing import NotSealed
from producers.trusted_keys import KeysUnavailable
from schemas.codec import RegistryUnavailable, Undecodable

OK: Final = 0
NO: Final = 1
USAGE: Final = 2
OUT_OF_REACH: Final = 3
NO_OUTCOME: Final = 4
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


class CommandFailed(Exception):
    """A command ends with one line that names the thing and its mend.

    `lines` may be more where a file has several errors, each naming its own line.
    """

    exit_code = NO

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class AnswerIsNo(CommandFailed):
    """The system works and says no."""


class UsageWrong(CommandFailed):
    """A flag, a file or a setting is wrong."""

    exit_code = USAGE


class OutOfReach(CommandFailed):
    """A server did not answer."""

    exit_code = OUT_OF_REACH


class NoOutcome(CommandFailed):
    """No outcome in time; nothing is known, and nothing is assumed."""

    exit_code = NO_OUTCOME


def understood(error: Exception) -> CommandFailed | None:
    """What an error means to the user; None: it is a bug of ours and keeps its traceback."""
    match error:
        case CommandFailed():
            return error
        case SettingsError():
            return UsageWrong(*error.lines)
        case KeyFileError() | KeySetError() | KeysUnavailable() | NotSealed():
            return UsageWrong(str(error))
        case NothingDecided():
            return NoOutcome(f"{error}; nothing is known yet, and nothing is assumed")
        case RequestRefused() | UnknownControlPoint() | NotAllowed():
            return AnswerIsNo(str(error))
        case TopicsWrong():
            return AnswerIsNo(*error.lines)
        case TopicMissing():
            return AnswerIsNo(f"topic {error} is not there; make it: countersign topics apply")
        case DeadLettered():
            return AnswerIsNo(f"the worker could not read the record: {error}; see: dlq list")
        case Undecodable():
            return AnswerIsNo(f"not a record of ours: {error}")
        case BrokerUnreachable() | ReadStalled():
            return _out_of_reach(str(error))
        case RegistryUnavailable():
            return OutOfReach(f"the schema registry does not answer: {error}")
        case KafkaException():
            return _of_kafka(error)
        case _:
            return None


def report(failed: CommandFailed) -> int:
    """Prints the lines to standard error and returns the exit code."""
    for line in failed.lines:
        print(inert(line), file=sys.stderr)
    return failed.exit_code


def _of_kafka(error: KafkaException) -> CommandFailed:
    cause = error.args[0]
    if unreachable(cause):
        return _out_of_reach(cause.str())
    if cause.code() == KafkaError._INVALID_ARG:
        return UsageWrong(f"Kafka's client: {cause.str()}; mend the COUNTERSIGN_KAFKA_* setting")
    return AnswerIsNo(f"Kafka says no: {cause.str()}")


def _out_of_reach(said: str) -> OutOfReach:
    """Where TLS or SASL is set, the reason is asked for; it names its own mend."""
    why = said if "; mend: " in said else None
    if why is None:
        with suppress(SettingsError):
            why = trouble(load().admin_config())
    return OutOfReach(f"Kafka: {why or f'{said}; check COUNTERSIGN_BOOTSTRAP_SERVERS'}")

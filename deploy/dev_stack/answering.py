"""Waiting until a server really answers, and not only listens."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.ports import LOOPBACK
from deploy.dev_stack.process import Started, pause, tail

READY_WITHIN_S: Final = 120.0
"""A broker is there after 3 s on a desk machine; a busy one with a slow disk takes longer."""
_LOOK_EVERY_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 5.0
_silent: Final = logging.getLogger("countersign.dev_stack.kafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def kafka_answers(config: Mapping[str, Any]) -> str | None:
    """None when a broker answers with its cluster, else why not. config: librdkafka keys."""
    settings: dict[str, Any] = {**config, "error_cb": _ignore}
    client = AdminClient(settings, logger=_silent)
    try:
        return None if client.list_topics(timeout=_ASK_TIMEOUT_S).brokers else "no broker is there"
    except KafkaException as error:
        return str(error.args[0].str())


def _ignore(error: KafkaError) -> None:
    """Trouble while it is not there yet is what this module waits through."""


def redis_answers(url: str) -> str | None:
    """None when Redis answers a ping, else why not."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_ASK_TIMEOUT_S, socket_connect_timeout=_ASK_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return str(error)
    return None


def listens(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def wait_until(
    name: str,
    answers: Callable[[], str | None],
    *,
    process: Started | None = None,
    log: Path | None = None,
    within_s: float = READY_WITHIN_S,
) -> None:
    """Returns when `answers` says None. Raises CannotStart with the end of the log."""
    deadline = monotonic() + within_s
    while (reason := answers()) is not None:
        ended = process is not None and not process.alive
        if ended or monotonic() >= deadline:
            how = "ended at once" if ended else f"did not answer within {within_s:.0f} s: {reason}"
            shown = [f"  {line}" for line in tail(log)] if log is not None else []
            where = f"read {log}" if log is not None else "look at its own log"
            raise CannotStart(f"{name} {how}", *shown, f"mend: {where}, then run it again")
        pause(_LOOK_EVERY_S)

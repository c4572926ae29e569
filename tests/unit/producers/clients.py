"""Clients without a broker: what they publish is caught, what answers is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from producers import agent, guard, reviewer
from producers.answers import Answer, NoAnswer
from producers.publisher import Identity
from schemas.model import Record

Answering = Callable[[Record], list[Record]]


class Wire:
    """One partition: `answering` says what the worker answers to a record, in order."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.published: list[tuple[Record, Identity | None, str]] = []
        self.answers: list[Record] = []
        self.topics: list[str] = []
        self.keys: list[bytes | None] = []


class _Publisher:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def publish(self, record: Record, *, identity: Identity | None, record_id: str) -> None:
        self._wire.published.append((record, identity, record_id))
        self._wire.answers += self._wire.answering(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Reader:
    def __init__(self, wire: Wire, topics: Any, key: bytes | None) -> None:
        self._wire = wire
        wire.topics, wire.keys = list(topics), [*wire.keys, key]

    def answers(self, *, timeout_s: float, record_id: str | None = None) -> Iterator[Answer]:
        for record in self._wire.answers:
            yield Answer(record, [])
        raise NoAnswer(f"no answer within {timeout_s:g} s")

    def wait(self, pick: Callable[[Answer], Any], *, timeout_s: float) -> Any:
        return next(f for a in self.answers(timeout_s=timeout_s) if (f := pick(a)) is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def wired(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> Wire:
    """The clients' broker for one test."""
    wire = Wire(answering)
    for module in (agent, guard, reviewer):
        monkeypatch.setattr(
            module,
            "AnswerReader",
            lambda _, topics, *, key, start="end": _Reader(wire, topics, key),
        )
        monkeypatch.setattr(module, "Publisher", lambda _: _Publisher(wire))
    return wire

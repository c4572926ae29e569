"""Waiting for something that other processes bring about."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import Final, TypeVar

LOOK_EVERY_S: Final = 0.05
T = TypeVar("T")


def eventually(predicate: Callable[[], T], within_s: float = 30.0, *, what: str = "") -> T:
    """The first truthy answer of the predicate, asked again and again.

    An AssertionError of the predicate counts as "not yet". After `within_s` the last one is raised,
    or one that says what was waited for and the last answer.
    """
    deadline = monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        answer: T | None = None
        try:
            answer = predicate()
        except AssertionError as error:
            failure = error
        if answer:
            return answer
        if monotonic() >= deadline:
            if failure is not None:
                raise failure
            waited_for = what or getattr(predicate, "__name__", "it")
            raise AssertionError(f"{waited_for}: still {answer!r} after {within_s:g} s")
        Event().wait(LOOK_EVERY_S)

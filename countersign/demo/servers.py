"""The servers of the demo: those that are there, else started for it and ended after it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from deploy import dev_stack
from deploy.dev_stack import CannotStart, Servers


@dataclass(frozen=True, slots=True)
class Lent:
    """Servers to use. `ours`: nothing of them ran before, so that the demo ends them."""

    servers: Servers
    ours: bool


@contextmanager
def lent_servers(say: Callable[[str], None]) -> Iterator[Lent]:
    """A broker and a Redis that answer. Raises CannotStart, SettingsError.

    A shared lock is held meanwhile: of two demos at once the one that started the servers leaves
    them to the other when it ends first.
    """
    with (dev_stack.home() / "demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        before = dev_stack.status()
        named = before.servers is not None and before.servers.how == "settings"
        ours = not named and before.kafka is not None and before.redis is not None
        try:
            yield Lent(dev_stack.up(say=say), ours)
        finally:
            if ours:
                _end(lock, say)


def _end(lock: IO[str], say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another demo uses the servers, they stay; to end them: countersign dev down")
        return
    try:
        dev_stack.down(say=say)
    except CannotStart as error:
        for line in error.lines:
            say(line)

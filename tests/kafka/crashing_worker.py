"""A control worker that ends itself, as kill -9 does, at a named step. For tests only.

usage: python -m tests.kafka.crashing_worker STEP NUMBER
STEP is begin, produce, send_positions, commit, committed, apply or applied; the process is gone
right before it, at its NUMBER-th time among those that carry a decision.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from consumers.control.kafka import KafkaBroker
from consumers.control.main import Watchdog, run
from consumers.control.ports import OutputRecord, Place, Stored, Watermark
from consumers.control.store import RedisStore
from consumers.settings import Settings, load

STEP, NUMBER = sys.argv[1], int(sys.argv[2])


class Countdown:
    """Ends the process when its step comes for the n-th time."""

    seen = 0

    @classmethod
    def at(cls, step: str) -> None:
        """The process is about to do this."""
        if step != STEP:
            return
        cls.seen += 1
        if cls.seen == NUMBER:
            os.kill(os.getpid(), signal.SIGKILL)


class CrashingBroker(KafkaBroker):
    """The real broker, interrupted before each of its steps."""

    def _begin(self) -> None:
        Countdown.at("begin")
        super()._begin()

    def _produce(self, output: OutputRecord) -> None:
        super()._produce(output)
        Countdown.at("produce")

    def _send_positions(self, positions: Mapping[Place, int], membership: object) -> None:
        self._producer.flush(5)  # what was produced is really in the log, uncommitted
        Countdown.at("send_positions")
        super()._send_positions(positions, membership)

    def _commit(self) -> None:
        Countdown.at("commit")
        super()._commit()
        Countdown.at("committed")


def crashing_apply(
    self: RedisStore,
    task: int,
    expected: Watermark,
    new: Watermark,
    changes: Mapping[bytes, Stored],
) -> None:
    """The real apply, interrupted before and after."""
    Countdown.at("apply")
    APPLY(self, task, expected, new, changes)
    Countdown.at("applied")


APPLY = RedisStore.apply
RedisStore.apply = crashing_apply  # type: ignore[method-assign]


def connect(settings: Settings, watchdog: Watchdog) -> Any:
    """As the service does it."""
    return CrashingBroker(settings.kafka_config(), guard=watchdog.watched)


if __name__ == "__main__":
    sys.exit(run(load(), connect=connect))

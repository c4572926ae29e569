"""The notifier, killed by itself (SIGKILL) at the step that DIES_AT names. For tests only.

It wraps the notifier's ports; the notifier itself knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from consumers.notification.mailer import Mail, Mailer, Outcome
from consumers.notification.main import ClosableLog, connect, run
from consumers.notification.outbox import ThreadedOutbox
from consumers.notification.progress import Progress
from consumers.settings import Settings, load
from producers.executor import Executor
from schemas.model import Record
from schemas.registry import ce_type_of

DIES_AT = os.environ["DIES_AT"]


def step(name: str) -> None:
    """Dies here, if this is the step."""
    if name == DIES_AT:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingLog:
    """A log whose commits and publications are steps."""

    def __init__(self, log: ClosableLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(self, progress: Mapping[int, Progress]) -> None:
        """See Log."""
        marks = "".join(mark for kept in progress.values() for mark in kept.marks.values())
        step(f"before commit {marks}".strip())
        self._log.commit(progress)
        step(f"after commit {marks}".strip())

    def publish(self, record: Record, *, record_id: str, traceparent: bytes | None) -> None:
        """See Log."""
        step(f"before {ce_type_of(record)}")
        self._log.publish(record, record_id=record_id, traceparent=traceparent)
        step(f"after {ce_type_of(record)}")


class DyingOutbox(ThreadedOutbox):
    """An outbox where handing over and hearing back are steps."""

    def hand_over(self, ticket: str, mail: Mail) -> None:
        """See Outbox."""
        step("before mail")
        super().hand_over(ticket, mail)

    def done(self) -> Sequence[tuple[str, Outcome]]:
        """See Outbox."""
        found = super().done()
        if found:
            step("after mail")
        return found


def dying(settings: Settings, executor: Executor) -> Any:
    """The real Kafka, with steps."""
    return DyingLog(connect(settings, executor))


def dying_outbox(mailer: Mailer) -> DyingOutbox:
    """The real outbox, with steps."""
    return DyingOutbox(mailer)


if __name__ == "__main__":
    raise SystemExit(run(load(), connect=dying, outbox=dying_outbox))

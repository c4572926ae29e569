"""What the story waits for at the broker, while the services are watched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from consumers.audit.history import read_history
from consumers.audit.trail import Audit, UnknownPackage, audited
from countersign.demo.ground import TENANT, Ground
from countersign.demo.services import Services
from deploy.dev_stack.process import pause
from producers.answers import Answer, AnswerReader, NoAnswer
from schemas.events import InterruptStatusChanged
from schemas.execution import NoticeFailed, NoticeSent
from schemas.topics import record_key

WITHIN_S: Final = 40.0
"""For a step that takes well under a second on an idle machine."""
_SLICE_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.2
_COMMAND_WITHIN_S: Final = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Waits for what the services bring about. Every wait raises ServiceEnded when one is gone."""

    ground: Ground
    services: Services

    def notice(self, package_id: str) -> NoticeSent | NoticeFailed:
        """What became of an approved notice. Raises NoAnswer."""

        def pick(answer: Answer) -> NoticeSent | NoticeFailed | None:
            record = answer.record
            return record if isinstance(record, NoticeSent | NoticeFailed) else None

        found: Iterator[NoticeSent | NoticeFailed] = self._records("notice.sent", package_id, pick)
        return next(found)

    def statuses(self, package_id: str) -> Iterator[InterruptStatusChanged]:
        """Every status of a package from its first, up to the final one. Raises NoAnswer."""

        def pick(answer: Answer) -> InterruptStatusChanged | None:
            record = answer.record
            return record if isinstance(record, InterruptStatusChanged) else None

        for status in self._records("interrupt-status", package_id, pick):
            yield status
            if status.final:
                return

    def audit(self, package_id: str) -> Audit:
        """The audit of a package, once it is complete; the incomplete one when time is over."""
        deadline = monotonic() + WITHIN_S
        while True:
            audit = self._audit(package_id)
            if audit is not None and (audit.complete or monotonic() >= deadline):
                return audit
            if monotonic() >= deadline:
                raise NoAnswer(f"{package_id}: the journal knows nothing of it")
            self.services.check()
            pause(_LOOK_EVERY_S)

    def command(self, *words: str) -> Printed:
        """Runs `countersign <words>` in this deployment, as a person would."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "countersign", *words],
            env=dict(self.ground.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_COMMAND_WITHIN_S,
            check=False,
        )
        return Printed(done.returncode, done.stdout, done.stderr)

    def _audit(self, package_id: str) -> Audit | None:
        kafka = self.ground.kafka
        try:
            return audited(read_history(kafka.common(), kafka.topic, TENANT, package_id))
        except UnknownPackage:
            return None

    def _records(
        self, topic: str, package_id: str, pick: Callable[[Answer], T | None]
    ) -> Iterator[T]:
        key = record_key(TENANT, package_id)
        with AnswerReader(self.ground.kafka, [topic], key=key, start="beginning") as reader:
            deadline = monotonic() + WITHIN_S
            while True:
                try:
                    found = reader.wait(pick, timeout_s=_SLICE_S)
                except NoAnswer:
                    self.services.check()
                    if monotonic() >= deadline:
                        raise NoAnswer(
                            f"{package_id}: nothing on {topic} within {WITHIN_S:.0f} s"
                        ) from None
                else:
                    yield found

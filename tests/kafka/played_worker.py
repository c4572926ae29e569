"""The control worker's part, played by a test; and a notifier that kills itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deploy.mail_sink import MailSink
from producers.keys import read_key
from producers.signing import sign_grant
from schemas.canonical import action_digest, canonical_json
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake, NoticeFailed, NoticeSent, ToolDenied, ToolInDoubt
from schemas.model import Record
from tests.examples import (
    EFFECT,
    TOOL,
    a_gate_event,
    a_refusal,
    notice_args,
)
from tests.support.deployment import Deployment
from tests.support.service import Service

SESSION_MS: Final = "6000"
"""The shortest that brokers allow: a dead notifier is missed after 6 s."""
_BOUND = (
    "tenant_id",
    "interrupt_id",
    "decision_package_id",
    "package_version",
    "effect_type",
    "action_digest",
)


@dataclass
class PlayedWorker:
    """What the control worker does for a grant, done by the test."""

    deployment: Deployment
    gates: dict[str, ToolGateEvent] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    answered: int = 0
    execute_within: timedelta = timedelta(minutes=10)

    def open(self, number: int = 1, **args: object) -> ToolGateEvent:
        """Opens a gate with a signed grant."""
        now = datetime.now(UTC)
        args_json = canonical_json(notice_args(**args))
        gate = a_gate_event(
            event_id=f"opened-{number}",
            decision_package_id=f"pkg-{number}",
            grant_id=f"grant-{number}",
            args_json=args_json,
            action_digest=action_digest(TOOL, EFFECT, args_json),
            occurred_at=now,
            valid_until=now + timedelta(hours=1),
        )
        claims: dict[str, Any] = {
            "aud": gate.tool_name,
            "sub": gate.run_id,
            "jti": gate.grant_id,
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(hours=1)).timestamp()),
            **{name: getattr(gate, name) for name in _BOUND},
        }
        signed = sign_grant(claims, read_key(self.deployment.key_file("grant")))
        gate = gate.model_copy(update={"grant_jws": signed})
        self.gates[str(gate.grant_id)] = gate
        self._publish(gate, gate.event_id)
        return gate

    def answer(self) -> int:
        """Answers the takes that came since: the first has it, another is a duplicate."""
        takes = self.takes()
        for take in takes[self.answered :]:
            if take.grant_id in self.taken:
                refused = a_refusal(
                    event_id=f"refused-{self.answered}",
                    command_id=take.attempt_id,
                    refused_type="grant.take",
                    code="DUPLICATE_COMMAND",
                    decision_package_id=take.decision_package_id,
                )
                self._publish(refused, refused.event_id)
            else:
                self._consume(take)
            self.answered += 1
        return len(takes)

    def takes(self) -> list[GrantTake]:
        """The takes in the log."""
        found = self.deployment.records("tool-execution", GrantTake)
        return [record for record in found if type(record) is GrantTake]

    def _consume(self, take: GrantTake) -> None:
        self.taken.add(take.grant_id)
        now = datetime.now(UTC)
        consumed = self.gates[take.grant_id].model_copy(
            update={
                "event_id": f"consumed-{take.grant_id}",
                "gate": "consumed",
                "args_json": None,
                "grant_jws": None,
                "executor_id": take.executor_id,
                "attempt_id": take.attempt_id,
                "execute_by": now + self.execute_within,
                "occurred_at": now,
            }
        )
        self._publish(consumed, consumed.event_id)

    def _publish(self, record: Record, record_id: str) -> None:
        self.deployment.publish(record, by=None, record_id=record_id)


class DyingNotifier(Service):
    """The notifier, which kills itself at a step."""

    def __init__(self, deployment: Deployment, dies_at: str, smtp_url: str) -> None:
        env = {**deployment.env, "DIES_AT": dies_at, "COUNTERSIGN_SMTP_URL": smtp_url}
        env["COUNTERSIGN_KAFKA_SESSION_TIMEOUT_MS"] = SESSION_MS
        super().__init__("dying", (), env, deployment.directory / "dying.log")
        self._command = [sys.executable, "-m", "tests.kafka.notifier_that_dies"]


def short_sighted(deployment: Deployment, sink: MailSink) -> Service:
    """A notifier whose death is noticed soon."""
    return deployment.notifier(SMTP_URL=sink.url, KAFKA_SESSION_TIMEOUT_MS=SESSION_MS)


def outcome(deployment: Deployment) -> list[Record]:
    """Every receipt that stands in the log."""
    kinds = (NoticeSent, NoticeFailed, ToolInDoubt, ToolDenied)
    found: list[Record] = [
        *deployment.records("notice.sent"),
        *deployment.records("tool-execution"),
    ]
    return [record for record in found if isinstance(record, kinds)]


def reported(deployment: Deployment, worker: PlayedWorker) -> Callable[[], list[Record]]:
    """The receipts so far; takes are answered meanwhile."""

    def look() -> list[Record]:
        worker.answer()
        return outcome(deployment)

    return look

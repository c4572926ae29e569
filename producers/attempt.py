"""One executor's attempt at a grant: its take, what answers it, and the receipts it may send. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from schemas.events import ToolGateEvent
from schemas.execution import (
    GrantTake,
    OutcomeReported,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from schemas.vocabulary import Outcome

DETAIL_CHARS_MAX: Final = 4096
"""Of what an executor says in a receipt: the wire would take more, a reader would not."""
BROKER_SKEW_MAX: Final = timedelta(minutes=10)
"""How far the append times of two brokers may lie apart: what follows on a gate is looked for from
this long before it opened."""
_NAMESPACE: Final = UUID("0b5f4a2e-2f0e-5d0a-8c39-5a3d1d6c4e17")


def stable_attempt_id(grant_id: str, executor_id: str) -> str:
    """The attempt of an executor that tries a grant at most once, across restarts."""
    return str(uuid5(_NAMESPACE, f"{grant_id}/{executor_id}"))


def receipt_id(attempt_id: str, kind: str) -> str:
    """The id of the one receipt of this kind of an attempt: reporting again changes nothing."""
    return str(uuid5(_NAMESPACE, f"{attempt_id}#{kind}"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at the grant of an opened gate. The gate must name its grant and its action."""

    gate: ToolGateEvent
    attempt_id: str
    executor_id: str

    @property
    def grant_id(self) -> str:
        """The grant."""
        assert self.gate.grant_id is not None, "an attempt is at a grant"
        return self.gate.grant_id

    def take(self) -> GrantTake:
        """Asks to be the one that acts."""
        return GrantTake(**self._names())

    def took(self, gate: ToolGateEvent) -> bool:
        """Whether a later event of the gate says that this attempt has the grant, for this action."""
        ours = (self.grant_id, self.executor_id, self.attempt_id, self.gate.action_digest)
        return gate.gate == "consumed" and taker_of(gate) == ours

    def executed(
        self, now: datetime, *, result_digest: str | None = None, detail: str | None = None
    ) -> ToolExecuted:
        """It was done."""
        said = _short(detail) if detail is not None else None
        return ToolExecuted(
            **self._receipt("executed", now), result_digest=result_digest, detail=said
        )

    def failed(self, now: datetime, detail: str) -> ToolFailed:
        """It certainly did not happen."""
        return ToolFailed(**self._receipt("failed", now), detail=_short(detail))

    def in_doubt(self, now: datetime, detail: str) -> ToolInDoubt:
        """Nobody knows whether it happened."""
        return ToolInDoubt(**self._receipt("in-doubt", now), detail=_short(detail))

    def denied(self, now: datetime, reason: str) -> ToolDenied:
        """The executor refuses to act on the grant."""
        return ToolDenied(**self._receipt("denied", now), reason=_short(reason))

    def _names(self) -> dict[str, Any]:
        return {
            "grant_id": self.grant_id,
            "attempt_id": self.attempt_id,
            "executor_id": self.executor_id,
            "tenant_id": self.gate.tenant_id,
            "decision_package_id": self.gate.decision_package_id,
        }

    def _receipt(self, kind: str, now: datetime) -> dict[str, Any]:
        return {
            **self._names(),
            "event_id": receipt_id(self.attempt_id, kind),
            "action_digest": self.gate.action_digest,
            "occurred_at": now,
        }


def taker_of(gate: ToolGateEvent) -> tuple[str | None, ...]:
    """What a consumed gate says of its take: grant, executor, attempt, action digest."""
    return gate.grant_id, gate.executor_id, gate.attempt_id, gate.action_digest


def outcome_of(
    grant_id: str,
    *,
    tenant_id: str,
    decision_package_id: str,
    executor_id: str,
    outcome: Outcome,
    severity: str | None,
    detail: str | None,
    now: datetime,
) -> OutcomeReported:
    """How a grant that was run went, later. The same words again are the same report."""
    said = _short(detail) if detail is not None else None
    return OutcomeReported(
        event_id=receipt_id(grant_id, f"outcome/{executor_id}/{outcome}/{severity}/{said}"),
        tenant_id=tenant_id,
        decision_package_id=decision_package_id,
        grant_id=grant_id,
        outcome=outcome,
        severity=severity,
        detail=said,
        reported_by=executor_id,
        occurred_at=now,
    )


def _short(text: str) -> str:
    """The text as a receipt can hold it: a receipt must not fail for its words."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= DETAIL_CHARS_MAX else f"{text[: DETAIL_CHARS_MAX - 1]}…"

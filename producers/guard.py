"""The executor's side: verify, take, act only on one's own `consumed`, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar
from uuid import UUID, uuid4, uuid5

from core.jwk import TrustedKeys
from producers.answers import DEAD_LETTER, Answer, AnswerReader, NoAnswer
from producers.connection import KafkaConfig
from producers.grants import GrantInvalid, VerifiedGrant, verify_grant
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from schemas.events import CommandRefused, ToolGateEvent
from schemas.execution import GrantTake, Receipt, ToolExecuted, ToolFailed, ToolInDoubt
from schemas.topics import record_key

ANSWER_WITHIN_S: Final = 30.0
_R = TypeVar("_R", bound=Receipt)
_NAMESPACE: Final = UUID("0b5f4a2e-2f0e-5d0a-8c39-5a3d1d6c4e17")


@dataclass(frozen=True, slots=True)
class Permit:
    """Act now, once, with exactly these arguments, and report by `execute_by`."""

    args: Mapping[str, Any]
    grant: VerifiedGrant
    attempt_id: str
    execute_by: datetime | None


@dataclass(frozen=True, slots=True)
class Denied:
    """Do not act. code: of the refusal, or GRANT_INVALID, NO_ANSWER."""

    code: str
    why: str
    attempt_id: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class ExecutorGuard:
    """Takes grants for one executor. Not for several threads at once.

    keys: where the grant keys come from, asked at each take, such as `trusted_keys(path).current`.
    """

    config: KafkaConfig
    executor_id: str
    key: SigningKey | None
    keys: Callable[[], TrustedKeys]
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def take(
        self,
        gate: ToolGateEvent,
        *,
        attempt_id: str | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> Permit | Denied:
        """Whether to act on an opened gate.

        attempt_id: new for each call by default, so that of any number of copies of a program one
        acts. A program that keeps its own durable record of what it began may pass
        `stable_attempt_id` and find its own take again after a crash; then no second copy of it
        may run. Denied NO_ANSWER: not known, do not act. Raises BrokerUnreachable, NotAllowed,
        DeadLettered.
        """
        attempt = attempt_id or f"att-{uuid4()}"
        try:
            grant = verify_grant(gate, keys=self.keys(), now=self.clock())
        except GrantInvalid as error:
            return Denied("GRANT_INVALID", str(error), attempt)
        take = grant_take(grant, attempt, self.executor_id)

        def pick(answer: Answer) -> ToolGateEvent | CommandRefused | None:
            match answer.record:
                case ToolGateEvent(gate="consumed") as consumed:
                    return consumed if consumed.attempt_id == attempt else None
                case CommandRefused() as refusal if refusal.code != "DUPLICATE_COMMAND":
                    return refusal if refusal.command_id == attempt else None
                case _:
                    return None

        key = record_key(gate.tenant_id, gate.decision_package_id)
        # A stable attempt may have been answered before; a new one cannot have been.
        start: Literal["beginning", "end"] = "beginning" if attempt_id else "end"
        topics = ["tool-gate", "command-refused", DEAD_LETTER]
        with AnswerReader(self.config, topics, key=key, start=start) as reader:
            with Publisher(self.config) as out:
                out.publish(take, identity=self._identity, record_id=attempt)
            answers = reader.answers(timeout_s=timeout_s, record_id=attempt)
            try:
                found = next(found for answer in answers if (found := pick(answer)) is not None)
            except NoAnswer as error:
                return Denied("NO_ANSWER", f"{error}; do not act", attempt)
        return self._permit(found, grant, attempt)

    def executed(
        self, permit: Permit, *, result_digest: str | None = None, detail: str | None = None
    ) -> ToolExecuted:
        """Reports that it was done. Receipts raise BrokerUnreachable: report again, same id."""
        receipt = ToolExecuted(
            **self._receipt(permit, "executed"), result_digest=result_digest, detail=detail
        )
        return self._report(receipt)

    def failed(self, permit: Permit, *, detail: str) -> ToolFailed:
        """Reports that it is known not to have happened."""
        return self._report(ToolFailed(**self._receipt(permit, "failed"), detail=detail))

    def in_doubt(self, permit: Permit, *, detail: str) -> ToolInDoubt:
        """Reports that nobody knows whether it happened; a human is asked, nothing is retried."""
        return self._report(ToolInDoubt(**self._receipt(permit, "in-doubt"), detail=detail))

    @property
    def _identity(self) -> Identity | None:
        return Identity(self.key, self.executor_id) if self.key else None

    def _permit(
        self, answer: ToolGateEvent | CommandRefused, grant: VerifiedGrant, attempt: str
    ) -> Permit | Denied:
        if isinstance(answer, CommandRefused):
            return Denied(answer.code, answer.message, attempt)
        theirs = (answer.grant_id, answer.executor_id, answer.action_digest)
        if theirs != (grant.grant_id, self.executor_id, grant.action_digest):
            return Denied("GRANT_INVALID", "the gate was consumed for another action", attempt)
        if answer.execute_by is not None and self.clock() >= answer.execute_by:
            return Denied("GRANT_EXPIRED", "the time to execute is over; do not act", attempt)
        return Permit(grant.args, grant, attempt, answer.execute_by)

    def _receipt(self, permit: Permit, kind: str) -> dict[str, Any]:
        return receipt_fields(permit.grant, permit.attempt_id, self.executor_id, kind, self.clock())

    def _report(self, receipt: _R) -> _R:
        with Publisher(self.config) as out:
            out.publish(receipt, identity=self._identity, record_id=receipt.event_id)
        return receipt


def stable_attempt_id(grant_id: str, executor_id: str) -> str:
    """The attempt of an executor that tries a grant at most once, across restarts."""
    return str(uuid5(_NAMESPACE, f"{grant_id}/{executor_id}"))


def receipt_id(attempt_id: str, kind: str) -> str:
    """The id of the one receipt of this kind of an attempt: reporting again changes nothing."""
    return str(uuid5(_NAMESPACE, f"{attempt_id}#{kind}"))


def grant_take(grant: VerifiedGrant, attempt_id: str, executor_id: str) -> GrantTake:
    """The take of a verified grant."""
    return GrantTake(
        grant_id=grant.grant_id,
        attempt_id=attempt_id,
        executor_id=executor_id,
        tenant_id=grant.gate.tenant_id,
        decision_package_id=grant.gate.decision_package_id,
    )


def receipt_fields(
    grant: VerifiedGrant, attempt_id: str, executor_id: str, kind: str, now: datetime
) -> dict[str, Any]:
    """What every receipt about a grant says."""
    return {
        **grant_take(grant, attempt_id, executor_id).model_dump(),
        "event_id": receipt_id(attempt_id, kind),
        "action_digest": grant.action_digest,
        "occurred_at": now,
    }

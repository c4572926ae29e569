"""The executor's side: verify, take, act only on one's own `consumed`, report.

A program that acts on many gates needs only `producers.executing.serve`, which uses this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar
from uuid import uuid4

from pydantic import ValidationError

from core.jwk import TrustedKeys
from producers.answers import DEAD_LETTER, Answer, AnswerReader, NoAnswer
from producers.attempt import (
    BROKER_SKEW_MAX,
    DETAIL_CHARS_MAX,
    Attempt,
    outcome_of,
    stable_attempt_id,
)
from producers.connection import BrokerUnreachable, KafkaConfig, NotAllowed
from producers.grants import GrantEnded, GrantInvalid, VerifiedGrant, verify_grant
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from producers.sealed_records import Sealing, opened_args
from producers.sealing import NotSealed, Subject, Unsealable
from producers.trusted_keys import KeysUnavailable
from schemas.events import CommandRefused, ToolGateEvent
from schemas.execution import (
    OutcomeReported,
    Receipt,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from schemas.topics import record_key
from schemas.vocabulary import Outcome

ANSWER_WITHIN_S: Final = 30.0
_R = TypeVar("_R", bound=Receipt | OutcomeReported)


class NotDone(Exception):
    """The action certainly did not happen. The message says why; it goes on record."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Act now, once, with exactly these arguments, and report by `execute_by`."""

    args: Mapping[str, Any]
    grant: VerifiedGrant
    attempt: Attempt
    execute_by: datetime | None
    subject: Subject | None = None
    """Whom the arguments are about, if they were sealed; `args` is what they say."""

    @property
    def attempt_id(self) -> str:
        """The attempt that took the grant."""
        return self.attempt.attempt_id


@dataclass(frozen=True, slots=True)
class Denied:
    """Do not act. code: of the refusal, or GRANT_INVALID, GRANT_EXPIRED, NO_ANSWER, SEALED.

    on_record: the refusal stands in the log; otherwise put it there with `ExecutorGuard.denied`.
    taken: the attempt holds the grant, too late. Whoever knows that it did nothing reports
    `failed`, or a human is asked.
    """

    code: str
    why: str
    attempt_id: str
    on_record: bool = False
    taken: bool = False

    def __bool__(self) -> bool:
        return False


@dataclass(slots=True)
class Act:
    """An action under way. Set what the receipt is to say.

    receipt, reported: what came of it, and whether the broker has it; if not, `report` it again.
    """

    permit: Permit
    result_digest: str | None = None
    detail: str | None = None
    receipt: Receipt | None = None
    reported: bool = False

    @property
    def args(self) -> Mapping[str, Any]:
        """The verified arguments: do exactly this."""
        return self.permit.args


@dataclass(frozen=True, slots=True)
class ExecutorGuard:
    """Takes grants for one executor. Not for several threads at once.

    keys: where the grant keys come from, asked at each take, such as `trusted_keys(path).current`.
    sealing: opens arguments that were sealed, and seals what receipts say of them.
    """

    config: KafkaConfig
    executor_id: str
    key: SigningKey | None
    keys: Callable[[], TrustedKeys]
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sealing: Sealing | None = None

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
        DeadLettered, KeysUnavailable.
        """
        attempt = Attempt(gate, attempt_id or f"att-{uuid4()}", self.executor_id)
        try:
            grant = verify_grant(gate, keys=self.keys(), now=self.clock())
        except GrantInvalid as error:
            code = "GRANT_EXPIRED" if isinstance(error, GrantEnded) else "GRANT_INVALID"
            return Denied(code, str(error), attempt.attempt_id)
        try:  # who could not act must not take: somebody who can may
            opened_args(grant.args, gate.tenant_id, self.sealing)
        except Unsealable as error:
            return Denied("SEALED", f"the arguments: {error}", attempt.attempt_id)

        def pick(answer: Answer) -> ToolGateEvent | CommandRefused | None:
            match answer.record:
                case ToolGateEvent(gate="consumed") as consumed:
                    return consumed if consumed.attempt_id == attempt.attempt_id else None
                case CommandRefused() as refusal if refusal.code != "DUPLICATE_COMMAND":
                    return refusal if refusal.command_id == attempt.attempt_id else None
                case _:
                    return None

        # A given attempt may have been answered before; a new one cannot have been.
        start: datetime | Literal["end"] = gate.occurred_at - BROKER_SKEW_MAX
        if attempt_id is None:
            start = "end"
        topics = ["tool-gate", "command-refused", DEAD_LETTER]
        with AnswerReader(self.config, topics, key=_key(gate), start=start) as reader:
            with Publisher(self.config) as out:
                out.publish(attempt.take(), identity=self._identity, record_id=attempt.attempt_id)
            answers = reader.answers(timeout_s=timeout_s, record_id=attempt.attempt_id)
            try:
                found = next(found for answer in answers if (found := pick(answer)) is not None)
            except NoAnswer as error:
                return Denied("NO_ANSWER", f"{error}; do not act", attempt.attempt_id)
        try:
            answer = self._permit(found, grant, attempt)
        except KeysUnavailable:
            if attempt_id is not None:
                raise  # the same attempt finds its take again
            why = "the keys of subjects are out of reach"
            answer = Denied("SEALED", why, attempt.attempt_id, on_record=True, taken=True)
        if isinstance(answer, Denied) and answer.taken and attempt_id is None:
            self.report(attempt.failed(self.clock(), answer.why))  # new here: it did nothing
        return answer

    def denied(self, gate: ToolGateEvent, reason: str) -> ToolDenied | None:
        """Puts on record that this executor refuses to act on a gate, and why.

        None: the gate names no grant or no action, so that there is nothing to refuse. Refusing
        again is the same record. Raises as receipts do.
        """
        if gate.grant_id is None or gate.action_digest is None:
            return None
        attempt_id = stable_attempt_id(gate.grant_id, self.executor_id)
        attempt = Attempt(gate, attempt_id, self.executor_id)
        return self.report(attempt.denied(self.clock(), reason))

    @contextmanager
    def acting(self, permit: Permit) -> Iterator[Act]:
        """Around the action: reports what came of it, by how the block ends.

        It returns: executed. It raises NotDone: failed. It raises anything else: in doubt, for
        nobody knows how far it came. The exception goes on; nothing after the block runs as if the
        action had been done. When the receipt itself cannot be published (BrokerUnreachable,
        NotAllowed): `act.reported` is False; `report(act.receipt)` again. Never act again.
        """
        act = Act(permit)
        try:
            yield act
        except BaseException as error:
            act.receipt = self._receipt_of(permit, error)
            try:
                self.report(act.receipt)
                act.reported = True
            except (BrokerUnreachable, NotAllowed) as away:
                error.add_note(f"and that could not be reported: {away}")
            raise
        try:
            act.receipt = permit.attempt.executed(
                self.clock(),
                result_digest=act.result_digest,
                detail=self._words(permit, act.detail),
            )
        except ValidationError:  # of its words; that it was done is true without them
            act.receipt = permit.attempt.executed(self.clock())
        self.report(act.receipt)
        act.reported = True

    def executed(
        self, permit: Permit, *, result_digest: str | None = None, detail: str | None = None
    ) -> ToolExecuted:
        """Reports that it was done. Receipts raise BrokerUnreachable: report again, same id."""
        said = self._words(permit, detail)
        return self.report(
            permit.attempt.executed(self.clock(), result_digest=result_digest, detail=said)
        )

    def failed(self, permit: Permit, *, detail: str) -> ToolFailed:
        """Reports that it is known not to have happened."""
        return self.report(permit.attempt.failed(self.clock(), self._said(permit, detail)))

    def in_doubt(self, permit: Permit, *, detail: str) -> ToolInDoubt:
        """Reports that nobody knows whether it happened; a human is asked, nothing is retried."""
        return self.report(permit.attempt.in_doubt(self.clock(), self._said(permit, detail)))

    def report_outcome(
        self,
        grant_id: str,
        *,
        tenant_id: str,
        decision_package_id: str,
        outcome: Outcome,
        severity: str | None = None,
        detail: str | None = None,
    ) -> OutcomeReported:
        """Reports later how it went: ok, incident or reversed. The same words again are the same
        report; other words are a further one."""
        return self.report(
            outcome_of(
                grant_id,
                tenant_id=tenant_id,
                decision_package_id=decision_package_id,
                executor_id=self.executor_id,
                outcome=outcome,
                severity=severity,
                detail=detail,
                now=self.clock(),
            )
        )

    def report(self, receipt: _R) -> _R:
        """Publishes a receipt, also one that could not be published before: its id is the same."""
        with Publisher(self.config) as out:
            out.publish(receipt, identity=self._identity, record_id=receipt.event_id)
        return receipt

    def _words(self, permit: Permit, words: str | None) -> str | None:
        return None if words is None else self._said(permit, words)

    def _said(self, permit: Permit, words: str) -> str:
        """Words as they go on record: sealed where the arguments were, for they may repeat them."""
        if permit.subject is None or self.sealing is None or not words.strip():
            return words
        place = f"{permit.attempt_id}/detail"
        try:
            return self.sealing.words(words, permit.subject, place, DETAIL_CHARS_MAX)
        except (NotSealed, KeysUnavailable):  # a receipt must not fail for its words
            return "its words could not be sealed, and are left out"

    @property
    def _identity(self) -> Identity | None:
        return Identity(self.key, self.executor_id) if self.key else None

    def _permit(
        self, answer: ToolGateEvent | CommandRefused, grant: VerifiedGrant, attempt: Attempt
    ) -> Permit | Denied:
        if isinstance(answer, CommandRefused):
            return Denied(answer.code, answer.message, attempt.attempt_id, on_record=True)
        if not attempt.took(answer):
            why = "the gate was consumed for another action"
            return Denied("GRANT_INVALID", why, attempt.attempt_id)
        if answer.execute_by is not None and self.clock() >= answer.execute_by:
            why = "the time to execute is over; do not act"
            return Denied("GRANT_EXPIRED", why, attempt.attempt_id, on_record=True, taken=True)
        try:  # again, for it may have been erased meanwhile
            args, subject = opened_args(grant.args, grant.gate.tenant_id, self.sealing)
        except Unsealable as error:
            why = f"the arguments: {error}"
            return Denied("SEALED", why, attempt.attempt_id, on_record=True, taken=True)
        return Permit(MappingProxyType(args), grant, attempt, answer.execute_by, subject)

    def _receipt_of(self, permit: Permit, error: BaseException) -> ToolFailed | ToolInDoubt:
        if isinstance(error, NotDone):
            return permit.attempt.failed(self.clock(), self._said(permit, str(error)))
        why = f"the executor broke off: {type(error).__name__}"
        return permit.attempt.in_doubt(self.clock(), why)


def _key(gate: ToolGateEvent) -> bytes:
    return record_key(gate.tenant_id, gate.decision_package_id)

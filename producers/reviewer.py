"""The reviewer's side: one signed command, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

from producers.agent import NoOutcome
from producers.answers import DEAD_LETTER, Answer, AnswerReader, NoAnswer
from producers.connection import KafkaConfig
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from schemas.commands import Command, HumanDecisionCommand
from schemas.events import CommandRefused, HumanDecisionEvent, ReviewTaskEvent
from schemas.topics import record_key
from schemas.vocabulary import Decision

ANSWER_WITHIN_S: Final = 30.0
_ANSWERS: Final = ("human.decision_recorded", "review-task", "command-refused", DEAD_LETTER)


class ReviewerClient:
    """Sends commands in the name of one reviewer of one tenant. Not for several threads."""

    def __init__(
        self,
        config: KafkaConfig,
        *,
        reviewer_id: str,
        tenant_id: str,
        key: SigningKey | None,
        sid: str | None = None,
    ) -> None:
        """sid: the reviewer's session, where `key` is an identity gateway's."""
        self._config = config
        self._reviewer_id = reviewer_id
        self._tenant_id = tenant_id
        self._identity = Identity(key, reviewer_id, sid) if key else None

    def decide(
        self,
        decision_package_id: str,
        decision: Decision,
        *,
        version: int,
        comment: str | None = None,
        action_digest: str | None = None,
        evidence_requested: Sequence[str] = (),
        defer_until: datetime | None = None,
        defer_condition: str | None = None,
        on_behalf_of: str | None = None,
        reviewer_rationale: str | None = None,
        idempotency_key: str | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> HumanDecisionEvent | CommandRefused:
        """One decision about the version that was seen, and what became of it.

        Raises NoOutcome when none came in time; decide again with its `retry_with` as
        idempotency_key: the same key never takes effect twice. Also DeadLettered,
        BrokerUnreachable, NotAllowed.
        """
        command = HumanDecisionCommand(
            command_id=f"cmd-{uuid4()}",
            tenant_id=self._tenant_id,
            decision_package_id=decision_package_id,
            reviewer_id=self._reviewer_id,
            expected_package_version=version,
            idempotency_key=idempotency_key or f"key-{uuid4()}",
            decision=decision,
            comment=comment,
            action_digest=action_digest,
            defer_until=defer_until,
            defer_condition=defer_condition,
            evidence_requested=list(evidence_requested),
            on_behalf_of=on_behalf_of,
            reviewer_rationale=reviewer_rationale,
        )
        answer = self.send(command, timeout_s=timeout_s)
        assert not isinstance(answer, ReviewTaskEvent), "a decision is not answered by a task event"
        return answer

    def send(
        self, command: Command, *, timeout_s: float = ANSWER_WITHIN_S
    ) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused:
        """Any signed command, and its one answer. Raises as `decide`."""
        command_id = command.command_id

        def pick(answer: Answer) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused | None:
            record = answer.record
            if isinstance(record, HumanDecisionEvent | ReviewTaskEvent | CommandRefused):
                return record if record.command_id == command_id else None
            return None

        key = record_key(command.tenant_id, command.decision_package_id)
        with AnswerReader(self._config, _ANSWERS, key=key) as reader:
            with Publisher(self._config) as out:
                out.publish(command, identity=self._identity, record_id=command_id)
            answers = reader.answers(timeout_s=timeout_s, record_id=command_id)
            fitting = (found for answer in answers if (found := pick(answer)) is not None)
            try:
                return next(fitting)
            except NoAnswer:
                raise NoOutcome(
                    command.idempotency_key, f"no outcome within {timeout_s:g} s"
                ) from None

"""The reviewer's side: one signed command, and its one answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Required, TypedDict, Unpack, overload
from uuid import uuid4

from producers.agent import NoOutcome
from producers.answers import DEAD_LETTER, Answer, AnswerReader, NoAnswer
from producers.connection import KafkaConfig
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from producers.sealed_records import Sealing
from schemas.commands import (
    AuditVerdictCommand,
    Command,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.events import CommandRefused, HumanDecisionEvent, ReviewTaskEvent
from schemas.requests import ToolCall
from schemas.topics import record_key
from schemas.vocabulary import CommentKind, Decision, ExceptionKind, Verdict

ANSWER_WITHIN_S: Final = 30.0
_ANSWERS: Final = ("human.decision_recorded", "review-task", "command-refused", DEAD_LETTER)


class Terms(TypedDict, total=False):
    """What every command says beside its own fields."""

    version: Required[int]
    """The package version that was seen."""
    idempotency_key: str | None
    """The same key never takes effect twice; a new one unless told."""
    timeout_s: float
    """How long to wait for the answer, in seconds."""
    subject: str | None
    """Whom the package is about, as `type:id`; asked for where texts are sealed."""


class ReviewerClient:
    """Sends commands in the name of one reviewer of one tenant. Not for several threads.

    Each method sends one command and returns its one answer; CommandRefused is an answer and says
    what to mend. Each raises NoOutcome when no answer came in time: send it again with its
    `retry_with` as idempotency_key, for the same key never takes effect twice. Also DeadLettered,
    BrokerUnreachable, NotAllowed, and pydantic's ValidationError for what no record can hold; where
    texts are sealed also NotSealed and KeysUnavailable, and then nothing was sent.
    """

    def __init__(
        self,
        config: KafkaConfig,
        *,
        reviewer_id: str,
        tenant_id: str,
        key: SigningKey | None,
        sid: str | None = None,
        auth_time: datetime | None = None,
        amr: Sequence[str] = (),
        sealing: Sealing | None = None,
    ) -> None:
        """sid, auth_time, amr: the reviewer's session, when its login was and how (RFC 8176), where
        `key` is an identity gateway's. sealing: texts are sealed, such as by `load().sealing()`."""
        self._config = config
        self._reviewer_id = reviewer_id
        self._tenant_id = tenant_id
        self._identity = Identity(key, reviewer_id, sid, auth_time, tuple(amr)) if key else None
        self._sealing = sealing

    def decide(
        self,
        decision_package_id: str,
        decision: Decision,
        *,
        comment: str | None = None,
        action_digest: str | None = None,
        evidence_requested: Sequence[str] = (),
        defer_until: datetime | None = None,
        defer_condition: str | None = None,
        on_behalf_of: str | None = None,
        reviewer_rationale: str | None = None,
        **terms: Unpack[Terms],
    ) -> HumanDecisionEvent | CommandRefused:
        """One decision about the version that was seen, and what became of it."""
        command = HumanDecisionCommand(
            **self._head(decision_package_id, terms),
            decision=decision,
            comment=comment,
            action_digest=action_digest,
            defer_until=defer_until,
            defer_condition=defer_condition,
            evidence_requested=list(evidence_requested),
            on_behalf_of=on_behalf_of,
            reviewer_rationale=reviewer_rationale,
        )
        return self.send(command, **_sending(terms))

    def override(
        self,
        decision_package_id: str,
        *,
        recommended: str,
        instead: str,
        reason: str,
        evidence_refs: Sequence[str],
        tool_call: ToolCall | None = None,
        **terms: Unpack[Terms],
    ) -> HumanDecisionEvent | CommandRefused:
        """Another action than the one recommended; without a tool call nothing opens."""
        command = HumanOverrideCommand(
            **self._head(decision_package_id, terms),
            original_recommendation=recommended,
            override_decision=instead,
            override_reason=reason,
            evidence_refs=list(evidence_refs),
            override_tool_call=tool_call,
        )
        return self.send(command, **_sending(terms))

    def revoke(
        self,
        decision_package_id: str,
        *,
        reason: str,
        grant_id: str | None = None,
        **terms: Unpack[Terms],
    ) -> HumanDecisionEvent | CommandRefused:
        """Takes back a grant that nobody has taken; the current one unless named."""
        command = GrantRevocationCommand(
            **self._head(decision_package_id, terms), grant_id=grant_id, reason=reason
        )
        return self.send(command, **_sending(terms))

    def claim(
        self, decision_package_id: str, **terms: Unpack[Terms]
    ) -> ReviewTaskEvent | CommandRefused:
        """Takes the review task for a time, or renews the claim; `lease_until` says how long."""
        command = ReviewTaskCommand(**self._head(decision_package_id, terms), action="claim")
        return self.send(command, **_sending(terms))

    def release(
        self, decision_package_id: str, **terms: Unpack[Terms]
    ) -> ReviewTaskEvent | CommandRefused:
        """Gives the review task back to the queue."""
        command = ReviewTaskCommand(**self._head(decision_package_id, terms), action="release")
        return self.send(command, **_sending(terms))

    def assign(
        self, decision_package_id: str, assignee: str, **terms: Unpack[Terms]
    ) -> ReviewTaskEvent | CommandRefused:
        """Gives the review task to somebody, who must be one who could approve."""
        command = ReviewTaskCommand(
            **self._head(decision_package_id, terms), action="assign", assignee=assignee
        )
        return self.send(command, **_sending(terms))

    def comment(
        self,
        decision_package_id: str,
        comment: str,
        *,
        kind: CommentKind = "note",
        **terms: Unpack[Terms],
    ) -> ReviewTaskEvent | CommandRefused:
        """A comment; kind condition_met says that what a deferral waited for has come."""
        command = ReviewTaskCommand(
            **self._head(decision_package_id, terms), action="comment", comment=comment, kind=kind
        )
        return self.send(command, **_sending(terms))

    def present(
        self,
        decision_package_id: str,
        *,
        presented_digest: str | None = None,
        **terms: Unpack[Terms],
    ) -> ReviewTaskEvent | CommandRefused:
        """Records that the package was shown to the reviewer now; it is never made up for later."""
        command = ReviewTaskCommand(
            **self._head(decision_package_id, terms),
            action="present",
            presented_digest=presented_digest,
        )
        return self.send(command, **_sending(terms))

    def recuse(
        self, decision_package_id: str, *, comment: str | None = None, **terms: Unpack[Terms]
    ) -> ReviewTaskEvent | CommandRefused:
        """Steps aside, for every version of the package."""
        command = ReviewTaskCommand(
            **self._head(decision_package_id, terms), action="recuse", comment=comment
        )
        return self.send(command, **_sending(terms))

    def audit_verdict(
        self, decision_package_id: str, verdict: Verdict, *, comment: str, **terms: Unpack[Terms]
    ) -> HumanDecisionEvent | CommandRefused:
        """The verdict of a sampled audit."""
        command = AuditVerdictCommand(
            **self._head(decision_package_id, terms), verdict=verdict, comment=comment
        )
        return self.send(command, **_sending(terms))

    def grant_exception(
        self,
        decision_package_id: str,
        exception_id: str,
        *,
        policy_id: str,
        requested_exception: str,
        justification: str,
        kind: ExceptionKind | None = None,
        applies_to: str | None = None,
        expires_at: datetime | None = None,
        **terms: Unpack[Terms],
    ) -> HumanDecisionEvent | CommandRefused:
        """Excepts one package from a policy for a time; kind None: it is only put on record."""
        command = PolicyExceptionCommand(
            **self._head(decision_package_id, terms),
            action="grant",
            exception_id=exception_id,
            policy_id=policy_id,
            requested_exception=requested_exception,
            justification=justification,
            kind=kind,
            applies_to=applies_to,
            expires_at=expires_at,
        )
        return self.send(command, **_sending(terms))

    def revoke_exception(
        self,
        decision_package_id: str,
        exception_id: str,
        *,
        policy_id: str,
        justification: str,
        requested_exception: str = "",
        **terms: Unpack[Terms],
    ) -> HumanDecisionEvent | CommandRefused:
        """Takes an exception back, at the package at which it was granted."""
        command = PolicyExceptionCommand(
            **self._head(decision_package_id, terms),
            action="revoke",
            exception_id=exception_id,
            policy_id=policy_id,
            requested_exception=requested_exception,
            justification=justification,
        )
        return self.send(command, **_sending(terms))

    @overload
    def send(
        self,
        command: ReviewTaskCommand,
        *,
        timeout_s: float = ANSWER_WITHIN_S,
        subject: str | None = None,
    ) -> ReviewTaskEvent | CommandRefused: ...

    @overload
    def send(
        self,
        command: HumanDecisionCommand
        | HumanOverrideCommand
        | GrantRevocationCommand
        | AuditVerdictCommand
        | PolicyExceptionCommand,
        *,
        timeout_s: float = ANSWER_WITHIN_S,
        subject: str | None = None,
    ) -> HumanDecisionEvent | CommandRefused: ...

    def send(
        self,
        command: Command,
        *,
        timeout_s: float = ANSWER_WITHIN_S,
        subject: str | None = None,
    ) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused:
        """Any signed command, and its one answer. subject: see Terms."""
        if self._sealing is not None:
            command = self._sealing.command(command, subject)
        command_id = command.command_id
        recorded = ReviewTaskEvent if isinstance(command, ReviewTaskCommand) else HumanDecisionEvent

        def pick(answer: Answer) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused | None:
            record = answer.record
            if isinstance(record, (recorded, CommandRefused)):
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

    def _head(self, decision_package_id: str, terms: Terms) -> dict[str, Any]:
        """The fields that all commands share."""
        return {
            "command_id": f"cmd-{uuid4()}",
            "tenant_id": self._tenant_id,
            "decision_package_id": decision_package_id,
            "reviewer_id": self._reviewer_id,
            "expected_package_version": terms["version"],
            "idempotency_key": terms.get("idempotency_key") or f"key-{uuid4()}",
        }


class _HowSent(TypedDict):
    timeout_s: float
    subject: str | None


def _sending(terms: Terms) -> _HowSent:
    return {
        "timeout_s": terms.get("timeout_s", ANSWER_WITHIN_S),
        "subject": terms.get("subject"),
    }

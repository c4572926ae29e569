"""What all signed commands of reviewers share: their options, the sending, and the one answer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Concatenate, Final, ParamSpec, get_type_hints

import typer
from pydantic import ValidationError

from consumers.queue import UnknownControlPoint
from consumers.reading import partitions_of, read_topic
from countersign.deployment import Deployment, deployment
from countersign.failure import NO, NoOutcome
from countersign.options import (
    ANSWER_WITHIN_S,
    AnswerTimeout,
    KeyFile,
    SomeId,
    Tenant,
    examples,
    refused_options,
)
from countersign.output import JsonFlag, emit, note, say
from producers.agent import NoOutcome as NothingAnswered
from producers.keys import read_key
from producers.reviewer import ReviewerClient, Terms
from producers.sealed_records import subject_named
from schemas.canonical import record_json
from schemas.codec import Undecodable, decode
from schemas.events import CommandRefused, HumanDecisionEvent, ReviewTaskEvent
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.topics import RECORD_BYTES_MAX, partition_for, record_key

_CLOSING: Final = ("reject", "revise", "request_more_evidence", "object")
"""What closes whatever the quorum is."""
Answer = HumanDecisionEvent | ReviewTaskEvent | CommandRefused
P = ParamSpec("P")

_EXITS: Final = (
    "Exit 0 recorded, 1 refused, 4 no outcome in time: then send it again with the idempotency "
    "key it prints."
)
_NAMED_OTHERWISE: Final = {
    "decision_package_id": "ID",
    "reviewer_id": "--as",
    "tenant_id": "--tenant",
    "expected_package_version": "--version",
    "evidence_requested": "--evidence",
    "evidence_refs": "--evidence",
    "defer_until": "--until",
    "defer_condition": "--condition",
    "reviewer_rationale": "--rationale",
    "original_recommendation": "--recommended",
    "override_decision": "--instead",
    "override_reason": "--reason",
    "tool_name": "--tool",
    "args_json": "--args",
    "grant_id": "--grant",
    "assignee": "--to",
    "presented_digest": "--digest",
    "policy_id": "--policy",
    "requested_exception": "--exception",
    "expires_at": "--expires",
}


@dataclass(frozen=True, slots=True)
class _Shared:
    """The options of every signed command; a command's own stand between the two halves."""

    some_id: SomeId
    tenant: Tenant
    reviewer: Annotated[str, typer.Option("--as", metavar="R", help="The reviewer you are.")]
    version: Annotated[int, typer.Option(min=1, help="The package version you saw.")]
    key: KeyFile = None
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key never takes effect twice.")
    ] = None
    timeout: AnswerTimeout = ANSWER_WITHIN_S
    as_json: JsonFlag = False


class Sending:
    """What a command needs to send: who sends, about which package, on what terms.

    The package is looked up when it is first asked for, so that wrong usage asks no server.
    """

    def __init__(
        self, where: Deployment, client: ReviewerClient, some_id: str, terms: Terms, tenant: str
    ) -> None:
        self.client = client
        self._terms = terms
        self._where = where
        self._some_id = some_id
        self._tenant = tenant

    @functools.cached_property
    def state(self) -> ControlPointState | None:
        """The control point as it stands; None: nobody has asked for this package yet."""
        try:
            return self._where.queue().find(self._tenant, self._some_id)
        except UnknownControlPoint:
            return None

    @property
    def terms(self) -> Terms:
        """The terms; where texts are sealed with whom the package is about, once that is known."""
        if self._where.sealing is None or self.state is None or self.state.accepted is None:
            return self._terms
        return {**self._terms, "subject": subject_named(self.state.accepted.request.package)}

    @property
    def package_id(self) -> str:
        """The package that the id stands for."""
        return self.state.decision_package_id if self.state else self._some_id


def signed(
    app: typer.Typer, *lines: str, name: str | None = None
) -> Callable[[Callable[Concatenate[Sending, P], Answer]], Callable[..., None]]:
    """Makes a command of a function that sends with a Sending and returns the answer.

    The command gets the shared options beside the function's own; every way to fail is met here.
    lines: the examples of its help.
    """

    def register(send: Callable[Concatenate[Sending, P], Answer]) -> Callable[..., None]:
        shared = {field.name for field in fields(_Shared)}

        @functools.wraps(send)
        def command(**options: Any) -> None:
            own = {key: value for key, value in options.items() if key not in shared}
            common = _Shared(**{key: options[key] for key in shared})
            _run(common, lambda sending: send(sending, **own))  # type: ignore[call-arg]

        command.__signature__ = _signature(send)  # type: ignore[attr-defined]
        command.__doc__ = f"{inspect.cleandoc(send.__doc__ or '')}\n\n{_EXITS}"
        app.command(name, epilog=examples(*lines))(command)
        return command

    return register


def _signature(send: Callable[..., Answer]) -> inspect.Signature:
    """The parameters of a command: those that must be given, its own, those that may be."""
    hints = get_type_hints(_Shared, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(_Shared)
    ]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(send, eval_str=True).parameters.values())[1:]
    ]
    needed = [one for one in shared if one.default is inspect.Parameter.empty]
    return inspect.Signature([*needed, *own, *shared[len(needed) :]])


def _run(common: _Shared, send: Callable[[Sending], Answer]) -> None:
    """Sends, prints the answer, and ends with its exit code."""
    where = deployment()
    key = read_key(common.key) if common.key else None
    client = ReviewerClient(
        where.kafka,
        reviewer_id=common.reviewer,
        tenant_id=common.tenant,
        key=key,
        sealing=where.sealing,
    )
    terms = Terms(
        version=common.version,
        idempotency_key=common.idempotency_key,
        timeout_s=common.timeout,
    )
    sending = Sending(where, client, common.some_id, terms, common.tenant)
    try:
        answer = send(sending)
    except ValidationError as error:
        raise refused_options(error, _NAMED_OTHERWISE) from None
    except NothingAnswered as error:
        raise NoOutcome(
            f"no outcome within {common.timeout:g} s; nothing is known yet. Send it again with "
            f"--idempotency-key {error.retry_with}"
        ) from None
    if isinstance(answer, CommandRefused) and answer.code == "DUPLICATE_COMMAND":
        note(answer.message)
        answer = _first_answer(where, answer) or answer
    form = where.readable(record_json(answer), common.tenant)
    emit(form, as_json=common.as_json, text=lambda: say(_told(answer)))
    if isinstance(answer, CommandRefused):
        raise typer.Exit(NO)


def _first_answer(where: Deployment, duplicate: CommandRefused) -> Answer | None:
    """What the first command with this key was answered with."""
    key = record_key(duplicate.tenant_id, duplicate.decision_package_id)
    for name in ("human.decision_recorded", "review-task", "command-refused"):
        topic = where.named(name)
        partition = partition_for(key, partitions_of(where.config, topic))
        for read in read_topic(where.config, topic, partitions=[partition]):
            if read.key != key:
                continue
            try:
                record = decode(
                    read.value,
                    read.headers,
                    registry=where.kafka.registry,
                    bytes_max=RECORD_BYTES_MAX,
                )
            except Undecodable:
                continue
            if isinstance(record, HumanDecisionEvent | ReviewTaskEvent | CommandRefused) and (
                record.event_id == duplicate.first_event_id
            ):
                return record
    return None


def _told(answer: Answer) -> str:
    """The answer in one line for people."""
    match answer:
        case CommandRefused():
            return f"refused: {answer.code}: {answer.message}"
        case ReviewTaskEvent():
            held = f", held by {answer.assigned_to}" if answer.assigned_to else ""
            until = f" until {rfc3339(answer.lease_until)}" if answer.lease_until else ""
            return (
                f"{answer.decision_package_id}: {answer.change}{held}{until}, "
                f"event {answer.event_id}"
            )
        case HumanDecisionEvent():
            return (
                f"{answer.decision_package_id}: {answer.decision} recorded{_standing(answer)}, "
                f"event {answer.event_id}"
            )


def _standing(event: HumanDecisionEvent) -> str:
    """How far the package is; what decides nothing about it says nothing of that."""
    if event.decision in ("revoke", "audit_verdict", "grant_exception", "revoke_exception"):
        return ""
    if event.decision == "object" and not event.final:
        return ", the open gate is revoked"
    if event.decision in _CLOSING and event.final:
        return ", final"
    quorum = f"{event.quorum.have} of {event.quorum.need} approvals"
    if event.decision == "override" and not event.final:
        quorum += f"; to confirm: decide --decision approve --action-digest {event.action_digest}"
    return f", {'final' if event.final else 'not final yet'} ({quorum})"

"""`decide`: one signed decision, and its outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

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
    instant,
    plain,
    refused_options,
)
from countersign.output import JsonFlag, emit, note, say
from producers.agent import NoOutcome as NothingDecided
from producers.keys import read_key
from producers.reviewer import ReviewerClient
from schemas.canonical import record_json
from schemas.codec import Undecodable, decode
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.topics import RECORD_BYTES_MAX, partition_for, record_key
from schemas.vocabulary import Decision

app = plain()

Answer = HumanDecisionEvent | CommandRefused
_NAMED_OTHERWISE: Final = {
    "decision_package_id": "ID",
    "reviewer_id": "--as",
    "tenant_id": "--tenant",
    "expected_package_version": "--version",
    "evidence_requested": "--evidence",
    "defer_until": "--until",
    "reviewer_rationale": "--rationale",
}


@app.command(
    epilog=examples(
        "decide notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem \\",
        "    --decision approve --version 1 --comment 'evidence checked'",
        "decide notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem \\",
        "    --decision request_more_evidence --version 1 --evidence lab:2026-02-20",
    )
)
def decide(
    some_id: SomeId,
    tenant: Tenant,
    reviewer: Annotated[str, typer.Option("--as", metavar="R", help="The reviewer you are.")],
    decision: Annotated[Decision, typer.Option(help="What you decide.")],
    version: Annotated[int, typer.Option(min=1, help="The package version you saw.")],
    key: KeyFile = None,
    comment: Annotated[str | None, typer.Option(help="It is recorded.")] = None,
    rationale: Annotated[
        str | None, typer.Option(help="Your own reasons; asked for where people lead.")
    ] = None,
    evidence: Annotated[
        list[str] | None, typer.Option(metavar="REF", help="What is missing; several.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=instant, metavar="TIME", help="defer: until then, with its zone."),
    ] = None,
    on_behalf_of: Annotated[
        str | None, typer.Option(metavar="R", help="The person whose delegate you are.")
    ] = None,
    action_digest: Annotated[
        str | None, typer.Option(metavar="HEX", help="Digest of the action you saw.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key never takes effect twice.")
    ] = None,
    timeout: AnswerTimeout = ANSWER_WITHIN_S,
    as_json: JsonFlag = False,
) -> None:
    """Decide: send one signed decision about the version you saw, and wait for its outcome.

    Exit 0 recorded, 1 refused, 4 no outcome in time: then decide again with the idempotency key
    it prints.
    """
    where = deployment()
    package_id = _package_id(where, tenant, some_id)
    client = ReviewerClient(
        where.kafka, reviewer_id=reviewer, tenant_id=tenant, key=read_key(key) if key else None
    )
    try:
        answer: Answer = client.decide(
            package_id,
            decision,
            version=version,
            comment=comment,
            action_digest=action_digest,
            evidence_requested=evidence or [],
            defer_until=until,
            on_behalf_of=on_behalf_of,
            reviewer_rationale=rationale,
            idempotency_key=idempotency_key,
            timeout_s=timeout,
        )
    except ValidationError as error:
        raise refused_options(error, _NAMED_OTHERWISE) from None
    except NothingDecided as error:
        raise NoOutcome(
            f"no outcome within {timeout:g} s; nothing is known yet. Decide again with "
            f"--idempotency-key {error.retry_with}"
        ) from None
    if isinstance(answer, CommandRefused) and answer.code == "DUPLICATE_COMMAND":
        note(answer.message)
        answer = _first_answer(where, answer) or answer
    emit(record_json(answer), as_json=as_json, text=lambda: _say(answer))
    if isinstance(answer, CommandRefused):
        raise typer.Exit(NO)


def _package_id(where: Deployment, tenant: str, some_id: str) -> str:
    """The package that an id stands for; an unknown one is a package nobody has asked for yet."""
    try:
        return where.queue().find(tenant, some_id).decision_package_id
    except UnknownControlPoint:
        return some_id


def _first_answer(where: Deployment, duplicate: CommandRefused) -> Answer | None:
    """What the first command with this key was answered with."""
    key = record_key(duplicate.tenant_id, duplicate.decision_package_id)
    for name in ("human.decision_recorded", "command-refused"):
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
            if isinstance(record, HumanDecisionEvent | CommandRefused) and (
                record.event_id == duplicate.first_event_id
            ):
                return record
    return None


def _say(answer: Answer) -> None:
    if isinstance(answer, CommandRefused):
        say(f"refused: {answer.code}: {answer.message}")
        return
    quorum = f"{answer.quorum.have} of {answer.quorum.need} approvals"
    say(
        f"{answer.decision_package_id}: {answer.decision} recorded, "
        f"{'final' if answer.final else 'not final yet'} ({quorum}), event {answer.event_id}"
    )

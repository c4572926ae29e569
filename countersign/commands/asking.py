"""`request`, `wait`, `cancel`: the agent's side. Nothing here is ever a yes by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from consumers.audit.explain import ended_with
from consumers.queue import UnknownControlPoint
from core.timers import OBJECTION_WINDOW
from countersign.deployment import Deployment, deployment
from countersign.failure import NO, NoOutcome
from countersign.options import (
    ANSWER_WITHIN_S,
    AnswerTimeout,
    AnyTenant,
    KeyFile,
    SomeId,
    Tenant,
    examples,
    plain,
    refused_options,
    timeout_option,
)
from countersign.output import JsonFlag, emit, note, say
from countersign.structured_file import read_structured, validated
from producers.agent import AgentClient, Asked, Outcome
from producers.keys import read_key
from producers.sealed_records import subject_named
from schemas.canonical import record_json
from schemas.events import InterruptStatusChanged, ToolGateEvent
from schemas.headers import rfc3339
from schemas.requests import InterruptRequested

app = plain()

WAIT_S: Final = 3600.0
_LOOK_EVERY_S: Final = 1.0
WaitTimeout = Annotated[float, timeout_option("How long to wait for the decision.", "1h")]


@app.command(
    epilog=examples(
        "request request.json --key keys/agent.pem",
        "request request.json --key keys/agent.pem --wait --timeout 8h && ./send",
    )
)
def request(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="InterruptRequested as JSON.")],
    key: KeyFile = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the decision; exit 0 only if approved.")
    ] = False,
    timeout: Annotated[
        float | None,
        timeout_option(
            "How long to wait: for the answer, or with --wait for the decision.",
            "30s, with --wait 1h",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask: publish a request and wait until it is open, or with --wait until it is decided."""
    asked_for = validated(read_structured(file), InterruptRequested, wire=True)
    where = deployment()
    client = AgentClient(
        where.kafka,
        agent_id=asked_for.package.proposed_by,
        tenant_id=asked_for.tenant_id,
        key=read_key(key) if key else None,
        sealing=where.sealing,
    )
    began = monotonic()
    answer_s = ANSWER_WITHIN_S if timeout is None else timeout
    asked = client.submit(asked_for, timeout_s=min(answer_s, ANSWER_WITHIN_S) if wait else answer_s)
    if not wait:
        emit(_asked(asked), as_json=as_json, text=lambda: _say_asked(asked))
        return
    note(f"{asked.decision_package_id} is open; waiting for the decision")
    left = (WAIT_S if timeout is None else timeout) - (monotonic() - began)
    _tell(where, client.wait(asked, timeout_s=max(left, 0.1)), as_json)


@app.command(
    epilog=examples("wait notice-1", "wait notice-1-v1 --tenant acme --timeout 15m --json")
)
def wait(
    some_id: SomeId,
    tenant: AnyTenant = None,
    timeout: WaitTimeout = WAIT_S,
    as_json: JsonFlag = False,
) -> None:
    """Wait for the outcome of a request; exit 0 approved, 1 anything else, 4 none in time."""
    where = deployment()
    deadline = monotonic() + timeout
    found = _awaited(where, tenant, some_id, deadline)
    # The agent's identity signs what is published; a waiting client publishes nothing.
    client = AgentClient(where.kafka, agent_id="-", tenant_id=found.tenant_id, key=None)
    asked = Asked(found.interrupt_id, found.decision_package_id, None)
    _tell(where, client.wait(asked, timeout_s=max(deadline - monotonic(), 0.1)), as_json)


@app.command(
    epilog=examples("cancel notice-1 --tenant acme --key keys/agent.pem --reason 'plan filed'")
)
def cancel(
    some_id: SomeId,
    tenant: Tenant,
    key: KeyFile = None,
    agent: Annotated[
        str | None, typer.Option("--as", metavar="A", help="The agent; by default who asked.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "withdrawn by the agent",
    timeout: AnswerTimeout = ANSWER_WITHIN_S,
    as_json: JsonFlag = False,
) -> None:
    """Take a request back. An approval that nobody has used yet is revoked."""
    where = deployment()
    found = _interrupt(where, tenant, some_id)
    client = AgentClient(
        where.kafka,
        agent_id=agent or found.first_signer,
        tenant_id=found.tenant_id,
        key=read_key(key) if key else None,
        sealing=where.sealing,
    )
    asked = Asked(found.interrupt_id, found.decision_package_id, None)
    try:
        answer = client.cancel(asked, reason=reason, subject=found.subject, timeout_s=timeout)
    except ValidationError as error:
        raise refused_options(error, {"requested_by": "--as"}) from None
    emit(record_json(answer), as_json=as_json, text=lambda: _say_cancelled(answer))


@dataclass(frozen=True, slots=True)
class _Interrupt:
    tenant_id: str
    decision_package_id: str
    interrupt_id: str
    first_signer: str
    subject: str


def _interrupt(where: Deployment, tenant: str | None, some_id: str) -> _Interrupt:
    """The interrupt an id stands for: itself, or the current one of its package."""
    state = where.queue().find(tenant, some_id)
    if state.accepted is None:
        raise UnknownControlPoint(f"{some_id}: nobody has asked for this package yet")
    known = any(seen.interrupt_id == some_id for seen in state.interrupts)
    current = state.accepted.request.interrupt_id
    return _Interrupt(
        state.tenant_id,
        state.decision_package_id,
        some_id if known else current,
        state.accepted.lineage.first_signer,
        subject_named(state.accepted.request.package),
    )


def _awaited(where: Deployment, tenant: str | None, some_id: str, deadline: float) -> _Interrupt:
    """The same, once the request is there; the worker may not have come to it yet."""
    while True:
        try:
            return _interrupt(where, tenant, some_id)
        except UnknownControlPoint as unknown:
            if monotonic() + _LOOK_EVERY_S >= deadline:
                raise NoOutcome(
                    f"{unknown}; no outcome in time, wait again for {some_id}"
                ) from None
            sleep(_LOOK_EVERY_S)


def _asked(asked: Asked) -> dict[str, Any]:
    return {
        "interrupt_id": asked.interrupt_id,
        "decision_package_id": asked.decision_package_id,
        "opened": record_json(asked.opened) if asked.opened else None,
        "asked_before": asked.opened is None,
    }


def _say_asked(asked: Asked) -> None:
    if asked.opened is None:
        say(f"{asked.decision_package_id}: asked before; nothing has changed")
        return
    due = asked.opened.decide_by
    if due is not None and asked.opened.decide_by_source == OBJECTION_WINDOW:
        say(f"{asked.decision_package_id}: open, goes ahead at {rfc3339(due)} unless objected to")
        return
    # It may be decided already, where policy alone decides; this event does not say whether.
    say(f"{asked.decision_package_id}: open; wait for its outcome with: "
        f"countersign wait {asked.decision_package_id} --tenant {asked.opened.tenant_id}")  # fmt: skip


def _say_cancelled(answer: InterruptStatusChanged | ToolGateEvent) -> None:
    if isinstance(answer, ToolGateEvent):
        say(f"{answer.decision_package_id}: was decided; its grant is revoked")
    else:
        say(f"{answer.decision_package_id}: {answer.status}")


def _tell(where: Deployment, outcome: Outcome, as_json: bool) -> None:
    """Prints an outcome; anything but an approval is exit 1."""
    event = where.readable(record_json(outcome.event), outcome.event.tenant_id)
    emit(
        event | {"approved": outcome.approved},
        as_json=as_json,
        text=lambda: say(
            f"{outcome.decision_package_id}: {ended_with(outcome.status, outcome.outcome)}: "
            f"{event['reason']}"
        ),
    )
    if not outcome.approved:
        raise typer.Exit(NO)

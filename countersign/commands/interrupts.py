"""`interrupts list|show` and `explain`: the queue, one control point, and why it stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from consumers.audit.explain import Explanation, explained
from consumers.queue_projection import NotProjected, QueueProjection, RedisQueue
from consumers.queue_rows import KINDS, UNHELD, Kind, Row, Wanted
from core.quorum import current_slots
from countersign.deployment import Deployment, deployment
from countersign.failure import UsageWrong
from countersign.options import AnyTenant, SomeId, examples, group, instant, plain
from countersign.output import JsonFlag, emit, note, outline, say, table
from countersign.task_position import TaskPosition, task_position
from schemas.canonical import record_json
from schemas.headers import rfc3339
from schemas.state import ControlPointState, Refusal
from schemas.vocabulary import RISK_LEVELS, RiskLevel

app = group("The queue of open requests, and single control points.")
top = plain()


LIMIT: Final = 50
_LIMIT_MAX: Final = 10_000


@app.command(
    "list",
    epilog=examples(
        "interrupts list",
        "interrupts list --role senior_reviewer --assignee none --risk high",
        "interrupts list --due-before 2027-01-01T12:00:00Z --tenant acme --json",
        "interrupts list --kind in_doubt",
    ),
)
def list_(
    role: Annotated[
        str | None,
        typer.Option("--role", metavar="ROLE", help="What somebody of this role may decide."),
    ] = None,
    assignee: Annotated[
        str | None,
        typer.Option("--assignee", metavar="R", help="What this reviewer holds; none: nobody."),
    ] = None,
    risk: Annotated[
        str | None, typer.Option("--risk", metavar="RISK", help=f"One of {', '.join(RISK_LEVELS)}.")
    ] = None,
    due_before: Annotated[
        datetime | None,
        typer.Option(
            "--due-before", parser=instant, metavar="TIME", help="What is due before then."
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="T", help="Only what this tenant has.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="KIND", help=f"One of {', '.join(KINDS)}; review unless told."
        ),
    ] = None,
    deferred: Annotated[
        bool, typer.Option("--deferred", help="What is deferred; the same as --kind deferred.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_LIMIT_MAX, metavar="N", help="At most so many.")
    ] = LIMIT,
    as_json: JsonFlag = False,
) -> None:
    """List tasks: highest priority first, then risk, then what is due first."""
    wanted = Wanted(
        kind=_kind(kind, deferred=deferred),
        tenant_id=tenant,
        role=role,
        assignee=UNHELD if assignee == "none" else assignee,
        risk_level=_risk(risk),
        due_before=due_before,
    )
    rows = _top(deployment(), wanted, limit)
    emit(
        [row.form() for row in rows],
        as_json=as_json,
        text=lambda: _list(rows, everything=wanted == Wanted()),
    )
    if len(rows) == limit and not as_json:
        note(f"the first {limit}; more with --limit")


@app.command(epilog=examples("interrupts show notice-1 --tenant acme"))
def show(some_id: SomeId, tenant: AnyTenant = None, as_json: JsonFlag = False) -> None:
    """Show one control point: the package as the agent says it, and what the system knows."""
    state = deployment().queue().find(tenant, some_id)
    emit(_whole(state), as_json=as_json, text=lambda: _show(state))


@top.command(epilog=examples("explain notice-1 --tenant acme", "explain notice-1 --json"))
def explain(some_id: SomeId, tenant: AnyTenant = None, as_json: JsonFlag = False) -> None:
    """Say why a control point stands where it stands: what it waits for, and who may act."""
    where = deployment()
    state = where.queue().find(tenant, some_id)
    people = where.directories().latest().tenant(state.tenant_id)
    explanation = explained(state, people, datetime.now(UTC))
    position = _position(where, state)
    data = explanation.form() | {"task": position.form()}
    emit(data, as_json=as_json, text=lambda: _explain(explanation, position))


def _top(where: Deployment, wanted: Wanted, limit: int) -> list[Row]:
    """From Redis; where it cannot tell, from the log, which takes longer."""
    settings = where.settings
    source = RedisQueue(settings.redis_url.get_secret_value(), prefix=settings.topic_prefix)
    try:
        return QueueProjection(source, settings.partitions).top(wanted, limit)
    except NotProjected as why:
        rows = where.queue().top(wanted, limit)
        note(f"{why}; read from the log instead")
        return rows
    finally:
        source.close()


def _kind(text: str | None, *, deferred: bool) -> Kind:
    chosen = text or ("deferred" if deferred else "review")
    for kind in KINDS:
        if kind == chosen:
            if deferred and kind != "deferred":
                raise UsageWrong(f"--deferred and --kind {kind}: take one of them")
            return kind
    raise UsageWrong(f"--kind: no such kind: {chosen}; one of {', '.join(KINDS)}")


def _risk(text: str | None) -> RiskLevel | None:
    for risk in RISK_LEVELS:
        if risk == text:
            return risk
    if text is None:
        return None
    raise UsageWrong(f"--risk: no such risk level: {text}; one of {', '.join(RISK_LEVELS)}")


def _position(where: Deployment, state: ControlPointState) -> TaskPosition:
    return task_position(where.config, where.named, state.tenant_id, state.decision_package_id)


def _head(state: ControlPointState) -> dict[str, Any]:
    accepted = state.accepted
    request = accepted.request if accepted else None
    return {
        "tenant_id": state.tenant_id,
        "decision_package_id": state.decision_package_id,
        "interrupt_id": request.interrupt_id if request else None,
        "package_version": request.package.version if request else None,
        "title": request.package.title if request else None,
        "status": state.status,
        "outcome": state.outcome,
        "gate": state.gate,
        "risk_level": accepted.plan.effective_risk if accepted else None,
        "mode": accepted.plan.mode if accepted else None,
        "priority": accepted.plan.priority if accepted else None,
        "authority_transition": accepted.plan.authority_transition if accepted else None,
        "required_role": state.required_role,
        "decide_by": _time(state.decide_by),
        "created_at": _time(state.created_at),
    }


def _whole(state: ControlPointState) -> dict[str, Any]:
    accepted = state.accepted
    return _head(state) | {
        "decide_by_source": state.decide_by_source,
        "slots": [record_json(slot) for slot in current_slots(state)] if accepted else [],
        "assigned_to": state.assigned_to,
        "lease_until": _time(state.lease_until),
        "deferred_until": _time(state.deferred_until),
        "defer_condition": state.defer_condition,
        "presented": [record_json(shown) for shown in state.presented],
        "recused": state.recused,
        "comments": [record_json(comment) for comment in state.comments],
        "exceptions": [record_json(exception) for exception in state.exceptions],
        "audit": record_json(state.audit) if state.audit else None,
        "request": record_json(accepted.request) if accepted else None,
        "package_digest": accepted.package_digest if accepted else None,
        "action_digest": accepted.action_digest if accepted else None,
        "plan": record_json(accepted.plan) if accepted else None,
        "lineage": record_json(accepted.lineage) if accepted else None,
        "approvals": [record_json(approval) for approval in state.approvals],
        "grant": record_json(state.grant) if state.grant else None,
        "refusals": [record_json(refusal) for refusal in state.refusals],
        "waiting_commands": [parked.command_id for parked in state.parked],
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def _list(rows: list[Row], *, everything: bool) -> None:
    if not rows:
        say("nothing is open" if everything else "there is nothing of the kind")
        return
    columns = {
        "tenant": "tenant_id",
        "package": "decision_package_id",
        "version": "package_version",
        "risk": "risk_level",
        "waits for": "required_role",
        "held by": "assigned_to",
        "decide by": "decide_by",
        "title": "title",
    }
    forms = [row.form() for row in rows]
    table(columns, ([form[field] for field in columns.values()] for form in forms))


def _show(state: ControlPointState) -> None:
    whole = _whole(state)
    say(f"{state.tenant_id}/{state.decision_package_id}: {state.status}, gate {state.gate}")
    say("the system knows")
    for name in ("outcome", "package_version", "risk_level", "priority", "mode",
                 "authority_transition", "required_role", "decide_by", "decide_by_source",
                 "deferred_until", "defer_condition", "assigned_to", "lease_until",
                 "package_digest", "action_digest"):  # fmt: skip
        if whole[name] is not None:
            say(f"  {name}: {whole[name]}")
    for slot in whole["slots"]:
        team = ", of a team of its own" if slot["distinct_team"] else ""
        say(f"  asks for {slot['role']} with {slot['scope']}{team}")
    _show_review(state)
    for refusal in state.refusals:
        say(f"  {_refusal(refusal)}")
    if state.comments:
        say("reviewers say")
    for comment in state.comments:
        about = f"{comment.kind} on version {comment.version}"
        say(f"  {comment.by} at {rfc3339(comment.occurred_at)}, {about}: {comment.text}")
    if state.accepted is not None:
        say("the agent says")
        _agent_says(whole["request"])


def _show_review(state: ControlPointState) -> None:
    """What people have done so far."""
    for shown in state.presented:
        say(f"  shown to {shown.reviewer_id} at {rfc3339(shown.presented_at)}")
    for reviewer_id in state.recused:
        say(f"  stepped aside: {reviewer_id}")
    for approval in state.approvals:
        say(f"  approved by {approval.reviewer_id}, event {approval.event_id}")
    for exception in state.exceptions:
        terms = exception.terms
        until = "ended" if exception.ended else f"until {rfc3339(terms.expires_at)}"
        say(f"  exception {terms.exception_id} of {terms.policy_id}, {until}, "
            f"granted by {exception.approver_id}")  # fmt: skip
    if state.audit is not None:
        end = "its verdict is given" if state.audit.closed else "it waits for a verdict"
        say(f"  audited since {rfc3339(state.audit.opened_at)}: {end}")


def _agent_says(request: Mapping[str, Any]) -> None:
    """The request as the agent words it: set in, inert, and never mixed with what we know."""
    outside = {name: value for name, value in request.items() if name != "package"}
    for line in outline({**outside, **request["package"]}):
        print(f"  {line}")


def _explain(explanation: Explanation, position: TaskPosition) -> None:
    state, waiting = explanation.state, explanation.waiting
    say(f"{state.tenant_id}/{state.decision_package_id}: {state.status}, gate {state.gate}")
    say(f"because {explanation.because}")
    if waiting is not None:
        say(f"waits for {waiting.what}")
        for slot in waiting.slots:
            team = ", of a team of its own" if slot["distinct_team"] else ""
            say(f"  {slot['role']} with {slot['scope']}{team}")
        _people(explanation)
    for number, (timer, then) in enumerate(explanation.clocks):
        head = "later" if number else "next clock"
        say(f"{head}: {timer.name} at {rfc3339(timer.due)}; then {then}")
    for refusal in state.refusals:
        say(_refusal(refusal))
    _lag(position, say)


def _refusal(refusal: Refusal) -> str:
    who = f" of {refusal.reviewer_id}" if refusal.reviewer_id else ""
    return f"refused: {refusal.command_id}{who}: {refusal.code}"


def _people(explanation: Explanation) -> None:
    may = [person.reviewer_id for person in explanation.people if not person.codes]
    act = explanation.waiting.act.replace("_", " ") if explanation.waiting else "act"
    if explanation.holder is not None:
        say(f"held by {explanation.holder}")
    for shown in explanation.state.presented:
        say(f"shown to {shown.reviewer_id} at {rfc3339(shown.presented_at)}")
    say(f"may {act}: {', '.join(may) or 'nobody in the directory'}")
    for person in explanation.people:
        if person.codes:
            say(f"  {person.reviewer_id} may not: {'; '.join(person.reasons)}")


def _lag(position: TaskPosition, line: Callable[[str], None]) -> None:
    owner = position.owner or "nobody: no worker has it; start one: countersign worker"
    line(f"task {position.partition}, owned by {owner}")
    for topic, lag in position.lag.items():
        line(f"  {topic}: {'not read yet' if lag is None else f'{lag} records behind'}")

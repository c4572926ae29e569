"""`interrupts list|show` and `explain`: the queue, one control point, and why it stands there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from consumers.audit.blinding import blinded, is_blind
from consumers.audit.excepted import excepted_at
from consumers.audit.explain import Explanation, explained
from consumers.queue_projection import NotProjected, QueueProjection, RedisQueue
from consumers.queue_rows import KINDS, UNHELD, Kind, Row, Wanted
from countersign.deployment import Deployment, deployment
from countersign.failure import UsageWrong
from countersign.offers import offers
from countersign.options import AnyTenant, SomeId, examples, group, instant, plain
from countersign.output import JsonFlag, emit, note, say, table
from countersign.showing import Shown, headed, page, refused, whole
from countersign.task_position import TaskPosition, task_position
from producers.sealed_records import readable_record
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import RISK_LEVELS, RiskLevel

app = group("The queue of open requests, and single control points.")
top = plain()


LIMIT: Final = 50
Unblind = Annotated[
    bool,
    typer.Option(
        "--unblind", help="Show what was decided although an audit waits for its verdict."
    ),
]
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
    where = deployment()
    rows = [where.readable(row.form(), row.tenant_id) for row in _top(where, wanted, limit)]
    emit(rows, as_json=as_json, text=lambda: _list(rows, everything=wanted == Wanted()))
    if len(rows) == limit and not as_json:
        note(f"the first {limit}; more with --limit")


@app.command(epilog=examples("interrupts show notice-1 --tenant acme"))
def show(
    some_id: SomeId, tenant: AnyTenant = None, unblind: Unblind = False, as_json: JsonFlag = False
) -> None:
    """Show one control point: what the system knows, what the agent and reviewers say, and what may
    be decided now, by whom. While an audit waits for its verdict, nothing of the decision."""
    where = deployment()
    state = where.queue().find(tenant, some_id)
    people = where.directories().latest().tenant(state.tenant_id)
    now = datetime.now(UTC)
    offered, excepted = offers(state, people, now), excepted_at(state, people, now)
    told = readable_record(state, state.tenant_id, where.sealing)
    blind = is_blind(state) and not unblind
    if blind:
        told = blinded(told, people)
        # Whatever else could be done tells of the gate.
        offered = [offer for offer in offered if offer.act == "audit_verdict"]
    shown = Shown(told, offered, excepted, blind)
    emit(whole(shown), as_json=as_json, text=lambda: page(shown))


@top.command(epilog=examples("explain notice-1 --tenant acme", "explain notice-1 --json"))
def explain(
    some_id: SomeId, tenant: AnyTenant = None, unblind: Unblind = False, as_json: JsonFlag = False
) -> None:
    """Say why a control point stands where it stands: what it waits for, and who may act. While an
    audit waits for its verdict, nothing of the decision."""
    where = deployment()
    state = where.queue().find(tenant, some_id)
    people = where.directories().latest().tenant(state.tenant_id)
    told = readable_record(state, state.tenant_id, where.sealing)
    explanation = explained(told, people, datetime.now(UTC), unblind=unblind)
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


def _list(rows: list[dict[str, Any]], *, everything: bool) -> None:
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
    table(columns, ([row[field] for field in columns.values()] for row in rows))


def _explain(explanation: Explanation, position: TaskPosition) -> None:
    state, waiting = explanation.state, explanation.waiting
    headed(state, blind=explanation.blind)
    if not explanation.blind:
        say(f"because {explanation.because}")
    for one in explanation.excepted:
        say(one.line())
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
        say(refused(refusal))
    _lag(position, say)


def _people(explanation: Explanation) -> None:
    may = [person.reviewer_id for person in explanation.people if not person.codes]
    assert explanation.waiting is not None
    confirmed = explanation.waiting.kind == "confirmation"
    act = "confirm it" if confirmed else explanation.waiting.act.replace("_", " ")
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

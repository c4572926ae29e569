"""`interrupts list|show` and `explain`: the queue, one control point, and why it stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from consumers.audit.explain import Explanation, explained
from countersign.deployment import Deployment, deployment
from countersign.options import AnyTenant, SomeId, examples, group, plain
from countersign.output import JsonFlag, emit, outline, say, table
from countersign.task_position import TaskPosition, task_position
from schemas.canonical import record_json
from schemas.headers import rfc3339
from schemas.state import ControlPointState, Refusal

app = group("The queue of open requests, and single control points.")
top = plain()


@app.command("list", epilog=examples("interrupts list", "interrupts list --tenant acme --json"))
def list_(tenant: AnyTenant = None, as_json: JsonFlag = False) -> None:
    """List what is open: highest risk first, then what is due first."""
    states = deployment().queue().open(tenant_id=tenant)
    emit([_row(state) for state in states], as_json=as_json, text=lambda: _list(states))


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


def _position(where: Deployment, state: ControlPointState) -> TaskPosition:
    return task_position(where.config, where.named, state.tenant_id, state.decision_package_id)


def _row(state: ControlPointState) -> dict[str, Any]:
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
        "required_role": state.required_role,
        "decide_by": rfc3339(state.decide_by) if state.decide_by else None,
        "created_at": rfc3339(state.created_at) if state.created_at else None,
    }


def _whole(state: ControlPointState) -> dict[str, Any]:
    accepted = state.accepted
    return _row(state) | {
        "decide_by_source": state.decide_by_source,
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


def _list(states: list[ControlPointState]) -> None:
    if not states:
        say("nothing is open")
        return
    rows = [_row(state) for state in states]
    columns = {
        "tenant": "tenant_id",
        "package": "decision_package_id",
        "version": "package_version",
        "risk": "risk_level",
        "waits for": "required_role",
        "decide by": "decide_by",
        "title": "title",
    }
    table(columns, ([row[field] for field in columns.values()] for row in rows))


def _show(state: ControlPointState) -> None:
    whole = _whole(state)
    say(f"{state.tenant_id}/{state.decision_package_id}: {state.status}, gate {state.gate}")
    say("the system knows")
    for name in ("outcome", "package_version", "risk_level", "mode", "required_role", "decide_by",
                 "decide_by_source", "package_digest", "action_digest"):  # fmt: skip
        if whole[name] is not None:
            say(f"  {name}: {whole[name]}")
    for approval in state.approvals:
        say(f"  approved by {approval.reviewer_id}, event {approval.event_id}")
    for refusal in state.refusals:
        say(f"  {_refusal(refusal)}")
    if state.accepted is not None:
        say("the agent says")
        _agent_says(whole["request"])


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
        say(f"waits for {waiting.need - waiting.have} of {waiting.need} approvals:")
        for slot in waiting.slots:
            team = ", of a team of its own" if slot["distinct_team"] else ""
            say(f"  {slot['role']} with {slot['scope']}{team}")
        _people(explanation)
    if explanation.timer is not None:
        timer = explanation.timer
        say(f"next clock: {timer.name} at {rfc3339(timer.due)}; then {explanation.at_timer}")
    for refusal in state.refusals:
        say(_refusal(refusal))
    _lag(position, say)


def _refusal(refusal: Refusal) -> str:
    who = f" of {refusal.reviewer_id}" if refusal.reviewer_id else ""
    return f"refused: {refusal.command_id}{who}: {refusal.code}"


def _people(explanation: Explanation) -> None:
    may = [person.reviewer_id for person in explanation.people if not person.codes]
    say(f"may approve: {', '.join(may) or 'nobody in the directory'}")
    for person in explanation.people:
        if person.codes:
            say(f"  {person.reviewer_id} may not: {'; '.join(person.reasons)}")


def _lag(position: TaskPosition, line: Callable[[str], None]) -> None:
    owner = position.owner or "nobody: no worker has it; start one: countersign worker"
    line(f"task {position.partition}, owned by {owner}")
    for topic, lag in position.lag.items():
        line(f"  {topic}: {'not read yet' if lag is None else f'{lag} records behind'}")

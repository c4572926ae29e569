"""Intake of `interrupt-requested`: the order of the checks, and what an accepted request opens.

1. signature and tenant (core.decide), 2. duplicate, 3. version, 4. package quality.
"""

from __future__ import annotations

from core.authority import Failure
from core.context import Context, Event
from core.escalation import decide_by, until_eligible
from core.evolve import evolve
from core.facts import status_changed, task_changed
from core.gates import approved
from core.identifiers import derived_id
from core.limits import LINEAGE_NAMES_MAX, VERSIONS_PER_PACKAGE_MAX
from core.lineage import is_first_signer, lineage_of
from core.planning import (
    effective_risk,
    matching_rule,
    plan_for,
    tool_row,
    uncertainties_bound,
)
from core.policy import Policy
from core.refusals import refused
from core.transitions import Cell
from schemas.canonical import action_digest, is_canonical, record_digest
from schemas.requests import InterruptRequested
from schemas.state import ControlPointState, Lineage, PackageAccepted, Plan


def request_received(
    state: ControlPointState | None, request: InterruptRequested, context: Context, cell: Cell
) -> list[Event]:
    """The events of a request whose sender is authenticated. `cell`: open, supersede or reopen."""
    digest = record_digest(request)
    known = _known_interrupt(state, request, digest)
    if known is not None:
        failure, first = known
        return [refused(state, request, context, [failure], first_event_id=first)]
    policy = context.tenant.policy
    stop = _version_failure(state, request, context, cell) or _no_policy(policy, request)
    if stop is not None:
        return [refused(state, request, context, [stop])]
    assert policy is not None
    failures = _canonical_failures(request) or _quality_failures(policy, request)
    if failures:
        return [refused(state, request, context, failures)]
    plan = plan_for(policy, request, signed=context.signer is not None)
    if plan.mode == "on_the_loop":
        message = (
            f"rule {plan.rule!r} asks for on_the_loop, which this release does not run; "
            "use in_the_loop in the policy"
        )
        return [refused(state, request, context, [Failure("NO_POLICY", message)])]
    lineage = lineage_of(_lineage_before(state), request, context)
    if lineage is None:
        message = f"more than {LINEAGE_NAMES_MAX} names stand behind the package; start a new one"
        return [refused(state, request, context, [Failure("PACKAGE_FULL", message)])]
    accepted = _accepted(request, context, plan, lineage, digest)
    return _open(state, accepted, context)


def _lineage_before(state: ControlPointState | None) -> Lineage | None:
    return state.accepted.lineage if state is not None and state.accepted else None


def _accepted(
    request: InterruptRequested, context: Context, plan: Plan, lineage: Lineage, digest: str
) -> PackageAccepted:
    call = request.package.tool_call
    return PackageAccepted(
        event_id=derived_id(context.origin, "accepted"),
        request=request,
        request_digest=digest,
        package_digest=record_digest(request.package),
        action_digest=action_digest(call.tool_name, call.effect_type, call.args_json)
        if call
        else None,
        plan=plan,
        lineage=lineage,
        opened_event_id=derived_id(context.origin, "status:pending"),
        occurred_at=context.now,
    )


def _open(
    state: ControlPointState | None, accepted: PackageAccepted, context: Context
) -> list[Event]:
    """The old version's interrupt ends if it is open; the new one opens, or policy decides it."""
    request, plan = accepted.request, accepted.plan
    events: list[Event] = []
    if state is not None and state.status in ("pending", "escalated"):
        events += _superseded(state, context)
    current = evolve(state, accepted)
    assert current is not None
    due, source = decide_by(request, context.window_start, plan.decide_within_s)
    opened = status_changed(
        current,
        origin=context.origin,
        status="pending",
        reason=request.reason,
        now=context.now,
        decide_by=due,
        decide_by_source=source,
    )
    created = task_changed(
        current, origin=context.origin, change="created", status="open", now=context.now, due_at=due
    )
    events += [accepted, opened, created]
    for event in (opened, created):
        current = evolve(current, event)
        assert current is not None
    if plan.mode == "out_of_the_loop" and context.now <= due:
        return events + approved(
            current,
            origin=context.origin,
            reason="policy",
            now=context.now,
            start=context.window_start,
            decision_event_ids=[],
        )
    return events + until_eligible(current, context, origin=context.origin)


def _superseded(state: ControlPointState, context: Context) -> list[Event]:
    origin = f"{context.origin}/superseded"
    reason = "superseded by a newer version of the package"
    return [
        status_changed(
            state,
            origin=origin,
            status="cancelled",
            outcome="superseded",
            reason=reason,
            now=context.now,
        ),
        task_changed(
            state, origin=origin, change="closed", status="closed", now=context.now, comment=reason
        ),
    ]


def _known_interrupt(
    state: ControlPointState | None, request: InterruptRequested, digest: str
) -> tuple[Failure, str] | None:
    for seen in state.interrupts if state else []:
        if seen.interrupt_id != request.interrupt_id:
            continue
        if seen.request_digest == digest:
            message = f"this request was answered by event {seen.event_id}; nothing has changed"
            return Failure("DUPLICATE_COMMAND", message), seen.event_id
        message = "this interrupt id stands for another request; take a new interrupt id"
        return Failure("INTERRUPT_CONFLICT", message), seen.event_id
    return None


def _version_failure(
    state: ControlPointState | None, request: InterruptRequested, context: Context, cell: Cell
) -> Failure | None:
    version = request.package.version
    current = state.accepted.request.package.version if state and state.accepted else 0
    if version != current + 1:
        message = f"the package stands at version {current}; send version {current + 1}"
        return Failure("PACKAGE_VERSION_OUT_OF_ORDER", message)
    if state is None or state.accepted is None:
        return None
    if not is_first_signer(state.accepted.lineage, request.package.proposed_by, context):
        message = "only the signer of version 1 may send a new version; start a package of your own"
        return Failure("NOT_REQUESTER", message)
    if cell == "reopen" and state.outcome not in ("revise", "request_more_evidence"):
        message = f"the package is closed with {state.outcome}; send a new package that reopens it"
        return Failure("NOT_REOPENABLE", message)
    if version > VERSIONS_PER_PACKAGE_MAX:
        message = f"a package has at most {VERSIONS_PER_PACKAGE_MAX} versions; start a new package"
        return Failure("PACKAGE_FULL", message)
    return None


def _no_policy(policy: Policy | None, request: InterruptRequested) -> Failure | None:
    if policy is not None:
        return None
    message = f"tenant {request.tenant_id} has no policy; publish one with `policy apply`"
    return Failure("NO_POLICY", message)


def _canonical_failures(request: InterruptRequested) -> list[Failure]:
    call = request.package.tool_call
    texts = {"side_effect_preview": request.package.side_effect_preview}
    if call is not None:
        texts["tool_call.args_json"] = call.args_json
    return [
        Failure("ARGS_NOT_CANONICAL", f"{name} is not RFC 8785 canonical JSON; canonicalise it")
        for name, text in texts.items()
        if not is_canonical(text)
    ]


def _quality_failures(policy: Policy, request: InterruptRequested) -> list[Failure]:
    package, call = request.package, request.package.tool_call
    if call is None and package.memory is None and request.authority_transition is None:
        message = (
            "the package has neither an effect nor an authority transition; no human is needed"
        )
        return [Failure("NOT_A_CONTROL_POINT", message)]
    row = tool_row(policy, call.tool_name) if call else None
    if call is not None and row is not None and row.effect_type != call.effect_type:
        message = (
            f"tool {call.tool_name} has the effect {row.effect_type}, not {call.effect_type}; "
            "declare the effect of the policy's table"
        )
        return [Failure("EFFECT_MISMATCH", message)]
    missing = _missing_fields(request)
    rule = matching_rule(policy, request, effective_risk(policy, request))
    bound = uncertainties_bound(policy, rule)
    if package.confidence < bound and not _filled(package.known_uncertainties):
        missing.append(f"known_uncertainties (confidence is under {bound})")
    if not missing:
        return []
    return [Failure("PACKAGE_INCOMPLETE", f"the package lacks {', '.join(missing)}; add it")]


def _missing_fields(request: InterruptRequested) -> list[str]:
    package = request.package
    wanted = {
        "title": bool(package.title.strip()),
        "proposed_action": bool(package.proposed_action.strip()),
        "rationale": bool(package.rationale.strip()),
        "evidence_refs": _filled(package.evidence_refs),
        "policy_basis": _filled(package.policy_basis),
        "run_id (the request's own)": package.run_id == request.run_id,
    }
    if package.tool_call is not None:
        wanted["authority_transition"] = request.authority_transition is not None
        wanted["side_effect_preview"] = package.side_effect_preview != "{}"
    return [name for name, there in wanted.items() if not there]


def _filled(lines: list[str]) -> bool:
    return bool(lines) and all(line.strip() for line in lines)

"""Intake of `interrupt-requested`: the order of the checks, and what an accepted request opens.

1. signature and tenant (core.decide), 2. duplicate, 3. version, 4. package quality.
"""

from __future__ import annotations

from core.actions import action_of, digest_of
from core.authority import Failure
from core.context import Context, Event
from core.deadlines import decide_by
from core.escalation import until_eligible
from core.evolve import evolve
from core.exceptions import Lifted, lifted_for
from core.facts import status_changed, task_changed
from core.gates import approved
from core.identifiers import derived_id
from core.limits import EXCEPTIONS_USED_MAX, LINEAGE_NAMES_MAX, VERSIONS_PER_PACKAGE_MAX
from core.lineage import barred, is_first_signer, lineage_of
from core.planning import plan_for
from core.policy import Policy
from core.quality import quality_failures, rests_on
from core.refusals import refused
from core.room import no_room
from core.timers import OBJECTION_WINDOW
from core.transitions import Cell
from schemas.canonical import is_canonical, record_digest
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
    stop = (
        _version_failure(state, request, context, cell)
        or _no_policy(policy, request)
        or no_room(policy, request, cell, context)
    )
    if stop is not None:
        return [refused(state, request, context, [stop])]
    assert policy is not None
    lineage = lineage_of(_lineage_before(state), request, context)
    if lineage is None:
        message = f"more than {LINEAGE_NAMES_MAX} names stand behind the package; start a new one"
        return [refused(state, request, context, [Failure("PACKAGE_FULL", message)])]
    lifted = lifted_for(request.package, context.tenant, context.now, behind=barred(lineage))
    failures = _canonical_failures(request) or quality_failures(policy, request, lifted)
    if failures:
        return [refused(state, request, context, failures)]
    exceptions = rests_on(policy, request, lifted)
    if len(exceptions) > EXCEPTIONS_USED_MAX:
        message = f"it would rest on more than {EXCEPTIONS_USED_MAX} exceptions; revoke some"
        return [refused(state, request, context, [Failure("PACKAGE_FULL", message)])]
    signed = context.signer is not None
    plan = plan_for(policy, request, signed=signed, lifted=lifted, exceptions=exceptions)
    accepted = _accepted(request, context, plan, lineage, lifted, digest)
    return _open(state, accepted, context)


def _lineage_before(state: ControlPointState | None) -> Lineage | None:
    return state.accepted.lineage if state is not None and state.accepted else None


def _accepted(
    request: InterruptRequested,
    context: Context,
    plan: Plan,
    lineage: Lineage,
    lifted: Lifted,
    digest: str,
) -> PackageAccepted:
    return PackageAccepted(
        event_id=derived_id(context.origin, "accepted"),
        request=request,
        request_digest=digest,
        package_digest=record_digest(request.package),
        action_digest=digest_of(action_of(request.package)),
        plan=plan,
        lineage=lineage,
        opened_event_id=derived_id(context.origin, "status:pending"),
        deadline_lifted=lifted.has("outside_sla"),
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
    windowed = plan.mode == "on_the_loop"
    within_s = plan.objection_window_s if windowed else plan.decide_within_s
    due, source = decide_by(current, context.window_start, within_s)
    if windowed and source == "policy":
        source = OBJECTION_WINDOW
    opened = status_changed(
        current,
        origin=context.origin,
        status="pending",
        reason=request.reason,
        now=context.now,
        decide_by=due,
        decide_by_source=source,
        decide_from=context.window_start,
    )
    created = task_changed(
        current, origin=context.origin, change="created", now=context.now, due_at=due
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
        message = (
            f"the package is closed with {state.outcome}; send a new package that names it in "
            "`reopens`"
        )
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

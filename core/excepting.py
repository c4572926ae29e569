"""Granting and revoking policy exceptions (section 23): asked at a package, decided by a reviewer,
for one package and a bounded time."""

from __future__ import annotations

from datetime import timedelta

from core.authority import Failure, failures
from core.context import Context, Event
from core.identifiers import derived_id
from core.limits import EXCEPTIONS_PER_PACKAGE_MAX
from core.recording import decision_recorded
from core.refusals import key_answered
from core.standing import claim_of, other_version, out_of_time, refusal_of
from schemas.commands import PolicyExceptionCommand
from schemas.directory import PolicyExceptionChanged
from schemas.events import ExceptionTerms
from schemas.headers import rfc3339
from schemas.state import ControlPointState, GrantedException
from schemas.vocabulary import ExceptionChange


def exception_received(
    state: ControlPointState, command: PolicyExceptionCommand, context: Context
) -> list[Event]:
    """An exception is granted while the interrupt is open; it can be revoked at any time."""
    if command.action == "grant":
        return _granted(state, command, context)
    return _revoked(state, command, context)


def exception_changed(
    state: ControlPointState,
    granted: GrantedException,
    context: Context,
    change: ExceptionChange,
    *,
    origin: str,
    decision_event_id: str | None = None,
) -> PolicyExceptionChanged:
    """What all tasks are told about an exception."""
    terms = granted.terms
    return PolicyExceptionChanged(
        event_id=derived_id(origin, f"exception:{change}:{terms.exception_id}"),
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        exception_id=terms.exception_id,
        change=change,
        policy_id=terms.policy_id,
        requested_exception=terms.requested_exception,
        justification=terms.justification,
        kind=terms.kind,
        applies_to=terms.applies_to,
        approver_id=granted.approver_id,
        expires_at=terms.expires_at,
        decision_event_id=decision_event_id or granted.decision_event_id,
        occurred_at=context.now,
    )


def _granted(
    state: ControlPointState, command: PolicyExceptionCommand, context: Context
) -> list[Event]:
    stop = _not_open(state) or out_of_time(state, context) or other_version(state, command)
    found = [stop] if stop else _grant_failures(state, command, context)
    if found:
        return refusal_of(state, command, context, found)
    assert state.accepted is not None
    longest = context.now + timedelta(seconds=state.accepted.plan.exception_max_s)
    terms = ExceptionTerms(
        exception_id=command.exception_id,
        policy_id=command.policy_id,
        requested_exception=command.requested_exception,
        justification=command.justification,
        kind=command.kind,
        applies_to=command.applies_to or state.decision_package_id,
        expires_at=command.expires_at or longest,
    )
    event = decision_recorded(
        state,
        command,
        context,
        "grant_exception",
        comment=command.justification,
        policy_exception=terms,
    )
    granted = GrantedException(
        terms=terms, approver_id=command.reviewer_id, decision_event_id=event.event_id
    )
    changed = exception_changed(state, granted, context, "granted", origin=context.origin)
    return [event, key_answered(command, context, event.event_id), changed]


def _revoked(
    state: ControlPointState, command: PolicyExceptionCommand, context: Context
) -> list[Event]:
    standing = next(
        (
            granted
            for granted in state.exceptions
            if granted.terms.exception_id == command.exception_id and not granted.ended
        ),
        None,
    )
    stop = other_version(state, command)
    if stop is None and standing is None:
        message = f"no exception {command.exception_id} that was granted here is in force"
        stop = Failure("NOT_OPEN", message)
    if stop is not None:
        return refusal_of(state, command, context, [stop])
    assert standing is not None
    claim = claim_of(command, "revoke_exception", context)
    found = failures(state, claim, context.tenant, context.now)
    if not command.justification.strip():
        found.append(Failure("REASON_REQUIRED", "say in justification why it is taken back"))
    if found:
        return refusal_of(state, command, context, found)
    event = decision_recorded(
        state,
        command,
        context,
        "revoke_exception",
        comment=command.justification,
        policy_exception=standing.terms,
    )
    changed = exception_changed(
        state,
        standing,
        context,
        "revoked",
        origin=context.origin,
        decision_event_id=event.event_id,
    )
    return [event, key_answered(command, context, event.event_id), changed]


def _not_open(state: ControlPointState) -> Failure | None:
    match state.status:
        case "pending" | "escalated":
            return None
        case "expired":
            return Failure("TOO_LATE", "the interrupt expired; the agent must ask again")
        case _:
            message = f"the interrupt is closed with {state.outcome}; ask for it at an open package"
            return Failure("NOT_OPEN", message)


def _grant_failures(
    state: ControlPointState, command: PolicyExceptionCommand, context: Context
) -> list[Failure]:
    claim = claim_of(command, "grant_exception", context)
    found = failures(state, claim, context.tenant, context.now)
    assert state.accepted is not None
    longest = context.now + timedelta(seconds=state.accepted.plan.exception_max_s)
    known = context.tenant.exceptions.get(command.exception_id)
    said: str | None = None
    if known is not None or any(
        granted.terms.exception_id == command.exception_id for granted in state.exceptions
    ):
        said = f"exception {command.exception_id} exists; an exception is never granted twice"
    elif len(state.exceptions) >= EXCEPTIONS_PER_PACKAGE_MAX:
        said = f"a package has at most {EXCEPTIONS_PER_PACKAGE_MAX} exceptions; ask at a new one"
    elif command.kind == "reopening" and command.applies_to is None:
        said = "a reopening names in applies_to the closed package that may be reopened"
    elif command.expires_at is not None and command.expires_at <= context.now:
        said = "expires_at has passed; name a later time"
    elif command.expires_at is not None and command.expires_at > longest:
        said = f"an exception ends by {rfc3339(longest)} at the latest; shorten it"
    if said is not None:
        found.append(Failure("DECISION_NOT_ALLOWED", said))
    if not command.justification.strip() or not command.requested_exception.strip():
        message = "an exception says what is excepted and why; fill both"
        found.append(Failure("REASON_REQUIRED", message))
    return found

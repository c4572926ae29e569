"""`decide(state, command, context) -> events`: the whole order of the rules, and who does what.

UNAUTHENTICATED -> TENANT_MISMATCH -> idempotency -> the cell of the transition table -> its rule.
Refusals are events too. No I/O, no clock, no randomness.
"""

from __future__ import annotations

from typing import Literal

from core.auditing import verdict_received
from core.authentication import TenantMismatch
from core.authority import Failure
from core.context import Context, Event, Input, Receipt, ReviewerCommand
from core.decisions import decision_received, objection_after
from core.excepting import exception_received
from core.execution import receipt_received, take_received
from core.intake import request_received
from core.limits import PARKED_CHARS_MAX, PARKED_PER_PACKAGE_MAX
from core.overriding import override_received
from core.refusals import BINDING, answered_before, key_answered, refused
from core.revoking import revocation_received
from core.transitions import TRANSITIONS, Cell
from core.withdrawal import cancel_received
from core.work import work_received
from schemas.canonical import canonical_json, record_json
from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.events import CommandParked
from schemas.execution import GrantTake
from schemas.registry import ce_type_of
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.state import ControlPointState
from schemas.vocabulary import Code


def decide(state: ControlPointState | None, command: Input, context: Context) -> list[Event]:
    """The events of one input record; never none."""
    failure = not_admitted(command, context)
    if failure is not None:
        return [refused(state, command, context, [failure])]
    if isinstance(command, ReviewerCommand):
        answered = answered_before(state, command, context)
        if answered is not None:
            failure, first = answered
            return [refused(state, command, context, [failure], first_event_id=first or None)]
    cell = TRANSITIONS[ce_type_of(command)][state.status if state else "absent"]
    match command:
        case InterruptRequested() if cell in ("open", "supersede", "reopen"):
            return request_received(state, command, context, cell)
        case InterruptRequested() if state is not None and cell == "NOT_REOPENABLE":
            return request_received(state, command, context, "reopen")
        case InterruptCancelled() if state is not None and cell in ("cancel", "withdraw"):
            return cancel_received(state, command, context, cell)
        case _ if isinstance(command, ReviewerCommand) and cell == "park":
            return [_parked_or_refused(state, command, context)]
        case _ if isinstance(command, ReviewerCommand) and state is not None:
            return _commanded(state, command, context, cell)
        case GrantTake() if state is not None and cell == "take":
            return take_received(state, command, context)
        case _ if isinstance(command, Receipt) and state is not None and cell == "receive":
            return receipt_received(state, command, context)
        case _:
            return _refused_by_table(state, command, context, cell)


def _commanded(
    state: ControlPointState, command: ReviewerCommand, context: Context, cell: Cell
) -> list[Event]:
    """A reviewer's command on a known package, by the rule of its cell."""
    match command:
        case HumanDecisionCommand() if cell == "decide":
            return decision_received(state, command, context)
        case HumanDecisionCommand() if cell == "objection":
            return objection_after(state, command, context)
        case HumanOverrideCommand() if cell == "override":
            return override_received(state, command, context)
        case ReviewTaskCommand() if cell == "work":
            return work_received(state, command, context)
        case GrantRevocationCommand() if cell == "revoke":
            return revocation_received(state, command, context)
        case AuditVerdictCommand() if cell == "audit":
            return verdict_received(state, command, context)
        case PolicyExceptionCommand() if cell == "exception":
            return exception_received(state, command, context)
        case _:
            return _refused_by_table(state, command, context, cell)


def not_admitted(command: Input, context: Context) -> Failure | None:
    """UNAUTHENTICATED or TENANT_MISMATCH, if so."""
    if isinstance(context.failure, TenantMismatch):
        return Failure("TENANT_MISMATCH", str(context.failure))
    if context.signer is None and not _unsigned_allowed(command, context):
        reason = str(context.failure) if context.failure else "the record is not signed; sign it"
        return Failure("UNAUTHENTICATED", reason)
    if isinstance(command, InterruptRequested) and command.package.tenant_id != command.tenant_id:
        message = "the package names another tenant than the request; make them the same"
        return Failure("TENANT_MISMATCH", message)
    return None


def _unsigned_allowed(command: Input, context: Context) -> bool:
    """Only a missing signature can be excused, never a bad one."""
    if context.signature_present:
        return False
    policy = context.tenant.policy
    by_policy = policy is not None and policy.unsigned_requests == "allow"
    return context.unsigned or (
        by_policy and isinstance(command, InterruptRequested | InterruptCancelled)
    )


def _parked_or_refused(
    state: ControlPointState | None, command: ReviewerCommand, context: Context
) -> Event:
    body, signer = canonical_json(record_json(command)), context.signer
    kind: Literal["reviewer", "gateway"] = (
        "gateway" if signer and signer.kind == "gateway" else "reviewer"
    )
    full = state is not None and len(state.parked) >= PARKED_PER_PACKAGE_MAX
    if full or len(body) > PARKED_CHARS_MAX:
        message = (
            "no such package was requested yet, and the command cannot wait for it: "
            f"at most {PARKED_PER_PACKAGE_MAX} wait, of at most {PARKED_CHARS_MAX} characters; "
            "send it again when the package is there"
        )
        return refused(state, command, context, [Failure("UNKNOWN_PACKAGE", message)])
    return CommandParked(
        command_id=command.command_id,
        tenant_id=command.tenant_id,
        decision_package_id=command.decision_package_id,
        ce_type=ce_type_of(command),
        body_json=body,
        origin=context.origin,
        appended_at=context.now,
        signer_id=signer.subject if signer else None,
        signer_kind=kind if signer else None,
        kid=signer.kid if signer else None,
        sid=signer.sid if signer else None,
        auth_time=signer.auth_time if signer else None,
        amr=list(signer.amr) if signer else [],
        park_until=context.now + context.park_ttl,
    )


def _refused_by_table(
    state: ControlPointState | None, command: Input, context: Context, cell: Cell
) -> list[Event]:
    failure = Failure(_code_of(cell), _message_of(cell, command, state))
    refusal = refused(state, command, context, [failure])
    if state is None or not isinstance(command, ReviewerCommand) or refusal.code not in BINDING:
        return [refusal]
    return [refusal, key_answered(command, context, refusal.event_id)]


def _code_of(cell: Cell) -> Code:
    match cell:
        case (
            "open" | "supersede" | "reopen" | "park" | "decide" | "objection" | "override" | "work"
            | "revoke" | "audit" | "exception" | "cancel" | "withdraw" | "take" | "receive"
        ):  # fmt: skip
            raise AssertionError(f"the rule {cell} was not reached")
        case "UNAUTHENTICATED" | "TENANT_MISMATCH" | "DUPLICATE_COMMAND" | "IDEMPOTENCY_CONFLICT":
            raise AssertionError(f"{cell} does not stand in the table")
        case _:
            return cell


def _message_of(cell: Cell, command: Input, state: ControlPointState | None) -> str:
    match cell:
        case "UNKNOWN_PACKAGE":
            return "no such package was requested; check the id"
        case "UNKNOWN_GRANT":
            return "the package has no such grant; read its latest gate event"
        case "NOT_OPEN":
            if state is not None and state.outcome is None:
                return "nothing is decided yet that could be audited; wait for the decision"
            ended = state.outcome if state else None
            return f"the interrupt is closed with {ended}; nothing is to be decided any more"
        case "TOO_LATE":
            return "the interrupt expired; the agent must ask again"
        case _:
            raise AssertionError(f"{cell} does not stand in the table for {ce_type_of(command)}")

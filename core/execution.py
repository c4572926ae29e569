"""Takes and receipts: one executor runs a grant, once, and reports (sections 10, 22)."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Final

from core.authority import Failure
from core.context import Context, Event, Receipt
from core.facts import gate_changed, task_changed
from core.identifiers import derived_id
from core.limits import RECEIPTS_PER_GRANT_MAX
from core.refusals import refused
from schemas.events import ReceiptRecorded
from schemas.execution import GrantTake, OutcomeReported, ToolDenied, ToolInDoubt
from schemas.registry import ce_type_of
from schemas.state import ControlPointState, Grant

_DONE: Final = frozenset({"tool.executed", "notice.sent"})
_NOT_DONE: Final = frozenset({"tool.failed", "notice.failed"})


def take_received(state: ControlPointState, take: GrantTake, context: Context) -> list[Event]:
    """The first take of an open gate wins; every other one is told why not."""
    grant = state.grant
    assert state.accepted is not None
    if grant and grant.attempt_id == take.attempt_id and grant.grant_id == take.grant_id:
        message = f"this take was answered by event {grant.taken_event_id}; nothing has changed"
        duplicate = Failure("DUPLICATE_COMMAND", message)
        return [refused(state, take, context, [duplicate], first_event_id=grant.taken_event_id)]
    failure = _take_failure(state, take, context)
    if failure is not None:
        return [refused(state, take, context, [failure])]
    within = timedelta(seconds=state.accepted.plan.execute_within_s)
    return list(
        gate_changed(
            state,
            origin=context.origin,
            gate="consumed",
            reason="taken",
            now=context.now,
            execute_by=context.window_start + within,
            executor_id=take.executor_id,
            attempt_id=take.attempt_id,
        )
    )


def receipt_received(state: ControlPointState, receipt: Receipt, context: Context) -> list[Event]:
    """A receipt that fits its take is recorded; in doubt is raised to a human."""
    grant = state.grant
    if grant is None or grant.grant_id != receipt.grant_id:
        unknown = Failure("UNKNOWN_GRANT", "the package has no such grant; name the one you took")
        return [refused(state, receipt, context, [unknown])]
    if receipt.event_id in grant.receipt_ids:
        duplicate = Failure("DUPLICATE_COMMAND", "this receipt is recorded; nothing has changed")
        return [refused(state, receipt, context, [duplicate], first_event_id=receipt.event_id)]
    failure = _receipt_failure(state, grant, receipt, context)
    if failure is not None:
        return [refused(state, receipt, context, [failure])]
    recorded = ReceiptRecorded(
        event_id=derived_id(context.origin, "receipt"),
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        grant_id=grant.grant_id,
        attempt_id=grant.attempt_id or _attempt_of(receipt) or grant.grant_id,
        receipt_type=ce_type_of(receipt),
        receipt_id=receipt.event_id,
        occurred_at=context.now,
    )
    if not isinstance(receipt, ToolInDoubt):
        return [recorded]
    raised = task_changed(
        state,
        origin=context.origin,
        change="in_doubt",
        status="in_doubt",
        now=context.now,
        due_at=context.now,
        actor=receipt.executor_id,
        comment="it is not known whether the action happened; look and report",
    )
    return [recorded, raised]


def _take_failure(state: ControlPointState, take: GrantTake, context: Context) -> Failure | None:
    grant = state.grant
    assert state.accepted is not None
    if grant is None or grant.grant_id != take.grant_id:
        return Failure("UNKNOWN_GRANT", "the package has no such grant; read its latest gate event")
    if not _entitled(state, context):
        return Failure("UNAUTHENTICATED", "the key is not entitled to this tool; use another key")
    if state.gate == "consumed":
        return Failure("GRANT_TAKEN", "another attempt has taken this grant; do not act")
    if state.gate == "revoked":
        return Failure("GRANT_REVOKED", "the grant was revoked; do not act")
    if state.gate != "open" or context.now > grant.valid_until:
        return Failure("GRANT_EXPIRED", f"the grant ended at {grant.valid_until.isoformat()}")
    return None


def _receipt_failure(
    state: ControlPointState, grant: Grant, receipt: Receipt, context: Context
) -> Failure | None:
    if not _entitled(state, context):
        return Failure("UNAUTHENTICATED", "the key is not entitled to this tool; use another key")
    if len(grant.receipt_ids) >= RECEIPTS_PER_GRANT_MAX:
        return Failure("PACKAGE_FULL", f"a grant has at most {RECEIPTS_PER_GRANT_MAX} receipts")
    if isinstance(receipt, ToolDenied):
        return None
    if state.gate != "consumed":
        return Failure("NOT_TAKEN", "the grant was not taken; take it before acting")
    if isinstance(receipt, OutcomeReported):
        return None
    if receipt.attempt_id != grant.attempt_id:
        return Failure("NOT_TAKEN", "another attempt has taken this grant")
    sender = context.signer.subject if context.signer else grant.executor_id
    if sender != grant.executor_id:
        return Failure("RECEIPT_MISMATCH", "another executor took this grant")
    if receipt.action_digest != grant.action_digest:
        return Failure("RECEIPT_MISMATCH", "the receipt is for another action than was approved")
    kinds = {grant.receipt_type, ce_type_of(receipt)}
    if kinds & _DONE and kinds & _NOT_DONE:
        return Failure("RECEIPT_MISMATCH", f"it contradicts the receipt {grant.receipt_type}")
    return None


def _entitled(state: ControlPointState, context: Context) -> bool:
    if context.signer is None or context.signer.kind != "executor":
        return context.unsigned
    call = state.accepted.request.package.tool_call if state.accepted else None
    return call is not None and any(
        fnmatchcase(call.tool_name, pattern) for pattern in context.signer.tools
    )


def _attempt_of(receipt: Receipt) -> str | None:
    return None if isinstance(receipt, OutcomeReported) else receipt.attempt_id

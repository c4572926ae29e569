"""Takes and receipts: one executor runs a grant, once, and reports (sections 10, 22)."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Final

from core.authority import Failure
from core.context import Context, Event, Receipt
from core.facts import gate_changed, task_changed
from core.identifiers import derived_id
from core.limits import RECEIPTS_OF_OTHERS_MAX, RECEIPTS_PER_GRANT_MAX
from core.refusals import refused
from schemas.events import ReceiptRecorded
from schemas.execution import GrantTake, Notice, OutcomeReported, ToolDenied, ToolInDoubt
from schemas.headers import rfc3339
from schemas.registry import ce_type_of
from schemas.state import ControlPointState, Grant
from schemas.vocabulary import Difference

_DONE: Final = frozenset({"tool.executed", "notice.sent"})
_NOT_DONE: Final = frozenset({"tool.failed", "notice.failed"})


def take_received(state: ControlPointState, take: GrantTake, context: Context) -> list[Event]:
    """The first take of an open gate wins; every other one is told why not."""
    grant = state.grant
    assert state.accepted is not None
    failure = _take_failure(state, take, context)
    if failure is not None:
        first = grant.taken_event_id if grant and failure.code == "DUPLICATE_COMMAND" else None
        return [refused(state, take, context, [failure], first_event_id=first)]
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
    """A receipt that fits its take is recorded; a doubt is raised to a human, and a later report
    of the same attempt settles it."""
    grant = state.grant
    if grant is None or grant.grant_id != receipt.grant_id:
        unknown = Failure("UNKNOWN_GRANT", "the package has no such grant; name the one you took")
        return [refused(state, receipt, context, [unknown])]
    failure = _receipt_failure(state, grant, receipt, context)
    if failure is not None:
        first = receipt.event_id if failure.code == "DUPLICATE_COMMAND" else None
        refusal = refused(state, receipt, context, [failure], first_event_id=first)
        return [refusal, *_difference_raised(state, grant, receipt, failure, context)]
    attempt_id = grant.attempt_id if isinstance(receipt, OutcomeReported) else receipt.attempt_id
    assert attempt_id is not None
    recorded = ReceiptRecorded(
        event_id=derived_id(context.origin, "receipt"),
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        grant_id=grant.grant_id,
        attempt_id=attempt_id,
        receipt_type=ce_type_of(receipt),
        receipt_id=receipt.event_id,
        outcome=receipt.outcome if isinstance(receipt, OutcomeReported) else None,
        occurred_at=context.now,
    )
    return [recorded, *_doubt_changed(state, grant, receipt, context)]


def _difference_raised(
    state: ControlPointState, grant: Grant, receipt: Receipt, failure: Failure, context: Context
) -> list[Event]:
    """What the reconciler finds: a receipt that grant and take do not bear out goes to a human.
    Each kind is raised once a grant, so that a broken executor floods nobody."""
    if failure.code not in ("NOT_TAKEN", "RECEIPT_MISMATCH") or isinstance(
        receipt, OutcomeReported | ToolDenied
    ):
        return []
    kind = _difference_of(grant, receipt, failure)
    if kind in grant.differences:
        return []
    return [
        task_changed(
            state,
            origin=context.origin,
            change="difference",
            status="in_doubt",
            now=context.now,
            due_at=context.now,
            actor=_executor_of(receipt, grant, context),
            comment=f"{ce_type_of(receipt)}: {failure.message}; look at what was done, and report",
            difference=kind,
        )
    ]


def _difference_of(grant: Grant, receipt: Receipt, failure: Failure) -> Difference:
    if failure.code == "NOT_TAKEN":
        return "without_take"
    if not isinstance(receipt, OutcomeReported) and receipt.action_digest != grant.action_digest:
        return "other_action"
    return "contradiction"


def _doubt_changed(
    state: ControlPointState, grant: Grant, receipt: Receipt, context: Context
) -> list[Event]:
    doubtful = isinstance(receipt, ToolInDoubt)
    if isinstance(receipt, ToolDenied) or doubtful == grant.in_doubt:
        return []
    # Who looked and reported how it went settles everything; a receipt does not undo a difference.
    unsettled = set(grant.differences) - {"without_receipt"}
    if unsettled and not doubtful and not isinstance(receipt, OutcomeReported):
        return []
    comment = (
        "it is not known whether the action happened; look and report"
        if doubtful
        else f"the doubt is settled by {ce_type_of(receipt)}"
    )
    return [
        task_changed(
            state,
            origin=context.origin,
            change="in_doubt" if doubtful else "closed",
            status="in_doubt" if doubtful else "closed",
            now=context.now,
            due_at=context.now,
            actor=grant.executor_id,
            comment=comment,
        )
    ]


def _take_failure(state: ControlPointState, take: GrantTake, context: Context) -> Failure | None:
    grant = state.grant
    assert state.accepted is not None
    if grant is None or grant.grant_id != take.grant_id:
        return Failure("UNKNOWN_GRANT", "the package has no such grant; read its latest gate event")
    if not _entitled(state, context):
        return Failure("UNAUTHENTICATED", "the key is not entitled to this tool; use another key")
    if (grant.attempt_id, grant.executor_id) == (take.attempt_id, take.executor_id):
        message = f"this take was answered by event {grant.taken_event_id}; nothing has changed"
        return Failure("DUPLICATE_COMMAND", message)
    if state.gate == "consumed":
        return Failure("GRANT_TAKEN", "another attempt has taken this grant; do not act")
    if state.gate == "revoked":
        return Failure("GRANT_REVOKED", "the grant was revoked; do not act")
    if state.gate != "open" or context.now > grant.valid_until:
        return Failure("GRANT_EXPIRED", f"the grant ended at {rfc3339(grant.valid_until)}")
    return None


def _receipt_failure(
    state: ControlPointState, grant: Grant, receipt: Receipt, context: Context
) -> Failure | None:
    if not _entitled(state, context):
        return Failure("UNAUTHENTICATED", "the key is not entitled to this tool; use another key")
    if receipt.event_id in grant.receipt_ids:
        return Failure("DUPLICATE_COMMAND", "this receipt is recorded; nothing has changed")
    by_others = isinstance(receipt, ToolDenied | OutcomeReported)
    limit = RECEIPTS_OF_OTHERS_MAX if by_others else RECEIPTS_PER_GRANT_MAX
    if len(grant.receipt_ids) >= limit:
        return Failure("PACKAGE_FULL", f"a grant has at most {limit} receipts of this kind")
    if isinstance(receipt, ToolDenied):
        return None
    if state.gate != "consumed":
        return Failure("NOT_TAKEN", "the grant was not taken; take it before acting")
    if isinstance(receipt, OutcomeReported):
        return None
    if receipt.attempt_id != grant.attempt_id:
        return Failure("NOT_TAKEN", "another attempt has taken this grant")
    if _executor_of(receipt, grant, context) != grant.executor_id:
        return Failure("RECEIPT_MISMATCH", "another executor took this grant")
    if receipt.action_digest != grant.action_digest:
        return Failure("RECEIPT_MISMATCH", "the receipt is for another action than was approved")
    if _contradicts(grant.receipt_type, ce_type_of(receipt)):
        return Failure("RECEIPT_MISMATCH", f"it contradicts the receipt {grant.receipt_type}")
    return None


def _contradicts(before: str | None, now: str) -> bool:
    """Done against not done, or a doubt about what was reported for certain."""
    certain = before in _DONE or before in _NOT_DONE
    return certain and (now not in _DONE | _NOT_DONE or (before in _DONE) != (now in _DONE))


def _executor_of(receipt: Receipt, grant: Grant, context: Context) -> str | None:
    """Who sent the receipt. A notice names no executor: unsigned, the one that took is believed."""
    if context.signer is not None:
        return context.signer.subject
    return (
        grant.executor_id if isinstance(receipt, Notice | OutcomeReported) else receipt.executor_id
    )


def _entitled(state: ControlPointState, context: Context) -> bool:
    """Whether the sender's key is for this tool; unsigned, where that is allowed at all."""
    if context.signer is None:
        return context.unsigned
    return (
        context.signer.kind == "executor"
        and state.grant is not None
        and any(fnmatchcase(state.grant.tool_name, pattern) for pattern in context.signer.tools)
    )

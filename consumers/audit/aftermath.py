"""What came after the decision: execution, reversal, and what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from consumers.audit.deciders import audits, overrides, revocations
from consumers.audit.history import Fact, History
from core.actions import tool_of
from core.timers import OBJECTION_WINDOW
from schemas.canonical import record_json
from schemas.events import ReceiptRecorded, ReviewTaskEvent, ToolGateEvent
from schemas.execution import NoticeFailed, NoticeSent, OutcomeReported, ToolDenied
from schemas.execution import Receipt as ExecutionReceipt
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import FINAL_STATUSES

DONE: Final = frozenset({"tool.executed", "notice.sent"})
NOT_DONE: Final = frozenset({"tool.failed", "notice.failed"})


def executed(history: History, facts: Sequence[Fact], state: ControlPointState) -> dict[str, Any]:
    """Whether the action was run, by whom, and every receipt."""
    receipts: dict[str, ExecutionReceipt | NoticeSent | NoticeFailed] = {}
    for _, receipt in history.inputs(ExecutionReceipt):
        receipts[receipt.event_id] = receipt
    for _, sent in history.inputs(NoticeSent):
        receipts[sent.event_id] = sent
    for _, failed in history.inputs(NoticeFailed):
        receipts[failed.event_id] = failed
    recorded = [fact.event for fact in facts if isinstance(fact.event, ReceiptRecorded)]
    grant = state.grant
    return {
        "executed": verdict_of(state),
        "grant_id": grant.grant_id if grant else None,
        "executor_id": grant.executor_id if grant else None,
        "attempt_id": grant.attempt_id if grant else None,
        "receipts": [
            {
                "receipt_type": event.receipt_type,
                "receipt_id": event.receipt_id,
                "recorded_at": rfc3339(event.occurred_at),
                "receipt": record_json(found)
                if (found := receipts.get(event.receipt_id)) is not None
                else None,
            }
            for event in recorded
            if event.receipt_type != "outcome.reported"
        ],
        "differences": [
            {
                "difference": event.difference,
                "executor_id": event.actor,
                "what": event.comment,
                "at": rfc3339(event.occurred_at),
            }
            for fact in facts
            if isinstance(event := fact.event, ReviewTaskEvent) and event.difference is not None
        ],
    }


def verdict_of(state: ControlPointState) -> str:
    """yes, no, in_doubt, not_yet, or nothing_to_execute."""
    assert state.accepted is not None
    grant = state.grant
    if grant is None and tool_of(state.accepted.request.package) is None:
        return "nothing_to_execute"
    if grant is not None and grant.receipt_type in DONE:
        return "yes"
    if grant is not None and grant.receipt_type in NOT_DONE:
        return "no"
    if grant is not None and (grant.in_doubt or grant.receipt_type == "tool.in_doubt"):
        return "in_doubt"
    if state.gate in ("open", "consumed") or state.status not in FINAL_STATUSES:
        return "not_yet"
    return "no"


def reversed_later(history: History, facts: Sequence[Fact]) -> dict[str, Any]:
    """Overrides, revocations, refusals of executors, outcomes and audits, whatever came later."""
    kept = {fact.event.receipt_id for fact in facts if isinstance(fact.event, ReceiptRecorded)}
    gates = [fact.event for fact in facts if isinstance(fact.event, ToolGateEvent)]
    return {
        "overrides": overrides(facts),
        "revoked_by": revocations(facts),
        "revoked": [
            {"reason": gate.reason, "at": rfc3339(gate.occurred_at)}
            for gate in gates
            if gate.gate == "revoked"
        ],
        "denied_by_executors": [
            {"executor_id": denied.executor_id, "reason": denied.reason}
            for _, denied in history.inputs(ToolDenied)
            if denied.event_id in kept
        ],
        "outcomes": [
            {
                "outcome": report.outcome,
                "severity": report.severity,
                "detail": report.detail,
                "reported_by": report.reported_by,
            }
            for _, report in history.inputs(OutcomeReported)
            if report.event_id in kept
        ],
        "audits": audits(facts),
    }


def _waits_for(state: ControlPointState) -> str:
    if state.override is not None:
        return f"the override by {state.override.by.reviewer_id} waits for its confirmation"
    if state.decide_by_source == OBJECTION_WINDOW:
        return "the objection window is open"
    if state.deferred_until is not None:
        return f"deferred until {rfc3339(state.deferred_until)}"
    return f"waits for {state.required_role}"


def missing(state: ControlPointState, verdict: str) -> list[str]:
    """What is still open, in words; empty when every question has its last answer."""
    if state.status not in FINAL_STATUSES:
        return [f"not decided yet: {_waits_for(state)}"]
    match verdict:
        case "not_yet" if state.gate == "open":
            return ["approved, and not executed yet: the grant is open"]
        case "not_yet":
            return ["an executor took the grant and has not reported yet"]
        case "in_doubt":
            return ["it is in doubt whether it was executed; a person must look and report"]
        case _:
            return []

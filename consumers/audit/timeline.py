"""What became of a package, change after change, in words; each with its place in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from consumers.audit.history import Fact
from schemas.directory import PolicyExceptionChanged
from schemas.events import (
    InterruptStatusChanged,
    ReceiptRecorded,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.headers import rfc3339
from schemas.state import PackageReplanned
from schemas.vocabulary import TaskChange

_WITH_STATUS: Final[frozenset[TaskChange]] = frozenset(
    {"created", "closed", "escalated", "deferred", "replanned"}
)
"""Changes of the review task that only go with another change, which is told."""


def timeline(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Every change of interrupt, review task, gate, plan and exceptions, oldest first."""
    changes = []
    for fact in facts:
        told = _told(fact)
        if told is None:
            continue
        what, reason, outcome = told
        changes.append(
            {
                "what": what,
                "outcome": outcome,
                "reason": reason,
                "at": rfc3339(fact.at),
                "journal": {"partition": fact.entry.partition, "seq": fact.entry.seq},
            }
        )
    return changes


def _told(fact: Fact) -> tuple[str, str, str | None] | None:
    """What changed, why, and the outcome of an interrupt; None: it is told elsewhere."""
    match fact.event:
        case InterruptStatusChanged() as status:
            deferred = status.deferred_until is not None
            what = "deferred" if deferred else status.status
            return f"interrupt {what}", _deferral(status), status.outcome
        case ToolGateEvent() as gate:
            return f"gate {gate.gate}", gate.reason, None
        case ReceiptRecorded() as receipt:
            said = f"attempt {receipt.attempt_id}"
            return receipt.receipt_type, said, receipt.outcome
        case PackageReplanned() as replanned:
            plan = replanned.plan
            said = f"rule {plan.rule} of policy version {plan.policy_version}: {plan.mode}"
            return "plan changed", said, None
        case PolicyExceptionChanged() as exception:
            said = (
                f"{exception.exception_id} from {exception.policy_id}, for {exception.applies_to} "
                f"until {rfc3339(exception.expires_at)}, by {exception.approver_id}"
            )
            return f"policy exception {exception.change}", said, None
        case ReviewTaskEvent() as task if task.change not in _WITH_STATUS:
            return f"task {task.change.replace('_', ' ')}", _work(task), None
        case _:
            return None


def _deferral(status: InterruptStatusChanged) -> str:
    if status.deferred_until is None:
        return status.reason
    said = f"{status.reason}, until {rfc3339(status.deferred_until)}"
    return f"{said} or: {status.defer_condition}" if status.defer_condition else said


def _work(task: ReviewTaskEvent) -> str:
    """Who did what to the review task, as far as it says so."""
    said = [f"by {task.actor}" if task.actor else "by the system"]
    if task.change in ("claimed", "assigned") and task.assigned_to:
        said.append(f"held by {task.assigned_to}")
    if task.lease_until is not None and task.change == "claimed":
        said.append(f"until {rfc3339(task.lease_until)}")
    if task.difference is not None:
        said.append(f"receipt and grant differ: {task.difference.replace('_', ' ')}")
    if task.presented_digest is not None:
        said.append(f"showing {task.presented_digest}")
    if task.comment_kind == "condition_met":
        said.append("the condition is met")
    if task.comment:
        said.append(task.comment)
    return "; ".join(said)

"""The records that the notifier publishes: its take, and one receipt for what came of it."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from typing import Any, Final, assert_never

from consumers.notification.executor import Executor
from consumers.notification.job import Job, Kind
from consumers.notification.notice import message_id
from producers.guard import receipt_id
from schemas.execution import (
    GrantTake,
    Notice,
    NoticeFailed,
    NoticeSent,
    Receipt,
    ToolDenied,
    ToolFailed,
    ToolInDoubt,
)

_NAMES: Final[dict[Kind, str]] = {
    "sent": "notice-sent",
    "failed": "notice-failed",
    "not_done": "failed",
    "in_doubt": "in-doubt",
    "denied": "denied",
}


def take_of(job: Job, executor: Executor) -> GrantTake:
    """The take of the job's grant."""
    return GrantTake(**_take(job, executor))


def receipt_of(job: Job, executor: Executor, *, sender: Address, now: datetime) -> Notice | Receipt:
    """The receipt that the job asks for. Its id is the same however often it is published."""
    assert job.report is not None
    kind, detail = job.report.kind, job.report.detail
    event_id = receipt_id(job.attempt_id, _NAMES[kind])
    match kind:
        case "sent":
            provider_id = message_id(job.grant_id, sender)
            return NoticeSent(**_notice(job, event_id, now), provider_message_id=provider_id)
        case "failed":
            return NoticeFailed(**_notice(job, event_id, now), reason=detail)
        case "not_done":
            return ToolFailed(**_receipt(job, executor, event_id, now), detail=detail)
        case "in_doubt":
            return ToolInDoubt(**_receipt(job, executor, event_id, now), detail=detail)
        case "denied":
            return ToolDenied(**_receipt(job, executor, event_id, now), reason=detail)
        case _:
            assert_never(kind)


def _take(job: Job, executor: Executor) -> dict[str, Any]:
    return {
        "grant_id": job.grant_id,
        "attempt_id": job.attempt_id,
        "executor_id": executor.executor_id,
        "tenant_id": job.gate.tenant_id,
        "decision_package_id": job.gate.decision_package_id,
    }


def _receipt(job: Job, executor: Executor, event_id: str, now: datetime) -> dict[str, Any]:
    return {
        **_take(job, executor),
        "event_id": event_id,
        "action_digest": job.gate.action_digest,
        "occurred_at": now,
    }


def _notice(job: Job, event_id: str, now: datetime) -> dict[str, Any]:
    assert job.notice is not None, "only a notice that was checked is tried"
    gate = job.gate
    return {
        "event_id": event_id,
        "tenant_id": gate.tenant_id,
        "run_id": gate.run_id,
        "interrupt_id": gate.interrupt_id,
        "decision_package_id": gate.decision_package_id,
        "grant_id": job.grant_id,
        "attempt_id": job.attempt_id,
        "action_digest": gate.action_digest,
        "notice_id": job.notice.notice_id,
        "recipient": job.notice.recipient,
        "occurred_at": now,
    }

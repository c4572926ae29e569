"""The records that the notifier publishes: its take, and one receipt for what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from typing import Any, assert_never

from consumers.notification.job import Job
from consumers.notification.notice import message_id
from producers.attempt import Attempt, receipt_id
from producers.executor import Executor
from producers.sealing import leaves, pseudonym_in
from schemas.canonical import parse_json_strict
from schemas.execution import Notice, NoticeFailed, NoticeSent, Receipt


def attempt_of(job: Job, executor: Executor) -> Attempt:
    """The executor's one attempt at the job's grant."""
    return Attempt(job.gate, job.attempt_id, executor.executor_id)


def receipt_of(job: Job, executor: Executor, *, sender: Address, now: datetime) -> Notice | Receipt:
    """The receipt that the job asks for. Its id is the same however often it is published."""
    assert job.report is not None
    args = _args(job)
    # A mail server repeats the address: what was sealed to be sent is not said by a receipt.
    sealed = any(pseudonym_in(text) for text in leaves(args))
    detail = (job.report.why or job.report.kind) if sealed else job.report.detail
    attempt = attempt_of(job, executor)
    match job.report.kind:
        case "sent":
            provider_id = message_id(job.grant_id, sender)
            return NoticeSent(
                **_notice(job, args, "notice-sent"),
                provider_message_id=provider_id,
                occurred_at=now,
            )
        case "failed":
            return NoticeFailed(
                **_notice(job, args, "notice-failed"), reason=detail, occurred_at=now
            )
        case "not_done":
            return attempt.failed(now, detail)
        case "in_doubt":
            return attempt.in_doubt(now, detail)
        case "denied":
            return attempt.denied(now, detail)
        case _:
            assert_never(job.report.kind)


def _args(job: Job) -> dict[str, Any]:
    """The arguments as they were approved, sealed where they were; {}: not such as we act on."""
    try:
        args = parse_json_strict(job.gate.args_json or "{}")
    except ValueError:
        return {}
    return args if isinstance(args, dict) else {}


def _notice(job: Job, args: Mapping[str, Any], kind: str) -> dict[str, Any]:
    assert job.notice is not None, "only a notice that was checked is tried"
    gate = job.gate
    return {
        "event_id": receipt_id(job.attempt_id, kind),
        "tenant_id": gate.tenant_id,
        "run_id": gate.run_id,
        "interrupt_id": gate.interrupt_id,
        "decision_package_id": gate.decision_package_id,
        "grant_id": job.grant_id,
        "attempt_id": job.attempt_id,
        "action_digest": gate.action_digest,
        "notice_id": args["notice_id"],
        "recipient": args["recipient"],
    }

"""What the notifier and other executors send."""

from __future__ import annotations

from typing import Any

from schemas.execution import (
    GrantTake,
    NoticeFailed,
    NoticeSent,
    OutcomeReported,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from tests.examples.agents import ACTION_DIGEST
from tests.examples.story import (
    ATTEMPT_ID,
    EXECUTOR,
    GRANT_ID,
    INTERRUPT_ID,
    PACKAGE_ID,
    RECIPIENT,
    RUN_ID,
    TENANT,
    at,
)


def a_take(**over: Any) -> GrantTake:
    """The notifier asks for the grant."""
    return GrantTake(**(_take() | over))


def _take() -> dict[str, Any]:
    return {
        "grant_id": GRANT_ID,
        "attempt_id": ATTEMPT_ID,
        "executor_id": EXECUTOR,
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
    }


def _receipt() -> dict[str, Any]:
    return _take() | {
        "event_id": "receipt-1",
        "action_digest": ACTION_DIGEST,
        "occurred_at": at(120),
    }


def an_executed(**over: Any) -> ToolExecuted:
    """The action was run."""
    form: dict[str, Any] = {"result_digest": "cd" * 32}
    return ToolExecuted(**(_receipt() | form | over))


def a_failed(**over: Any) -> ToolFailed:
    """The action failed."""
    form: dict[str, Any] = {"detail": "The service answered 503."}
    return ToolFailed(**(_receipt() | form | over))


def an_in_doubt(**over: Any) -> ToolInDoubt:
    """It is not known whether the action was run."""
    form: dict[str, Any] = {"detail": "The connection broke after DATA."}
    return ToolInDoubt(**(_receipt() | form | over))


def a_denied(**over: Any) -> ToolDenied:
    """The executor refused."""
    form: dict[str, Any] = {"reason": "The digest differs."}
    return ToolDenied(**(_receipt() | form | over))


def an_outcome(**over: Any) -> OutcomeReported:
    """How it went."""
    form: dict[str, Any] = {
        "event_id": "outcome-1",
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "grant_id": GRANT_ID,
        "outcome": "ok",
        "reported_by": "ops.kim",
        "occurred_at": at(86_400),
    }
    return OutcomeReported(**(form | over))


def _notice() -> dict[str, Any]:
    return {
        "event_id": "notice-event-1",
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "grant_id": GRANT_ID,
        "attempt_id": ATTEMPT_ID,
        "action_digest": ACTION_DIGEST,
        "notice_id": "EN-2041",
        "recipient": RECIPIENT,
        "occurred_at": at(121),
    }


def a_notice_sent(**over: Any) -> NoticeSent:
    """The notice was taken by the mail server."""
    form: dict[str, Any] = {"provider_message_id": f"<{GRANT_ID}@countersign.example>"}
    return NoticeSent(**(_notice() | form | over))


def a_notice_failed(**over: Any) -> NoticeFailed:
    """The notice was refused for good."""
    form: dict[str, Any] = {"reason": "550 no such mailbox"}
    return NoticeFailed(**(_notice() | form | over))

"""What reviewers send."""

from __future__ import annotations

from typing import Any

from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from tests.examples.agents import ACTION_DIGEST, a_tool_call
from tests.examples.story import PACKAGE_ID, REVIEWER, TENANT, at, notice_args


def _command(**over: Any) -> dict[str, Any]:
    return {
        "command_id": "cmd-1",
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "reviewer_id": REVIEWER,
        "expected_package_version": 1,
        "idempotency_key": "key-1",
    } | over


def a_decision(**over: Any) -> HumanDecisionCommand:
    """An approval with a comment, naming the digest of the action seen."""
    form: dict[str, Any] = {
        "decision": "approve",
        "comment": "Evidence checked; sample 2 is not needed.",
        "action_digest": ACTION_DIGEST,
    }
    return HumanDecisionCommand(**_command(**(form | over)))


def an_override(**over: Any) -> HumanOverrideCommand:
    """An override that sends a warning instead."""
    form: dict[str, Any] = {
        "original_recommendation": "Send the enforcement notice.",
        "override_decision": "Send a second warning.",
        "override_reason": "The operator has begun the repair.",
        "evidence_refs": ["visit:2026-02-27"],
        "override_tool_call": a_tool_call(notice_args(subject="Second warning")),
    }
    return HumanOverrideCommand(**_command(**(form | over)))


def a_task_command(**over: Any) -> ReviewTaskCommand:
    """A claim of the review task."""
    return ReviewTaskCommand(**_command(**({"action": "claim"} | over)))


def a_revocation(**over: Any) -> GrantRevocationCommand:
    """A revocation of the package's grant."""
    return GrantRevocationCommand(**_command(**({"reason": "Wrong recipient."} | over)))


def a_verdict(**over: Any) -> AuditVerdictCommand:
    """An auditor agrees."""
    form: dict[str, Any] = {"verdict": "agree", "comment": "The evidence carries it."}
    return AuditVerdictCommand(**_command(**(form | over)))


def an_exception(**over: Any) -> PolicyExceptionCommand:
    """A policy exception is asked for."""
    form: dict[str, Any] = {
        "action": "grant",
        "exception_id": "exc-1",
        "policy_id": "four-eyes",
        "requested_exception": "One approval instead of two.",
        "justification": "The second reviewer is away.",
        "expires_at": at(7 * 86_400),
    }
    return PolicyExceptionCommand(**_command(**(form | over)))

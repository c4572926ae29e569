"""The closed sets of the wire: one glossary, no synonyms.

They are Avro strings, closed by pydantic on both sides (reading and writing), so that a new member
is a rule change and never a schema change.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

RiskLevel = Literal["low", "medium", "high", "critical"]
RISK_LEVELS: Final[tuple[RiskLevel, ...]] = get_args(RiskLevel)
"""Lowest first; the index is the order."""

ControlMode = Literal["out_of_the_loop", "on_the_loop", "in_the_loop", "human_led"]
AuthorityTransition = Literal[
    "draft_to_send",
    "recommendation_to_decision",
    "internal_to_official",
    "score_to_field_update",
    "summary_to_conclusion",
    "reversible_to_irreversible",
    "low_to_high_risk",
]
Decision = Literal[
    "approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "object"
]
RecordedDecision = Literal[
    "approve",
    "reject",
    "revise",
    "request_more_evidence",
    "escalate",
    "defer",
    "object",
    "override",
    "revoke",
    "audit_verdict",
    "grant_exception",
    "revoke_exception",
]
InterruptStatus = Literal["pending", "escalated", "decided", "expired", "cancelled"]
FINAL_STATUSES: Final[frozenset[InterruptStatus]] = frozenset({"decided", "expired", "cancelled"})
GateState = Literal["closed", "open", "denied", "revoked", "expired", "consumed"]
GateChange = Literal["opened", "denied", "revoked", "expired", "consumed"]
TaskAction = Literal["claim", "release", "assign", "comment", "present", "recuse"]
Verdict = Literal["agree", "disagree", "defect"]
ExceptionAction = Literal["grant", "revoke"]
ExceptionKind = Literal["missing_evidence", "threshold", "reopening", "outside_sla"]
ExceptionChange = Literal["granted", "revoked", "expired"]
CommentKind = Literal["note", "condition_met"]
TaskStatus = Literal["open", "in_doubt", "audit", "closed"]
TaskChange = Literal[
    "created",
    "claimed",
    "released",
    "assigned",
    "commented",
    "presented",
    "recused",
    "escalated",
    "deferred",
    "resumed",
    "sla_warning",
    "replanned",
    "closed",
    "in_doubt",
    "difference",
    "audit_opened",
    "audit_closed",
]
Outcome = Literal["ok", "incident", "reversed"]
OnTimeout = Literal["escalate", "expire", "cancel", "defer", "auto_reject"]
Routing = Literal["drafting", "evidence"]

Difference = Literal["without_take", "without_receipt", "other_action", "contradiction"]

Code = Literal[
    # identity and idempotency
    "UNAUTHENTICATED",
    "TENANT_MISMATCH",
    "DUPLICATE_COMMAND",
    "IDEMPOTENCY_CONFLICT",
    # requests
    "PACKAGE_INCOMPLETE",
    "PACKAGE_VERSION_OUT_OF_ORDER",
    "INTERRUPT_CONFLICT",
    "NOT_REOPENABLE",
    "ARGS_NOT_CANONICAL",
    "EFFECT_MISMATCH",
    "NOT_A_CONTROL_POINT",
    "NO_POLICY",
    "TOO_MANY_OPEN",
    "PACKAGE_FULL",
    "NOT_REQUESTER",
    # commands, in the order of authority
    "UNKNOWN_PACKAGE",
    "NOT_OPEN",
    "TOO_LATE",
    "STALE_PACKAGE_VERSION",
    "ACTION_DIGEST_MISMATCH",
    "UNKNOWN_REVIEWER",
    "MISSING_SCOPE",
    "MISSING_ROLE",
    "RISK_ABOVE_LIMIT",
    "DELEGATION_INVALID",
    "SEPARATION_OF_DUTIES",
    "CONFLICT_OF_INTEREST",
    "DUPLICATE_APPROVER",
    "NO_OPEN_SLOT",
    "NOT_ASSIGNEE",
    "DECISION_NOT_ALLOWED",
    "COMMENT_REQUIRED",
    "REASON_REQUIRED",
    "EVIDENCE_REQUIRED",
    # grants
    "GRANT_TAKEN",
    "GRANT_REVOKED",
    "GRANT_EXPIRED",
    "UNKNOWN_GRANT",
    "RECEIPT_MISMATCH",
    "NOT_TAKEN",
]
CODES: Final[tuple[Code, ...]] = get_args(Code)

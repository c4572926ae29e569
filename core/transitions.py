"""The transition table as data: status x message type -> what is done with the message.

A cell is the name of a rule of `core.decide`, or the code of a refusal. Every cell is filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from schemas.vocabulary import Code

Status = Literal["absent", "awaited", "pending", "escalated", "decided", "expired", "cancelled"]
Rule = Literal[
    "open", "supersede", "reopen", "park", "decide", "objection", "override", "work", "revoke",
    "audit", "exception", "cancel", "withdraw", "take", "receive",
]  # fmt: skip
Cell = Rule | Code

_REQUEST: Final[Mapping[Status, Cell]] = {
    "absent": "open",
    "awaited": "open",
    "pending": "supersede",
    "escalated": "supersede",
    "decided": "reopen",
    "expired": "NOT_REOPENABLE",
    "cancelled": "NOT_REOPENABLE",
}
_CANCEL: Final[Mapping[Status, Cell]] = {
    "absent": "UNKNOWN_PACKAGE",
    "awaited": "UNKNOWN_PACKAGE",
    "pending": "cancel",
    "escalated": "cancel",
    "decided": "withdraw",
    "expired": "NOT_OPEN",
    "cancelled": "NOT_OPEN",
}
_DECISION: Final[Mapping[Status, Cell]] = {
    "absent": "park",
    "awaited": "park",
    "pending": "decide",
    "escalated": "decide",
    "decided": "objection",
    "expired": "TOO_LATE",
    "cancelled": "NOT_OPEN",
}
_OVERRIDE: Final[Mapping[Status, Cell]] = {
    **_DECISION,
    "pending": "override",
    "escalated": "override",
    "decided": "NOT_OPEN",
}
_TASK: Final[Mapping[Status, Cell]] = {
    **_DECISION,
    "pending": "work",
    "escalated": "work",
    "decided": "NOT_OPEN",
}
_REVOCATION: Final[Mapping[Status, Cell]] = {
    "absent": "park",
    "awaited": "park",
    "pending": "UNKNOWN_GRANT",
    "escalated": "UNKNOWN_GRANT",
    "decided": "revoke",
    "expired": "UNKNOWN_GRANT",
    "cancelled": "UNKNOWN_GRANT",
}
_VERDICT: Final[Mapping[Status, Cell]] = {
    "absent": "park",
    "awaited": "park",
    "pending": "NOT_OPEN",
    "escalated": "NOT_OPEN",
    "decided": "audit",
    "expired": "NOT_OPEN",
    "cancelled": "NOT_OPEN",
}
_EXCEPTION: Final[Mapping[Status, Cell]] = {
    status: "park" if status in ("absent", "awaited") else "exception" for status in _DECISION
}


def _with_grant(rule: Rule) -> Mapping[Status, Cell]:
    return {
        status: "UNKNOWN_GRANT" if status in ("absent", "awaited") else rule for status in _DECISION
    }


TRANSITIONS: Final[Mapping[str, Mapping[Status, Cell]]] = MappingProxyType(
    {
        "interrupt.requested": _REQUEST,
        "interrupt.cancelled": _CANCEL,
        "human.decision_command": _DECISION,
        "human.override_command": _OVERRIDE,
        "review_task.command": _TASK,
        "grant.revocation_command": _REVOCATION,
        "audit.verdict_command": _VERDICT,
        "policy.exception_command": _EXCEPTION,
        "grant.take": _with_grant("take"),
        "tool.executed": _with_grant("receive"),
        "tool.failed": _with_grant("receive"),
        "tool.in_doubt": _with_grant("receive"),
        "tool.denied": _with_grant("receive"),
        "outcome.reported": _with_grant("receive"),
        "notice.sent": _with_grant("receive"),
        "notice.failed": _with_grant("receive"),
    }
)

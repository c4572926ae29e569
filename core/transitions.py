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
    "open", "supersede", "reopen", "park", "decide", "cancel", "withdraw", "take", "receive",
    "not_offered",
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
    "decided": "NOT_OPEN",
    "expired": "TOO_LATE",
    "cancelled": "NOT_OPEN",
}
_NOT_OFFERED: Final[Mapping[Status, Cell]] = {
    status: "UNKNOWN_PACKAGE" if status in ("absent", "awaited") else "not_offered"
    for status in _DECISION
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
        "human.override_command": _NOT_OFFERED,
        "review_task.command": _NOT_OFFERED,
        "grant.revocation_command": _NOT_OFFERED,
        "audit.verdict_command": _NOT_OFFERED,
        "policy.exception_command": _NOT_OFFERED,
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

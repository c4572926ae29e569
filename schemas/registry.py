"""Which record stands for which `ce_type`, and on which topic it travels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.directory import (
    AgentRegistration,
    ClockTick,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.events import (
    CommandParked,
    CommandRefused,
    CommandUnparked,
    HumanDecisionEvent,
    InterruptStatusChanged,
    KeyAnswered,
    ReceiptRecorded,
    ReviewTaskEvent,
    ToolGateEvent,
)
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
from schemas.journal import JournalCheckpoint, JournalEntry
from schemas.model import Record
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.state import ControlPointState, PackageAccepted, PackageReplanned
from schemas.vocabulary import ExceptionChange, TaskChange

INPUT_TYPES: Final[Mapping[str, type[Record]]] = MappingProxyType(
    {
        "interrupt.requested": InterruptRequested,
        "interrupt.cancelled": InterruptCancelled,
        "human.decision_command": HumanDecisionCommand,
        "human.override_command": HumanOverrideCommand,
        "review_task.command": ReviewTaskCommand,
        "grant.revocation_command": GrantRevocationCommand,
        "audit.verdict_command": AuditVerdictCommand,
        "policy.exception_command": PolicyExceptionCommand,
        "grant.take": GrantTake,
        "tool.executed": ToolExecuted,
        "tool.failed": ToolFailed,
        "tool.in_doubt": ToolInDoubt,
        "tool.denied": ToolDenied,
        "outcome.reported": OutcomeReported,
        "notice.sent": NoticeSent,
        "notice.failed": NoticeFailed,
        "clock.tick": ClockTick,
    }
)
"""What the worker reads on its input topics. `interrupt.cancelled` is also what it publishes as
the status of a cancelled interrupt: on an output topic it is an `InterruptStatusChanged`."""

_STATUS_TYPES: Final = ("opened", "escalated", "deferred", "decided", "expired", "cancelled")
_GATE_TYPES: Final = ("opened", "denied", "revoked", "expired", "consumed")
_REVIEW_TASK_PREFIX: Final = "review_task."

OUTPUT_TYPES: Final[Mapping[str, type[Record]]] = MappingProxyType(
    {
        "human.decision_recorded": HumanDecisionEvent,
        **{f"interrupt.{change}": InterruptStatusChanged for change in _STATUS_TYPES},
        **{f"tool_gate.{gate}": ToolGateEvent for gate in _GATE_TYPES},
        **{f"{_REVIEW_TASK_PREFIX}{change}": ReviewTaskEvent for change in get_args(TaskChange)},
        **{
            f"policy_exception.{change}": PolicyExceptionChanged
            for change in get_args(ExceptionChange)
        },
        "reviewer.capped": ReviewerCapChanged,
        "command.refused": CommandRefused,
        "audit.journal_entry": JournalEntry,
        "audit.journal_checkpoint": JournalCheckpoint,
        "control_point.state": ControlPointState,
        "policy.document": PolicyDocument,
        "reviewer.authorization": ReviewerAuthorization,
        "agent.registration": AgentRegistration,
        "package.accepted": PackageAccepted,
        "package.replanned": PackageReplanned,
        "command.parked": CommandParked,
        "command.unparked": CommandUnparked,
        "key.answered": KeyAnswered,
        "receipt.recorded": ReceiptRecorded,
    }
)
"""What the worker, the directory commands and the balancer write."""

RECORD_TYPES: Final[Mapping[str, type[Record]]] = MappingProxyType({**OUTPUT_TYPES, **INPUT_TYPES})
"""Both. Where a name stands in both (`interrupt.cancelled`), the input's record."""

RECORDS: Final[Mapping[str, type[Record]]] = MappingProxyType(
    {
        model.__name__: model
        for model in sorted(
            {*INPUT_TYPES.values(), *OUTPUT_TYPES.values()}, key=lambda model: model.__name__
        )
    }
)
"""Every top-level record by its Avro name."""

_FIXED_TYPES: Final[Mapping[type[Record], str]] = MappingProxyType(
    {
        model: ce_type
        for ce_type, model in (*OUTPUT_TYPES.items(), *INPUT_TYPES.items())
        if model
        not in (InterruptStatusChanged, ToolGateEvent, ReviewTaskEvent, PolicyExceptionChanged)
    }
)

_TOPICS: Final[Mapping[type[Record], str]] = MappingProxyType(
    {
        InterruptRequested: "interrupt-requested",
        InterruptCancelled: "interrupt-requested",
        HumanDecisionCommand: "decision-command",
        HumanOverrideCommand: "decision-command",
        ReviewTaskCommand: "decision-command",
        GrantRevocationCommand: "decision-command",
        AuditVerdictCommand: "decision-command",
        PolicyExceptionCommand: "decision-command",
        GrantTake: "tool-execution",
        ToolExecuted: "tool-execution",
        ToolFailed: "tool-execution",
        ToolInDoubt: "tool-execution",
        ToolDenied: "tool-execution",
        OutcomeReported: "tool-execution",
        NoticeSent: "notice.sent",
        NoticeFailed: "notice.sent",
        HumanDecisionEvent: "human.decision_recorded",
        ToolGateEvent: "tool-gate",
        InterruptStatusChanged: "interrupt-status",
        ReviewTaskEvent: "review-task",
        CommandRefused: "command-refused",
        JournalEntry: "audit-journal",
        JournalCheckpoint: "audit-checkpoint",
        ControlPointState: "interrupt-state",
        PolicyDocument: "control-policy",
        ReviewerAuthorization: "reviewer-directory",
        AgentRegistration: "reviewer-directory",
        PolicyExceptionChanged: "review-context",
        ReviewerCapChanged: "review-context",
    }
)


def ce_type_of(record: Record) -> str:
    """The `ce_type` a record is published with."""
    match record:
        case InterruptStatusChanged():
            return f"interrupt.{_status_change(record)}"
        case ToolGateEvent():
            return f"tool_gate.{record.gate}"
        case ReviewTaskEvent():
            return f"{_REVIEW_TASK_PREFIX}{record.change}"
        case PolicyExceptionChanged():
            return f"policy_exception.{record.change}"
        case _:
            return _FIXED_TYPES[type(record)]


def models_of(ce_type: str) -> tuple[type[Record], ...]:
    """The records a `ce_type` may name: none, one, or both meanings of `interrupt.cancelled`."""
    return tuple(table[ce_type] for table in (INPUT_TYPES, OUTPUT_TYPES) if ce_type in table)


def topic_of(record: Record | type[Record]) -> str | None:
    """The topic of a record, without prefix. None: it stands in the journal only, or (ClockTick)
    goes to every input topic."""
    return _TOPICS.get(record if isinstance(record, type) else type(record))


def _status_change(record: InterruptStatusChanged) -> str:
    if record.final:
        return record.status
    if record.deferred_until is not None:
        return "deferred"
    return "opened" if record.status == "pending" else record.status

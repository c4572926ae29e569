"""What a judgement rests on besides the state and the record itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.authentication import Signer, TenantMismatch, Unauthenticated
from core.directory import TenantContext
from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.directory import PolicyExceptionChanged
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
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.state import PackageAccepted, PackageReplanned

ReviewerCommand = (
    HumanDecisionCommand
    | HumanOverrideCommand
    | ReviewTaskCommand
    | GrantRevocationCommand
    | AuditVerdictCommand
    | PolicyExceptionCommand
)
Receipt = (
    ToolExecuted
    | ToolFailed
    | ToolInDoubt
    | ToolDenied
    | OutcomeReported
    | NoticeSent
    | NoticeFailed
)
Input = InterruptRequested | InterruptCancelled | ReviewerCommand | GrantTake | Receipt
Event = (
    HumanDecisionEvent
    | InterruptStatusChanged
    | ToolGateEvent
    | ReviewTaskEvent
    | CommandRefused
    | PackageAccepted
    | PackageReplanned
    | PolicyExceptionChanged
    | CommandParked
    | CommandUnparked
    | KeyAnswered
    | ReceiptRecorded
)


DRAW_MAX: Final = 2**53 - 1
"""The largest draw; it is never sampled."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that is not in the record.

    now: effective append time of the input, by which it is judged. handled_at: the worker's clock,
    from which relative windows start when it is later. origin: `topic/partition/offset` of the
    original record; ids are derived from it. failure: why authentication failed, if it did. draw: 0 to
    DRAW_MAX, drawn with a secret; under the policy's share of it, the decision is audited. task_full:
    there is no room for another open interrupt. open_of_tenant, open_of_agent: open interrupts in this
    task, of the tenant and of the sender of a request; counted where the policy limits them.
    partitions: tasks that share the tenant.
    """

    now: datetime
    handled_at: datetime
    origin: str
    signer: Signer | None
    failure: Unauthenticated | TenantMismatch | None
    tenant: TenantContext
    park_ttl: timedelta
    unsigned: bool = False
    signature_present: bool = True
    draw: int = DRAW_MAX
    task_full: bool = False
    open_of_tenant: int = 0
    open_of_agent: int = 0
    partitions: int = 1

    @property
    def window_start(self) -> datetime:
        """Where relative windows start, so that nobody loses theirs while the worker was down."""
        return max(self.now, self.handled_at)


def refused_id(command: Input) -> str:
    """The id under which the sender finds the answer: command, interrupt, attempt or event."""
    match command:
        case InterruptRequested() | InterruptCancelled():
            return command.interrupt_id
        case GrantTake():
            return command.attempt_id
        case (
            ToolExecuted() | ToolFailed() | ToolInDoubt() | ToolDenied() | OutcomeReported()
            | NoticeSent() | NoticeFailed()
        ):  # fmt: skip
            return command.event_id
        case _:
            return command.command_id


def package_of(command: Input) -> str:
    """The decision package the record is about."""
    if isinstance(command, InterruptRequested):
        return command.package.decision_package_id
    return command.decision_package_id

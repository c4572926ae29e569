"""What can happen to a job: the events that `job.advance` knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from consumers.notification.mailer import Ambiguous, PermanentFailure, Sent, TemporaryFailure
from consumers.notification.notice import Notice
from producers.attempt import stable_attempt_id, taker_of
from schemas.events import ToolGateEvent


@dataclass(frozen=True, slots=True)
class Consumed:
    """Our own attempt took the grant."""

    execute_by: datetime


@dataclass(frozen=True, slots=True)
class Fit:
    """The grant was verified and its arguments are a notice."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Unfit:
    """The grant or its arguments are not to be acted on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The take was published."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The gate closed without us: another's consumed, revoked, expired, denied."""

    how: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The take was answered with a code."""

    code: str


@dataclass(frozen=True, slots=True)
class Looked:
    """The receipts were read: whether one of this attempt stands there."""

    found: bool


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The mail was given to the mailer, after "s" was kept."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The receipt is in Kafka."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The broker did not say whether it has the take or the receipt."""


Event = (
    Consumed | Fit | Unfit | Asked | Closed | Refused | Looked | HandedOver | Reported | Unpublished
    | Sent | TemporaryFailure | PermanentFailure | Ambiguous
)  # fmt: skip


def meaning(gate: ToolGateEvent, action_digest: str, executor_id: str) -> Consumed | Closed:
    """What a later event of a gate that was opened for `action_digest` means for this executor."""
    if gate.gate != "consumed" or gate.grant_id is None:
        return Closed(gate.gate)
    attempt_id = stable_attempt_id(gate.grant_id, executor_id)
    execute_by = gate.execute_by or gate.valid_until
    ours = (gate.grant_id, executor_id, attempt_id, action_digest)
    if taker_of(gate) != ours or execute_by is None:
        return Closed("taken_by_another")
    return Consumed(execute_by)

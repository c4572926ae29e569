"""A refusal is a fact with a code: how it is worded, and when it binds its idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.authority import Failure
from core.context import Context, Input, ReviewerCommand, package_of, refused_id
from core.identifiers import derived_id, key_digest
from core.limits import KEYS_PER_PACKAGE_MAX, TASK_KEYS_PER_PACKAGE_MAX
from schemas.canonical import record_digest
from schemas.commands import ReviewTaskCommand
from schemas.events import CommandRefused, KeyAnswered
from schemas.registry import ce_type_of
from schemas.state import ControlPointState
from schemas.vocabulary import Code

BINDING: Final[frozenset[Code]] = frozenset({"TOO_LATE", "NOT_OPEN", "STALE_PACKAGE_VERSION"})
"""Refusals that time cannot mend: the key keeps its answer."""


def refused(
    state: ControlPointState | None,
    command: Input,
    context: Context,
    failures: Sequence[Failure],
    *,
    first_event_id: str | None = None,
) -> CommandRefused:
    """The refusal of an input; `failures` in the order of the rules, at least one."""
    first = failures[0]
    authenticated = first.code != "UNAUTHENTICATED"
    stranger = not authenticated or first.code == "TENANT_MISMATCH"
    version = state.accepted.request.package.version if state and state.accepted else None
    return CommandRefused(
        event_id=derived_id(context.origin, "refused"),
        tenant_id=command.tenant_id,
        decision_package_id=package_of(command),
        command_id=refused_id(command),
        refused_type=ce_type_of(command),
        reviewer_id=command.reviewer_id
        if authenticated and isinstance(command, ReviewerCommand)
        else None,
        code=first.code,
        codes=list(dict.fromkeys(failure.code for failure in failures)),
        message="; ".join(failure.message for failure in failures),
        first_event_id=first_event_id,
        current_package_version=None if stranger else version,
        occurred_at=context.now,
    )


def key_answered(command: ReviewerCommand, context: Context, event_id: str) -> KeyAnswered:
    """The idempotency key of a command got its answer."""
    return KeyAnswered(
        tenant_id=command.tenant_id,
        decision_package_id=command.decision_package_id,
        key_digest=key_digest(_sender(command, context), command.idempotency_key),
        payload_digest=payload_digest(command),
        event_id=event_id,
    )


def payload_digest(command: ReviewerCommand) -> str:
    """What makes two commands the same payload: all but `command_id`."""
    return record_digest(command, without=frozenset({"command_id"}))


def answered_before(
    state: ControlPointState | None, command: ReviewerCommand, context: Context
) -> tuple[Failure, str] | None:
    """The idempotency rule: a duplicate or a conflict with the first answer's id, or None."""
    if state is None:
        return None
    digest = key_digest(_sender(command, context), command.idempotency_key)
    first = next((key for key in state.answered if key.key_digest == digest), None)
    if first is None:
        work = isinstance(command, ReviewTaskCommand)
        limit = TASK_KEYS_PER_PACKAGE_MAX if work else KEYS_PER_PACKAGE_MAX
        if len(state.answered) >= limit:
            full = f"the package has answered {limit} commands; start a new package"
            return Failure("PACKAGE_FULL", full), ""
        return None
    if first.payload_digest == payload_digest(command):
        message = f"this command was answered by event {first.event_id}; nothing has changed"
        return Failure("DUPLICATE_COMMAND", message), first.event_id
    message = "this idempotency key was used with another payload; take a new key"
    return Failure("IDEMPOTENCY_CONFLICT", message), first.event_id


def _sender(command: ReviewerCommand, context: Context) -> str:
    return context.signer.subject if context.signer else command.reviewer_id

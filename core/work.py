"""Work on the review task: claim, release, assign, comment, present, recuse (section 13).

None of it decides about the package or gives authority; it says who looks at it, and what they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, assert_never

from core.authority import (
    Claim,
    Failure,
    failures,
    holder_of,
    identities_of,
    personal_failures,
    present_holder,
)
from core.context import Context, Event
from core.deferral import resumed
from core.escalation import after, until_eligible
from core.facts import task_changed
from core.limits import RECUSED_MAX
from core.needs import Act
from core.refusals import key_answered
from core.standing import claim_of, other_version, out_of_time, refusal_of
from schemas.commands import ReviewTaskCommand
from schemas.events import ReviewTaskEvent
from schemas.state import ControlPointState
from schemas.vocabulary import TaskAction, TaskChange

_CHANGES: Final[Mapping[TaskAction, TaskChange]] = MappingProxyType(
    {
        "claim": "claimed",
        "release": "released",
        "assign": "assigned",
        "comment": "commented",
        "present": "presented",
        "recuse": "recused",
    }
)


def work_received(
    state: ControlPointState, command: ReviewTaskCommand, context: Context
) -> list[Event]:
    """The events of an authenticated command about the review task of an open interrupt."""
    stop = out_of_time(state, context) or other_version(state, command)
    found = [stop] if stop else _failures(state, command, context)
    if found:
        return refusal_of(state, command, context, found)
    event = _event(state, command, context)
    events: list[Event] = [event, key_answered(command, context, event.event_id)]
    if _meets_condition(state, command):
        events.append(
            resumed(
                state,
                origin=context.origin,
                now=context.now,
                actor=command.reviewer_id,
                comment=command.comment,
            )
        )
    if command.action == "recuse":
        events += until_eligible(after(state, events), context, origin=context.origin)
    return events


def _meets_condition(state: ControlPointState, command: ReviewTaskCommand) -> bool:
    """Whether the comment ends a deferral: one that waits for a condition, not only for a time."""
    return (
        (command.action, command.kind) == ("comment", "condition_met")
        and state.deferred_until is not None
        and bool((state.defer_condition or "").strip())
    )


def _failures(
    state: ControlPointState, command: ReviewTaskCommand, context: Context
) -> list[Failure]:
    act: Act = "claim" if command.action == "claim" else "take_part"
    found = failures(state, claim_of(command, act, context), context.tenant, context.now)
    held_by_other = _held_by_other(state, command, context)
    match command.action:
        case "claim" | "present":
            return found
        case "recuse":
            if len(state.recused) >= RECUSED_MAX:
                message = f"{RECUSED_MAX} reviewers have stepped aside; send a new package"
                found.append(Failure("PACKAGE_FULL", message))
        case "release":
            if held_by_other:
                found += _may_assign(state, command, context, found)
            elif holder_of(state, context.now) is None:
                found.append(Failure("NOT_ASSIGNEE", "nobody holds the task; claim it first"))
        case "assign":
            if command.assignee is None:
                message = "name in assignee whom the task goes to"
                return [*found, Failure("DECISION_NOT_ALLOWED", message)]
            if held_by_other:
                found += _may_assign(state, command, context, found)
            found = found or _unfit(state, command.assignee, context)
        case "comment":
            if not (command.comment or "").strip():
                found.append(Failure("COMMENT_REQUIRED", "the comment is empty; write one"))
        case _:
            assert_never(command.action)
    return found


def _held_by_other(state: ControlPointState, command: ReviewTaskCommand, context: Context) -> bool:
    holder = present_holder(state, context.tenant, context.now)
    return holder is not None and holder not in identities_of([command.reviewer_id], context.tenant)


def _may_assign(
    state: ControlPointState,
    command: ReviewTaskCommand,
    context: Context,
    found: list[Failure],
) -> list[Failure]:
    """NOT_ASSIGNEE: taking a held task from its holder asks for the scope to assign."""
    claim = claim_of(command, "assign", context)
    if found or not personal_failures(state, claim, context.tenant, context.now):
        return []
    assert state.accepted is not None
    message = (
        f"{holder_of(state, context.now)} holds the task; only they, or who has the scope "
        f"{state.accepted.plan.subject}:assign, may give it away"
    )
    return [Failure("NOT_ASSIGNEE", message)]


def _unfit(state: ControlPointState, assignee: str, context: Context) -> list[Failure]:
    """Why the assignee could not decide: a task goes only to who may."""
    claim = Claim(assignee, "claim")
    return [
        Failure(failure.code, f"the assignee: {failure.message}")
        for failure in failures(state, claim, context.tenant, context.now)
        if failure.code != "NOT_ASSIGNEE"
    ]


def _event(
    state: ControlPointState, command: ReviewTaskCommand, context: Context
) -> ReviewTaskEvent:
    assert state.accepted is not None
    holder, lease = holder_of(state, context.now), state.lease_until
    match command.action:
        case "claim":
            holder = command.reviewer_id
            lease = context.window_start + timedelta(seconds=state.accepted.plan.claim_for_s)
        case "assign":
            holder, lease = command.assignee, None
        case "release":
            holder, lease = None, None
        case "recuse":
            if not _held_by_other(state, command, context):
                holder, lease = None, None
        case "comment" | "present":
            pass
        case _:
            assert_never(command.action)
    return task_changed(
        state,
        origin=context.origin,
        change=_CHANGES[command.action],
        now=context.now,
        assigned_to=holder,
        actor=command.reviewer_id,
        comment=command.comment,
        lease_until=lease if holder is not None else None,
        command_id=command.command_id,
        comment_kind=command.kind or "note" if command.action == "comment" else None,
        presented_digest=command.presented_digest if command.action == "present" else None,
    )

"""After the loop: a sampled audit of the decision, blind to it, and its verdict (sections 2, 17).

The draw comes from outside, made with a secret and journalled, so that nobody can tell beforehand
which decision is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.authority import Failure, failures, identities_of
from core.context import DRAW_MAX, Context, Event
from core.facts import task_changed
from core.recording import decision_recorded
from core.refusals import key_answered
from core.standing import claim_of, other_version, refusal_of
from schemas.commands import AuditVerdictCommand
from schemas.events import InterruptStatusChanged
from schemas.state import ControlPointState

_AUDITED: Final = frozenset({"approve", "reject", "object", "override"})
"""Outcomes that stand; what goes back to the agent is decided again."""


def audit_opened(
    state: ControlPointState, events: Sequence[Event], context: Context
) -> list[Event]:
    """The audit task of a decision among `events`, if it is drawn; an override always is. `state`
    is the one after them."""
    decided = any(
        isinstance(event, InterruptStatusChanged)
        and event.status == "decided"
        and event.outcome in _AUDITED
        for event in events
    )
    if not decided or state.accepted is None or state.status != "decided":
        return []
    share = state.accepted.plan.audit_sample
    drawn = share >= 1.0 or context.draw < share * DRAW_MAX
    if not drawn and state.outcome != "override":
        return []
    return [
        task_changed(
            state,
            origin=context.origin,
            change="audit_opened",
            status="audit",
            now=context.now,
            required_role=state.accepted.plan.slots[0].role,
            comment="judge the package as if nobody had decided yet, then give a verdict",
        )
    ]


def verdict_received(
    state: ControlPointState, command: AuditVerdictCommand, context: Context
) -> list[Event]:
    """The verdict of the audit, by somebody who had no part in the decision."""
    stop = other_version(state, command)
    if stop is None and (state.audit is None or state.audit.closed):
        stop = Failure("NOT_OPEN", "no audit of this decision is open; there is nothing to judge")
    if stop is not None:
        return refusal_of(state, command, context, [stop])
    claim = claim_of(command, "audit_verdict", context)
    found = failures(state, claim, context.tenant, context.now)
    if identities_of(claim.persons, context.tenant) & set(state.deciders):
        message = "who decided does not audit it; another person must"
        found.append(Failure("SEPARATION_OF_DUTIES", message))
    if not command.comment.strip():
        found.append(Failure("COMMENT_REQUIRED", "a verdict says why; fill the comment"))
    if found:
        return refusal_of(state, command, context, found)
    event = decision_recorded(
        state,
        command,
        context,
        "audit_verdict",
        comment=command.comment,
        verdict=command.verdict,
    )
    closed = task_changed(
        state,
        origin=context.origin,
        change="audit_closed",
        status="closed",
        now=context.now,
        actor=command.reviewer_id,
    )
    return [event, key_answered(command, context, event.event_id), closed]

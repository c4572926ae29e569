"""The claims of a grant: what an executor checks offline. The core states them, the shell signs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from schemas.events import ToolGateEvent
from schemas.state import Approval, ControlPointState


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def approvals_behind(
    decision_event_ids: Collection[str], state: ControlPointState
) -> list[Approval]:
    """The approvals that a grant rests on: who overrode, then who approved."""
    given = [*([state.override.by] if state.override else []), *state.approvals]
    return [by for by in given if by.event_id in decision_event_ids]


def grant_claims(
    event: ToolGateEvent, state: ControlPointState, *, issuer: str
) -> dict[str, object]:
    """JWT claims (RFC 7519) of an opened gate; `aud` is the tool. Times are whole seconds."""
    assert event.gate == "opened"
    assert event.valid_until is not None
    return {
        "iss": issuer,
        "aud": event.tool_name,
        "sub": event.run_id,
        "tenant_id": event.tenant_id,
        "interrupt_id": event.interrupt_id,
        "decision_package_id": event.decision_package_id,
        "package_version": event.package_version,
        "effect_type": event.effect_type,
        "action_digest": event.action_digest,
        "approvers": [by.reviewer_id for by in approvals_behind(event.decision_event_ids, state)],
        "decision_event_ids": event.decision_event_ids,
        "jti": event.grant_id,
        "nbf": _seconds(event.occurred_at),
        "exp": _seconds(event.valid_until),
        "policy_version": event.policy_version,
    }

"""Permits as a guard gives them, for the demo's executors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producers.attempt import Attempt
from producers.grants import VerifiedGrant
from producers.guard import Permit
from schemas.canonical import action_digest, canonical_json
from tests import examples as e


def a_permit(
    number: int, tool: str, effect: str, args: Mapping[str, Any], *, tenant: str = e.TENANT
) -> Permit:
    """Grant `grant-<number>`, approved by the story's reviewer."""
    text = canonical_json(dict(args))
    digest = action_digest(tool, effect, text)
    gate = e.a_gate_event(
        tenant_id=tenant,
        decision_package_id=f"pkg-{number}",
        grant_id=f"grant-{number}",
        tool_name=tool,
        effect_type=effect,
        args_json=text,
        action_digest=digest,
    )
    grant = VerifiedGrant(
        grant_id=f"grant-{number}",
        tool_name=tool,
        args=args,
        action_digest=digest,
        expires_at=e.at(3600),
        gate=gate,
        approvers=(e.REVIEWER,),
        decision_event_ids=("decision-1",),
    )
    return Permit(args, grant, Attempt(gate, f"att-{number}", e.EXECUTOR), e.at(3600))

"""Permits as a guard gives them, for the demo's executors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producers.attempt import Attempt
from producers.grants import VerifiedGrant
from producers.guard import Permit
from schemas.canonical import action_digest, canonical_json
from tests import examples as e


def memory_args(number: int = 1, **over: Any) -> dict[str, Any]:
    """A memory as its canonical arguments have it: nothing that is null."""
    form: dict[str, Any] = {
        "package_id": f"mem-{number}",
        "proposed_memory": "Prefers letters to mail.",
        "subject_type": "customer",
        "subject_id": "123",
        "source_refs": ["call:9"],
        "sensitivity": "personal",
        "retention": "2y",
        "proposed_by": e.AGENT,
    }
    return form | over


def payment_args(number: int = 1, **over: Any) -> dict[str, Any]:
    """The arguments of a payment."""
    form = {"payment_id": f"PAY-{number}", "payee": "ACME", "amount": "120.50", "currency": "EUR"}
    return form | over


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

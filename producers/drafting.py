"""A request from what an agent knows, with sensible defaults: ids, canonical texts, lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from schemas.canonical import canonical_json
from schemas.requests import DecisionPackage, InterruptRequested, ToolCall
from schemas.vocabulary import AuthorityTransition, RiskLevel


def new_request(
    *,
    agent_id: str,
    tenant_id: str,
    title: str,
    proposed_action: str,
    rationale: str,
    risk_level: RiskLevel,
    confidence: float,
    evidence_refs: Sequence[str],
    policy_basis: Sequence[str],
    known_uncertainties: Sequence[str] = (),
    tool_name: str | None = None,
    effect_type: str | None = None,
    args: Mapping[str, Any] | None = None,
    preview: Mapping[str, Any] | None = None,
    authority_transition: AuthorityTransition | None = None,
    reason: str | None = None,
    requested_by: str | None = None,
    run_id: str | None = None,
    thread_id: str | None = None,
    checkpoint_id: str | None = None,
    decision_package_id: str | None = None,
    interrupt_id: str | None = None,
    version: int = 1,
    **package: Any,
) -> InterruptRequested:
    """A first request, or the next `version` of one: then name the same decision_package_id.

    args: the tool's arguments, bound as they are here. preview: what would change; the arguments
    when not given. package: further fields of the decision package. authority_transition:
    draft_to_send where there is a tool call and nothing else is said. Raises ValueError.
    """
    call = None
    if tool_name is not None:
        if effect_type is None or args is None:
            raise ValueError("a tool call needs effect_type and args")
        call = ToolCall(
            tool_name=tool_name, effect_type=effect_type, args_json=canonical_json(dict(args))
        )
        authority_transition = authority_transition or "draft_to_send"
    run = run_id or f"run-{uuid4()}"
    return InterruptRequested(
        interrupt_id=interrupt_id or f"int-{uuid4()}",
        tenant_id=tenant_id,
        run_id=run,
        thread_id=thread_id or run,
        checkpoint_id=checkpoint_id,
        reason=reason or title,
        requested_by=requested_by or agent_id,
        authority_transition=authority_transition,
        package=DecisionPackage(
            decision_package_id=decision_package_id or f"pkg-{uuid4()}",
            tenant_id=tenant_id,
            run_id=run,
            title=title,
            proposed_action=proposed_action,
            proposed_by=agent_id,
            rationale=rationale,
            evidence_refs=list(evidence_refs),
            risk_level=risk_level,
            confidence=confidence,
            known_uncertainties=list(known_uncertainties),
            policy_basis=list(policy_basis),
            side_effect_preview=canonical_json(
                dict(preview if preview is not None else args or {})
            ),
            version=version,
            tool_call=call,
            **package,
        ),
    )

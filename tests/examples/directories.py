"""The policy and the people."""

from __future__ import annotations

from typing import Any

from schemas.canonical import canonical_json
from schemas.directory import AgentRegistration, Delegation, PolicyDocument, ReviewerAuthorization
from tests.examples.story import AGENT, EFFECT, NOW, POLICY_VERSION, REQUESTER, REVIEWER, TENANT, at


def a_reviewer(**over: Any) -> ReviewerAuthorization:
    """A senior reviewer who may decide on notices."""
    form: dict[str, Any] = {
        "reviewer_id": REVIEWER,
        "roles": ["senior_reviewer"],
        "tenant_id": TENANT,
        "scopes": ["notice:approve", "notice:reject", "notice:revise"],
        "max_risk_level": "high",
        "team": "north",
        "active_until": at(300 * 86_400),
        "directory_digest": "ef" * 32,
    }
    return ReviewerAuthorization(**(form | over))


def a_delegation(**over: Any) -> Delegation:
    """A week's delegation to r.lind."""
    form: dict[str, Any] = {"to": "r.lind", "valid_from": NOW, "valid_until": at(7 * 86_400)}
    return Delegation(**(form | over))


def an_agent(**over: Any) -> AgentRegistration:
    """The drafting agent."""
    form: dict[str, Any] = {
        "agent_id": AGENT,
        "tenant_id": TENANT,
        "owner": "r.boss",
        "may_request_for": [REQUESTER],
        "directory_digest": "ef" * 32,
    }
    return AgentRegistration(**(form | over))


def a_policy_form(**over: Any) -> dict[str, Any]:
    """A policy as its file says it: notices need one senior reviewer, then the head."""
    return {
        "tenant_id": TENANT,
        "policy_version": POLICY_VERSION,
        "unsigned_requests": "refuse",
        "role_order": ["reviewer", "senior_reviewer", "head_of_enforcement"],
        "defaults": {
            "decide_within": "24h",
            "on_timeout": "escalate",
            "escalation": [{"role": "head_of_enforcement", "within": "24h"}],
            "defer_max": "7d",
            "grant_valid_for": "48h",
            "execute_within": "1h",
            "uncertainties_required_below": 0.8,
        },
        "tools": [
            {
                "tool": "notice.*",
                "effect_type": EFFECT,
                "min_risk": "medium",
                "min_reviewer_role": "senior_reviewer",
                "approval_required": True,
            }
        ],
        "rules": [
            {
                "name": "notices",
                "when": {"tools": ["notice.*"], "effect_types": [EFFECT]},
                "subject": "notice",
                "mode": "in_the_loop",
                "approvals": [{"role": "senior_reviewer", "scope": "notice:approve"}],
            }
        ],
    } | over


def a_policy_document(**over: Any) -> PolicyDocument:
    """The policy as it stands on control-policy."""
    form: dict[str, Any] = {
        "tenant_id": TENANT,
        "policy_version": POLICY_VERSION,
        "document_json": canonical_json(a_policy_form()),
    }
    return PolicyDocument(**(form | over))

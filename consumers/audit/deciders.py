"""Who decided what, for whom and why; what an override replaced; what the audit afterwards said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

from consumers.audit.history import Fact
from schemas.canonical import record_json
from schemas.events import HumanDecisionEvent, ReviewTaskEvent
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import RecordedDecision

_DID: Final[dict[RecordedDecision, str]] = {
    "approve": "approved",
    "reject": "rejected",
    "revise": "asked for a revision",
    "request_more_evidence": "asked for more evidence",
    "escalate": "escalated",
    "defer": "deferred",
    "object": "objected",
    "override": "overrode",
    "revoke": "revoked the grant",
    "audit_verdict": "audited",
    "grant_exception": "granted a policy exception",
    "revoke_exception": "revoked a policy exception",
}
"""Each decision as a fact."""


def decisions(facts: Sequence[Fact]) -> list[HumanDecisionEvent]:
    """Every recorded decision."""
    return [fact.event for fact in facts if isinstance(fact.event, HumanDecisionEvent)]


def decided(facts: Sequence[Fact], state: ControlPointState) -> list[dict[str, Any]]:
    """Who decided what, each in words and in full."""
    counted = set(state.grant.decision_event_ids) if state.grant else set[str]()
    return [
        {
            "in_words": in_words(event),
            "reviewer_id": event.reviewer_id,
            "decision": event.decision,
            "on_behalf_of": event.on_behalf_of,
            "comment": event.comment,
            "reviewer_rationale": event.reviewer_rationale,
            "package_version": event.package_version,
            "final": event.final,
            "opened_the_gate": event.event_id in counted,
            "quorum": record_json(event.quorum),
            "exceptions_used": event.exceptions_used,
            "kid": event.kid,
            "event_id": event.event_id,
            "occurred_at": rfc3339(event.occurred_at),
        }
        for event in decisions(facts)
    ]


def in_words(event: HumanDecisionEvent) -> str:
    """A decision in one sentence: who, for whom, what, and on what it rests."""
    who = event.reviewer_id
    if event.on_behalf_of is not None:
        who += f", standing in for {event.on_behalf_of},"
    said = f"{who} {_DID[event.decision]}{_object(event)}"
    if event.exceptions_used:
        said += f"; it rests on the policy exception {', '.join(event.exceptions_used)}"
    return said


def _object(event: HumanDecisionEvent) -> str:
    """What exactly, where the decision alone does not say it."""
    match event.decision:
        case "override":
            assert event.override is not None
            return f": {event.override.override_decision}; because {event.override.override_reason}"
        case "approve" if event.override is not None:
            return f" the override: {event.override.override_decision}"
        case "defer":
            until = f" until {rfc3339(event.defer_until)}" if event.defer_until else ""
            return until + (f", or until: {event.defer_condition}" if event.defer_condition else "")
        case "request_more_evidence" if event.evidence_requested:
            return f": {', '.join(event.evidence_requested)}"
        case "audit_verdict":
            return f" the decision: {event.verdict}; {event.comment}"
        case "revoke":
            return f" {event.grant_id}: {event.comment}"
        case "grant_exception" | "revoke_exception":
            terms = event.policy_exception
            return f" {terms.exception_id} from {terms.policy_id}" if terms else ""
        case (
            "approve" | "reject" | "revise" | "escalate" | "object" | "request_more_evidence"
        ):  # fmt: skip
            return ""
        case _:
            assert_never(event.decision)


def overrides(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Each override: both actions, the reason, by whom, and who confirmed it."""
    events = decisions(facts)
    return [
        record_json(event.override)
        | {
            "reviewer_id": event.reviewer_id,
            "overriding_action_digest": event.action_digest,
            "confirmed_by": next(
                (
                    other.reviewer_id
                    for other in events
                    if other.decision == "approve" and other.override == event.override
                ),
                None,
            ),
        }
        for event in events
        if event.decision == "override" and event.override is not None
    ]


def audits(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Each audit after a decision, and its verdict if it has one."""
    verdicts = [event for event in decisions(facts) if event.decision == "audit_verdict"]
    return [
        {
            "opened_at": rfc3339(event.occurred_at),
            "verdict": verdict.verdict if verdict else "open",
            "by": verdict.reviewer_id if verdict else None,
            "comment": verdict.comment if verdict else None,
        }
        for fact in facts
        if isinstance(event := fact.event, ReviewTaskEvent) and event.change == "audit_opened"
        for verdict in [next((v for v in verdicts if v.interrupt_id == event.interrupt_id), None)]
    ]


def revocations(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Who took a grant back, and why."""
    return [
        {"reviewer_id": event.reviewer_id, "grant_id": event.grant_id, "reason": event.comment}
        for event in decisions(facts)
        if event.decision == "revoke"
    ]


def exceptions(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Policy exceptions that were granted or revoked here."""
    return [
        record_json(event.policy_exception)
        | {"decision": event.decision, "reviewer_id": event.reviewer_id}
        for event in decisions(facts)
        if event.policy_exception is not None
    ]

"""The nine questions of an audit (requirements, section 24), answered from the journal alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from consumers.audit.aftermath import executed, missing, reversed_later, verdict_of
from consumers.audit.deciders import decided, decisions, exceptions
from consumers.audit.history import Fact, History
from consumers.audit.timeline import timeline
from core.actions import action_of
from core.evolve import evolve
from core.lineage import barred
from schemas.canonical import record_json
from schemas.commands import HumanDecisionCommand
from schemas.events import HumanDecisionEvent, ReviewTaskEvent
from schemas.headers import rfc3339
from schemas.state import ControlPointState, PackageAccepted, PackageReplanned

QUESTIONS: Final = {
    "what_was_proposed": "What was proposed?",
    "by_whom": "By whom or what?",
    "on_what_evidence": "Based on what evidence?",
    "what_the_human_saw": "What did the human see?",
    "who_approved": "Who approved?",
    "under_what_authority": "Under what authority?",
    "what_happened_after": "What happened after approval?",
    "was_it_executed": "Was the action actually executed?",
    "was_it_reversed": "Was it later overridden or reversed?",
}
"""Name in JSON and question; in the order of the requirements."""


class UnknownPackage(Exception):
    """The journal holds no accepted request for the package; the message names it."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The answers, JSON-ready, by the names of QUESTIONS; and what is still open, in words."""

    tenant_id: str
    decision_package_id: str
    state: ControlPointState
    answers: dict[str, Any]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every question has its last answer."""
        return not self.missing

    def form(self) -> dict[str, Any]:
        """The audit as JSON."""
        return {
            "tenant_id": self.tenant_id,
            "decision_package_id": self.decision_package_id,
            "complete": self.complete,
            "missing": list(self.missing),
            "status": self.state.status,
            "outcome": self.state.outcome,
            "gate": self.state.gate,
            "answers": self.answers,
        }


def audited(history: History) -> Audit:
    """Answers the nine questions about a package. Raises UnknownPackage."""
    facts = list(history.facts())
    versions = [fact for fact in facts if isinstance(fact.event, PackageAccepted)]
    state = _folded(facts)
    if state is None or not versions:
        raise UnknownPackage(
            f"{history.tenant_id}/{history.decision_package_id}: the journal has no accepted "
            "request for it; check the id and --tenant"
        )
    answers = {
        "what_was_proposed": _proposed(versions),
        "by_whom": _by_whom(versions[-1]),
        "on_what_evidence": _evidence(versions[-1]),
        "what_the_human_saw": _seen(history, facts),
        "who_approved": decided(facts, state),
        "under_what_authority": _authority(facts, state),
        "what_happened_after": timeline(facts),
        "was_it_executed": executed(history, facts, state),
        "was_it_reversed": reversed_later(history, facts),
    }
    return Audit(
        history.tenant_id,
        history.decision_package_id,
        state,
        answers,
        tuple(missing(state, verdict_of(state))),
    )


def _folded(facts: Sequence[Fact]) -> ControlPointState | None:
    state: ControlPointState | None = None
    for fact in facts:
        state = evolve(state, fact.event)
    return state


def _accepted(fact: Fact) -> PackageAccepted:
    assert isinstance(fact.event, PackageAccepted)
    return fact.event


def _proposed(versions: Sequence[Fact]) -> dict[str, Any]:
    accepted = _accepted(versions[-1])
    request, package = accepted.request, accepted.request.package
    call = action_of(package)
    return {
        "title": package.title,
        "proposed_action": package.proposed_action,
        "package_version": package.version,
        "package_digest": accepted.package_digest,
        "risk_level": package.risk_level,
        "effective_risk": accepted.plan.effective_risk,
        "authority_transition": request.authority_transition,
        "tool_call": record_json(call) if call else None,
        "action_digest": accepted.action_digest,
        "side_effect_preview": package.side_effect_preview,
        "consequence": package.consequence,
        "does_not_authorize": package.does_not_authorize,
        "versions": [
            {
                "version": _accepted(fact).request.package.version,
                "interrupt_id": _accepted(fact).request.interrupt_id,
                "package_digest": _accepted(fact).package_digest,
                "requested_at": rfc3339(fact.at),
            }
            for fact in versions
        ],
    }


def _by_whom(fact: Fact) -> dict[str, Any]:
    accepted, context = _accepted(fact), fact.entry.context
    request, package, lineage = accepted.request, accepted.request.package, accepted.lineage
    return {
        "proposed_by": package.proposed_by,
        "signed_by": context.signer_id,
        "kid": context.kid,
        "requested_by": request.requested_by,
        "drafted_by": package.drafted_by or package.proposed_by,
        "owners": lineage.owners,
        "contributors": [record_json(one) for one in package.contributors],
        "claimed_not_verified": lineage.claimed,
        "may_not_approve": sorted(barred(lineage)),
        "run_id": request.run_id,
        "thread_id": request.thread_id,
    }


def _evidence(fact: Fact) -> dict[str, Any]:
    package = _accepted(fact).request.package
    return {
        "evidence_refs": package.evidence_refs,
        "evidence": [record_json(one) for one in package.evidence],
        "rationale": package.rationale,
        "confidence": package.confidence,
        "known_uncertainties": package.known_uncertainties,
        "alternatives": package.alternatives,
        "policy_basis": package.policy_basis,
        "dissents": [record_json(one) for one in package.dissents],
    }


def _seen(history: History, facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """What each decider named as seen and had been shown; then who was shown it and did not decide.

    What was shown only after a decision is not what the decider saw.
    """
    commands = {c.command_id: c for _, c in history.inputs(HumanDecisionCommand)}
    seen = []
    for event in decisions(facts):
        command = commands.get(event.command_id)
        seen.append(
            {
                "reviewer_id": event.reviewer_id,
                "decision": event.decision,
                "package_version": event.package_version,
                "package_digest": event.package_digest,
                "action_digest_named": command.action_digest if command else None,
                "presented_at": rfc3339(event.presented_at) if event.presented_at else None,
                "presented_digest": event.presented_digest,
                "showing": "recorded"
                if event.presented_at
                else "not recorded; the version is what they named",
            }
        )
    deciders = {(event.reviewer_id, event.package_version) for event in decisions(facts)}
    shown = [fact.event for fact in facts if isinstance(fact.event, ReviewTaskEvent)]
    return seen + [
        {
            "reviewer_id": task.actor,
            "decision": None,
            "package_version": task.package_version,
            "presented_at": rfc3339(task.occurred_at),
            "presented_digest": task.presented_digest,
            "showing": "recorded; they did not decide",
        }
        for task in shown
        if task.change == "presented" and (task.actor, task.package_version) not in deciders
    ]


def _authority(facts: Sequence[Fact], state: ControlPointState) -> dict[str, Any]:
    assert state.accepted is not None
    plan = state.accepted.plan
    return {
        "policy_version": plan.policy_version,
        "rule": plan.rule,
        "mode": plan.mode,
        "slots": [record_json(slot) for slot in plan.slots],
        "escalations": state.ladder_step,
        "replanned": [
            {
                "policy_version": fact.event.plan.policy_version,
                "rule": fact.event.plan.rule,
                "mode": fact.event.plan.mode,
                "at": rfc3339(fact.at),
            }
            for fact in facts
            if isinstance(fact.event, PackageReplanned)
        ],
        "intake_exceptions": plan.exceptions,
        "exceptions_decided_here": exceptions(facts),
        "deciders": [
            {
                "reviewer_id": event.reviewer_id,
                "on_behalf_of": event.on_behalf_of,
                "roles": event.reviewer_roles,
                "exceptions_used": event.exceptions_used,
                "directory_offset": fact.entry.context.directory_offset,
                "review_context_offset": fact.entry.context.review_context_offset,
            }
            for fact in facts
            if isinstance(event := fact.event, HumanDecisionEvent)
        ],
    }

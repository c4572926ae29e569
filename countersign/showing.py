"""One control point for a reviewer's eyes: all that a decision needs on one page (section 16).

What the agent says and what reviewers say is set in, inert, and never mixed with what we know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consumers.audit.blinding import BLIND, verdict_command
from consumers.audit.excepted import Excepted
from core.quorum import current_slots
from countersign.offers import Offer
from countersign.output import outline, say
from schemas.canonical import record_json
from schemas.headers import rfc3339
from schemas.state import ControlPointState, GrantedException, Refusal

_KNOWN: Final = (
    "outcome",
    "package_version",
    "risk_level",
    "priority",
    "mode",
    "authority_transition",
    "required_role",
    "decide_by",
    "decide_by_source",
    "deferred_until",
    "defer_condition",
    "assigned_to",
    "lease_until",
    "package_digest",
    "action_digest",
)
_FIRST: Final = (
    "title",
    "proposed_action",
    "reason",
    "consequence",
    "does_not_authorize",
    "risk_level",
    "confidence",
    "known_uncertainties",
    "dissents",
    "rationale",
    "evidence_refs",
    "evidence",
    "policy_basis",
    "alternatives",
    "side_effect_preview",
    "draft",
    "memory",
    "tool_call",
)
"""What a reviewer asks first, in that order; the rest of the request follows."""
_MISSED: Final = frozenset(
    {
        "consequence",
        "does_not_authorize",
        "known_uncertainties",
        "dissents",
        "evidence_refs",
        "policy_basis",
    }
)
"""Of these it matters too that there are none."""
_OF_THE_DECISION: Final = ("outcome", "gate", "approvals", "override", "grant", "refusals")


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown. blind: an audit is open, and the state is without what was decided."""

    state: ControlPointState
    offered: Sequence[Offer]
    excepted: Sequence[Excepted]
    blind: bool


def whole(shown: Shown) -> dict[str, Any]:
    """All there is, as JSON; what is left out is missing, so that it passes for no truth."""
    hidden = _OF_THE_DECISION if shown.blind else ()
    return {name: value for name, value in _form(shown).items() if name not in hidden}


def _form(shown: Shown) -> dict[str, Any]:
    state, accepted = shown.state, shown.state.accepted
    return _head(state) | {
        "blind": shown.blind,
        "decide_by_source": state.decide_by_source,
        "slots": [record_json(slot) for slot in current_slots(state)] if accepted else [],
        "offers": [offer.form() for offer in shown.offered],
        "policy_exceptions": [one.form() for one in shown.excepted],
        "assigned_to": state.assigned_to,
        "lease_until": _time(state.lease_until),
        "deferred_until": _time(state.deferred_until),
        "defer_condition": state.defer_condition,
        "presented": [record_json(one) for one in state.presented],
        "recused": state.recused,
        "comments": [record_json(comment) for comment in state.comments],
        "exceptions": [record_json(exception) for exception in state.exceptions],
        "override": record_json(state.override) if state.override else None,
        "audit": record_json(state.audit) if state.audit else None,
        "request": record_json(accepted.request) if accepted else None,
        "package_digest": accepted.package_digest if accepted else None,
        "action_digest": accepted.action_digest if accepted else None,
        "plan": record_json(accepted.plan) if accepted else None,
        "lineage": record_json(accepted.lineage) if accepted else None,
        "approvals": [record_json(approval) for approval in state.approvals],
        "grant": record_json(state.grant) if state.grant else None,
        "refusals": [record_json(refusal) for refusal in state.refusals],
        "waiting_commands": [parked.command_id for parked in state.parked],
    }


def headed(state: ControlPointState, *, blind: bool) -> None:
    """The line that names the control point and says where it stands."""
    name = f"{state.tenant_id}/{state.decision_package_id}"
    if not blind:
        say(f"{name}: {state.status}, gate {state.gate}")
        return
    say(f"{name}: {BLIND}; {verdict_command(state)}")
    say("what was decided is left out; --unblind shows it")


def page(shown: Shown) -> None:
    """The page: what we know, what people did and say, what the agent says, what can be decided."""
    state, form = shown.state, whole(shown)
    headed(state, blind=shown.blind)
    say("the system knows")
    for name in _KNOWN:
        if form.get(name) is not None:
            say(f"  {name}: {form[name]}")
    for slot in form["slots"]:
        team = ", of a team of its own" if slot["distinct_team"] else ""
        say(f"  asks for {slot['role']} with {slot['scope']}{team}")
    for one in shown.excepted:
        say(f"  {one.line()}")
    _review(state)
    for refusal in state.refusals:
        say(f"  {refused(refusal)}")
    _reviewers_say(state)
    if state.accepted is not None:
        say("the agent says")
        _set_in(_in_order(form["request"]))
    _offers(state, shown.offered)


def refused(refusal: Refusal) -> str:
    """A refusal in a line."""
    who = f" of {refusal.reviewer_id}" if refusal.reviewer_id else ""
    return f"refused: {refusal.command_id}{who}: {refusal.code}"


def _head(state: ControlPointState) -> dict[str, Any]:
    accepted = state.accepted
    request = accepted.request if accepted else None
    return {
        "tenant_id": state.tenant_id,
        "decision_package_id": state.decision_package_id,
        "interrupt_id": request.interrupt_id if request else None,
        "package_version": request.package.version if request else None,
        "title": request.package.title if request else None,
        "status": state.status,
        "outcome": state.outcome,
        "gate": state.gate,
        "risk_level": accepted.plan.effective_risk if accepted else None,
        "mode": accepted.plan.mode if accepted else None,
        "priority": accepted.plan.priority if accepted else None,
        "authority_transition": accepted.plan.authority_transition if accepted else None,
        "required_role": state.required_role,
        "decide_by": _time(state.decide_by),
        "created_at": _time(state.created_at),
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def _review(state: ControlPointState) -> None:
    """What people have done so far."""
    for shown in state.presented:
        say(f"  shown to {shown.reviewer_id} at {rfc3339(shown.presented_at)}")
    for reviewer_id in state.recused:
        say(f"  stepped aside: {reviewer_id}")
    for approval in state.approvals:
        say(f"  approved by {approval.reviewer_id}, event {approval.event_id}")
    if state.audit is not None:
        end = "its verdict is given" if state.audit.closed else "it waits for a verdict"
        say(f"  audited since {rfc3339(state.audit.opened_at)}: {end}")


def _reviewers_say(state: ControlPointState) -> None:
    """Their comments on every version, overrides and exceptions, in their own words."""
    if state.comments or state.exceptions or state.override:
        say("reviewers say")
    for comment in state.comments:
        about = f"{comment.kind} on version {comment.version}"
        say(f"  {comment.by} at {rfc3339(comment.occurred_at)}, {about}: {comment.text}")
    if state.override is not None:
        say(f"  override by {state.override.by.reviewer_id}, event {state.override.by.event_id}")
        _set_in(record_json(state.override.record), by=4)
        say(f"    action_digest: {state.override.action_digest}")
    for exception in state.exceptions:
        _exception(exception)


def _exception(exception: GrantedException) -> None:
    terms = exception.terms
    until = "ended" if exception.ended else f"until {rfc3339(terms.expires_at)}"
    say(f"  exception {terms.exception_id} of {terms.policy_id}, {until}, "
        f"granted by {exception.approver_id}")  # fmt: skip
    fields = ("kind", "applies_to", "requested_exception", "justification")
    _set_in({name: getattr(terms, name) for name in fields}, by=4)


def _in_order(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with what a reviewer asks first at its top."""
    outside = {name: value for name, value in request.items() if name != "package"}
    fields: dict[str, Any] = {**outside, **request["package"]}
    first = {
        name: fields.pop(name, None) or ("none is named" if name in _MISSED else None)
        for name in _FIRST
    }
    return first | fields


def _set_in(value: Mapping[str, Any], by: int = 2) -> None:
    for line in outline(dict(value)):
        print(f"{' ' * by}{line}")


def _offers(state: ControlPointState, offered: Sequence[Offer]) -> None:
    if not offered:
        say("nothing is to be decided now")
        return
    assert state.accepted is not None
    say("may be decided now, with --tenant "
        f"{state.tenant_id} --version {state.accepted.request.package.version} --as … --key …")  # fmt: skip
    for offer in offered:
        say(f"  {offer.command}")
        say(f"    by {', '.join(offer.people) or 'nobody in the directory'}")

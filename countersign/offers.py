"""What may be decided at a control point now, with which command, and by whom.

Nothing of the rules is repeated here: they are asked, with a command of each kind that has all the
words it needs, once for somebody unknown (is it offered at all?) and once for each reviewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from core.authentication import Signer
from core.context import Context, ReviewerCommand
from core.decide import decide
from core.directory import TenantContext
from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
)
from schemas.events import CommandRefused
from schemas.state import ControlPointState
from schemas.vocabulary import Code

_NOT_OFFERED: Final[frozenset[Code]] = frozenset(
    {
        "NOT_OPEN",
        "TOO_LATE",
        "DECISION_NOT_ALLOWED",
        "GRANT_TAKEN",
        "GRANT_REVOKED",
        "GRANT_EXPIRED",
        "UNKNOWN_GRANT",
    }
)
"""Refusals that are the control point's, not the person's."""
_PROBE: Final = "-"
"""Stands for an id or a word where only its being there counts."""
_DECISIONS: Final[Mapping[str, str]] = {
    "approve": "",
    "reject": "",
    "revise": " --comment TEXT",
    "request_more_evidence": " --evidence REF",
    "escalate": "",
    "defer": " --until TIME",
}
_Head = Mapping[str, Any]
_Made = Callable[[_Head], ReviewerCommand]


@dataclass(frozen=True, slots=True)
class Offer:
    """An act that this control point takes now. command: what is typed, beside what all commands
    share. people: who may, by the directory; none: nobody."""

    act: str
    command: str
    people: tuple[str, ...]

    def form(self) -> dict[str, Any]:
        """The offer as JSON."""
        return {"act": self.act, "command": self.command, "people": list(self.people)}


def offers(state: ControlPointState, tenant: TenantContext, now: datetime) -> list[Offer]:
    """Every act that the control point takes now, in the order in which people think of them."""
    if state.accepted is None:
        return []
    reviewers = sorted(name for name, one in tenant.reviewers.items() if not one.removed)
    found = []
    for act, command, make in _acts(state, now):
        if _NOT_OFFERED & _codes(state, make, _PROBE, tenant, now):
            continue
        people = [name for name in reviewers if not _codes(state, make, name, tenant, now)]
        found.append(Offer(act, command, tuple(people)))
    return found


def _codes(
    state: ControlPointState, make: _Made, reviewer_id: str, tenant: TenantContext, now: datetime
) -> set[Code]:
    """Why the rules would refuse the command; nothing is kept of it."""
    assert state.accepted is not None
    head = {
        "command_id": _PROBE,
        "tenant_id": state.tenant_id,
        "decision_package_id": state.decision_package_id,
        "reviewer_id": reviewer_id,
        "expected_package_version": state.accepted.request.package.version,
        "idempotency_key": f"offers/{_PROBE}",
    }
    # The key is one that nobody has: whose key would sign is not known here.
    signer = Signer(f"offers/{reviewer_id}", "reviewer", reviewer_id, state.tenant_id)
    context = Context(
        now=now,
        handled_at=now,
        origin=f"offers/{_PROBE}",
        signer=signer,
        failure=None,
        tenant=tenant,
        park_ttl=timedelta(0),
    )
    first = decide(state, make(head), context)[0]
    return set(first.codes) if isinstance(first, CommandRefused) else set()


def _acts(state: ControlPointState, now: datetime) -> Iterator[tuple[str, str, _Made]]:
    """Every act there is, what is typed for it, and how its command is made."""
    assert state.accepted is not None
    plan = state.accepted.plan
    words = " --rationale TEXT" if plan.mode == "human_led" else ""
    words += " --comment TEXT" if plan.comment_required else ""
    for name, more in _DECISIONS.items():
        typed = f"decide --decision {name}{words if name == 'approve' else more}"
        yield name, typed, _decision(decision=name, defer_until=_soon(name, now))
    yield "object", "object", _decision(decision="object")
    if state.override is not None:
        digest = state.override.action_digest
        typed = f"decide --decision approve --action-digest {digest}{words}"
        yield "confirm_override", typed, _decision(decision="approve", action_digest=digest)
    yield (
        "override",
        "override --recommended TEXT --instead TEXT --reason TEXT --evidence REF",
        (
            lambda head: HumanOverrideCommand(
                **head,
                original_recommendation=_PROBE,
                override_decision=_PROBE,
                override_reason=_PROBE,
                evidence_refs=[_PROBE],
            )
        ),
    )
    yield (
        "revoke",
        "revoke --reason TEXT",
        (lambda head: GrantRevocationCommand(**head, reason=_PROBE)),
    )
    yield (
        "audit_verdict",
        "verdict --verdict agree|disagree|defect --comment TEXT",
        (lambda head: AuditVerdictCommand(**head, verdict="agree", comment=_PROBE)),
    )
    yield from _exceptions(state)


def _exceptions(state: ControlPointState) -> Iterator[tuple[str, str, _Made]]:
    yield "grant_exception", "exception grant", _exception(action="grant", exception_id="offers")
    for one in state.exceptions:
        if not one.ended:
            name = one.terms.exception_id
            yield (
                "revoke_exception",
                f"exception revoke --exception-id {name}",
                (_exception(action="revoke", exception_id=name)),
            )


def _decision(**fields: Any) -> _Made:
    fields |= {"comment": _PROBE, "reviewer_rationale": _PROBE, "evidence_requested": [_PROBE]}
    return lambda head: HumanDecisionCommand(**head, **fields)


def _exception(**fields: Any) -> _Made:
    fields |= {"policy_id": _PROBE, "requested_exception": _PROBE, "justification": _PROBE}
    return lambda head: PolicyExceptionCommand(**head, **fields)


def _soon(decision: str, now: datetime) -> datetime | None:
    """The shortest deferral: whether a longer one would do is for who asks for it."""
    return now + timedelta(seconds=1) if decision == "defer" else None

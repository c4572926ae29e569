"""The audit after the loop is blind: while its verdict is out, nobody is shown what was decided."""

from __future__ import annotations

from typing import Final

from core.authority import identities_of
from core.directory import TenantContext
from schemas.state import ControlPointState

BLIND: Final = "an audit is open: judge it as if nobody had decided"


def is_blind(state: ControlPointState) -> bool:
    """Whether an audit of the decision waits for its verdict."""
    return state.audit is not None and not state.audit.closed


def blinded(state: ControlPointState, tenant: TenantContext) -> ControlPointState:
    """The control point without what was decided, by whom, and what came of it. The deciders are
    left out under each of their identities."""
    deciders = identities_of(state.deciders, tenant)

    def undecided(person: str) -> bool:
        return not deciders & identities_of({person}, tenant)

    update: dict[str, object] = {
        "outcome": None,
        "gate": "closed",
        "decide_by": None,
        "decide_by_source": None,
        "approvals": [],
        "deciders": [],
        "override": None,
        "grant": None,
        "decision_event_id": None,
        # The code of a refusal tells of the gate: GRANT_TAKEN, DUPLICATE_APPROVER.
        "refusals": [],
        "comments": [comment for comment in state.comments if undecided(comment.by)],
        "presented": [shown for shown in state.presented if undecided(shown.reviewer_id)],
    }
    return state.model_copy(update=update)


def verdict_command(state: ControlPointState) -> str:
    """What an auditor types."""
    assert state.accepted is not None
    return (
        f"countersign verdict {state.decision_package_id} --tenant {state.tenant_id} --as … "
        f"--key … --version {state.accepted.request.package.version} "
        "--verdict agree|disagree|defect --comment TEXT"
    )

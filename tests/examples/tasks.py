"""Control points of which something is asked: what stands in the queue."""

from __future__ import annotations

from typing import Any

from core.planning import plan_for
from core.policy import parse_policy
from schemas.canonical import record_digest
from schemas.state import (
    Audit,
    ControlPointState,
    Grant,
    Lineage,
    PackageAccepted,
    SeenInterrupt,
)
from tests.examples.agents import ACTION_DIGEST, a_package, a_request
from tests.examples.directories import a_policy_form
from tests.examples.events import a_state
from tests.examples.story import AGENT, EFFECT, GRANT_ID, NOW, TENANT, TOOL, at


def an_open(package_id: str, **over: Any) -> ControlPointState:
    """An open control point. over: fields of its state, or `risk`, `title`, and `plan`: fields of
    its plan."""
    plan: dict[str, Any] = over.pop("plan", {})
    tenant_id = over.get("tenant_id", TENANT)
    interrupt = f"{package_id}-v1"
    package = a_package(
        decision_package_id=package_id,
        tenant_id=tenant_id,
        risk_level=over.pop("risk", "high"),
        title=over.pop("title", a_package().title),
    )
    request = a_request(interrupt_id=interrupt, tenant_id=tenant_id, package=package)
    pinned = plan_for(parse_policy(a_policy_form()), request, signed=True)
    accepted = PackageAccepted(
        event_id="accepted",
        request=request,
        request_digest="d",
        package_digest="d",
        plan=pinned.model_copy(update=plan),
        lineage=Lineage(first_signer=AGENT, requesters=[], drafters=[]),
        opened_event_id="opened",
        occurred_at=NOW,
    )
    seen = SeenInterrupt(
        interrupt_id=interrupt, version=1, request_digest=record_digest(request), event_id="opened"
    )
    form: dict[str, Any] = {
        "decision_package_id": package_id,
        "status": "pending",
        "accepted": accepted,
        "interrupts": [seen],
        "required_role": "senior_reviewer",
        "decide_by": at(3600),
        "created_at": NOW,
    }
    return a_state(**(form | over))


def a_deferred(package_id: str, **over: Any) -> ControlPointState:
    """An open one that is hidden for an hour."""
    return an_open(package_id, **({"deferred": True, "deferred_until": at(3600)} | over))


def a_doubtful(package_id: str, **over: Any) -> ControlPointState:
    """A decided one of whose effect nothing is known."""
    grant = Grant(
        grant_id=GRANT_ID,
        action_digest=ACTION_DIGEST,
        valid_until=at(60),
        tool_name=TOOL,
        effect_type=EFFECT,
        in_doubt=True,
    )
    return an_open(package_id, **(_decided("consumed") | {"grant": grant} | over))


def an_audited(package_id: str, *, closed: bool = False, **over: Any) -> ControlPointState:
    """A rejected one that is audited."""
    audit = Audit(review_task_id=f"audit-{package_id}", opened_at=at(10), closed=closed)
    return an_open(package_id, **(_decided("denied", "reject") | {"audit": audit} | over))


def _decided(gate: str, outcome: str = "approve") -> dict[str, Any]:
    return {"status": "decided", "outcome": outcome, "gate": gate, "decision_event_id": "decided"}

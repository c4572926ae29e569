"""A newer policy for a package that is open already, where that policy asks for it.

The plan is pinned at intake. Only a policy with `reapply_to_open: true` changes it, at the next
input of the package; it never takes the people out of a decision that has begun.
"""

from __future__ import annotations

from core.context import Context, Event
from core.exceptions import lifted_for
from core.facts import task_changed
from core.identifiers import derived_id
from core.planning import WITHOUT_PEOPLE, plan_for
from schemas.state import ControlPointState, PackageReplanned, Plan


def replanned(state: ControlPointState, context: Context) -> list[Event]:
    """The events of a change of plan; none where the plan stays as it is."""
    accepted, policy = state.accepted, context.tenant.policy
    if (
        accepted is None
        or state.status not in ("pending", "escalated")
        or policy is None
        or not policy.reapply_to_open
        or policy.policy_version == accepted.plan.policy_version
    ):
        return []
    origin = f"{context.origin}/replanned"
    event = PackageReplanned(
        event_id=derived_id(origin, "replanned"),
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        plan=_plan(state, context),
        occurred_at=context.now,
    )
    task = task_changed(
        state,
        origin=origin,
        change="replanned",
        now=context.now,
        assigned_to=state.assigned_to,
        comment=f"policy {policy.policy_version} applies to what is open",
        lease_until=state.lease_until,
    )
    return [event, task]


def _plan(state: ControlPointState, context: Context) -> Plan:
    accepted, policy = state.accepted, context.tenant.policy
    assert accepted is not None and policy is not None
    request, before = accepted.request, accepted.plan
    signed = accepted.lineage.first_signer not in accepted.lineage.claimed
    plan = plan_for(
        policy,
        request,
        signed=signed,
        lifted=lifted_for(request.package, context.tenant, context.now),
        exceptions=before.exceptions,
    )
    if plan.mode in WITHOUT_PEOPLE and plan.mode != before.mode:
        return plan.model_copy(update={"mode": "in_the_loop"})
    return plan

"""A newer policy for a package that is open already, where that policy asks for it.

The plan is pinned at intake. Only a policy with `reapply_to_open: true` changes it, at the next
input of the package; it never takes the people out of a decision that has begun. Where it brings
them in, no window opens the gate any more: they get the time to decide that the new plan gives.
"""

from __future__ import annotations

from core.context import Context, Event
from core.deadlines import decide_by
from core.escalation import after, until_eligible
from core.exceptions import lifted_for
from core.facts import status_changed, task_changed
from core.identifiers import derived_id
from core.limits import EXCEPTIONS_USED_MAX
from core.lineage import barred
from core.planning import WITHOUT_PEOPLE, plan_for
from core.policy import Policy
from core.quality import rests_on
from core.timers import OBJECTION_WINDOW
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
    plan = _plan(state, context)
    if plan is None:
        return []
    origin = f"{context.origin}/replanned"
    event = PackageReplanned(
        event_id=derived_id(origin, "replanned"),
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        plan=plan,
        occurred_at=context.now,
    )
    waited = state.decide_by_source == OBJECTION_WINDOW and plan.mode != "on_the_loop"
    events: list[Event] = [event]
    if waited:
        events.append(_time_to_decide(after(state, events), policy, context, origin=origin))
    current = after(state, events)
    events.append(
        task_changed(
            current,
            origin=origin,
            change="replanned",
            now=context.now,
            assigned_to=current.assigned_to,
            comment=f"policy {policy.policy_version} applies to what is open",
            lease_until=current.lease_until,
        )
    )
    return events + until_eligible(current, context, origin=origin)


def _time_to_decide(
    state: ControlPointState, policy: Policy, context: Context, *, origin: str
) -> Event:
    """The objection window is over without having opened anything; people decide instead."""
    assert state.accepted is not None
    due, source = decide_by(state, context.window_start, state.accepted.plan.decide_within_s)
    return status_changed(
        state,
        origin=origin,
        status="pending",
        reason=f"policy {policy.policy_version} lets nothing go unless people approve",
        now=context.now,
        decide_by=due,
        decide_by_source=source,
        decide_from=context.window_start,
    )


def _plan(state: ControlPointState, context: Context) -> Plan | None:
    """The plan under today's policy; None: it would rest on more than a decision can list."""
    accepted, policy = state.accepted, context.tenant.policy
    assert accepted is not None and policy is not None
    request, before = accepted.request, accepted.plan
    signed = accepted.lineage.first_signer not in accepted.lineage.claimed
    behind = barred(accepted.lineage)
    lifted = lifted_for(request.package, context.tenant, context.now, behind=behind)
    exceptions = dict.fromkeys([*before.exceptions, *rests_on(policy, request, lifted)])
    if len(exceptions) > EXCEPTIONS_USED_MAX:
        return None
    plan = plan_for(policy, request, signed=signed, lifted=lifted, exceptions=list(exceptions))
    if plan.mode in WITHOUT_PEOPLE and plan.mode != before.mode:
        return plan.model_copy(update={"mode": "in_the_loop"})
    return plan

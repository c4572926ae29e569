"""Whether another interrupt may be open: of the task, of the tenant, of the agent.

The control points of a tenant are spread over the tasks by their packages, and tasks share no lock
and no clock. So each task enforces its fair share of a policy's limit, ceil(limit / partitions), by
what it alone knows exactly. Over all tasks no more than limit + partitions - 1 are ever open; where
packages fall unevenly, a task can be full before the tenant has reached its limit.
"""

from __future__ import annotations

from core.authority import Failure
from core.context import Context
from core.policy import Policy
from core.transitions import Cell
from schemas.requests import InterruptRequested


def no_room(
    policy: Policy | None, request: InterruptRequested, cell: Cell, context: Context
) -> Failure | None:
    """Why the request opens nothing now. A new version of an open package takes no room."""
    if cell == "supersede":
        return None
    if context.task_full:
        message = "too many interrupts are open; decide or cancel some, then ask again"
        return Failure("TOO_MANY_OPEN", message)
    if policy is None:
        return None
    agent = first_signer_of(request, context)
    for key, limit, who, count in (
        (
            "open_max_per_agent",
            policy.defaults.open_max_per_agent,
            f"agent {agent}",
            context.open_of_agent,
        ),
        (
            "open_max",
            policy.defaults.open_max,
            f"tenant {request.tenant_id}",
            context.open_of_tenant,
        ),
    ):
        if limit is not None and count >= (share := share_of(limit, context.partitions)):
            message = (
                f"{who} has {count} interrupts open in this task, whose share of {key} {limit} is "
                f"{share}; decide or cancel some, then ask again"
            )
            return Failure("TOO_MANY_OPEN", message)
    return None


def share_of(limit: int, partitions: int) -> int:
    """What each of the tasks may have of a limit; at least 1."""
    return -(-limit // max(partitions, 1))


def is_limited(policy: Policy | None) -> bool:
    """Whether the open interrupts of the tenant and its agents must be counted for a request."""
    if policy is None:
        return False
    defaults = policy.defaults
    return defaults.open_max is not None or defaults.open_max_per_agent is not None


def first_signer_of(request: InterruptRequested, context: Context) -> str:
    """Who version 1 counts for: its signer; where nobody signed, who is named."""
    return context.signer.subject if context.signer else request.package.proposed_by

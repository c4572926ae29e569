"""A world for the whole rule book: people with every scope, every kind of policy, commands of which
each has an id and a key of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeVar

from core.directory import DirectoryRecord
from schemas.commands import Command, HumanDecisionCommand, ReviewTaskCommand
from schemas.directory import PolicyExceptionChanged, ReviewerAuthorization
from schemas.events import InterruptStatusChanged, ReviewTaskEvent
from schemas.requests import InterruptRequested, ToolCall
from tests import examples as e
from tests.unit.core.world import World, a_person, a_policy, asked, of

HOUR: Final = 3600
DAY: Final = 86_400
ACTS: Final = (
    "approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "object",
    "override", "revoke", "assign", "audit_verdict", "grant_exception", "revoke_exception",
)  # fmt: skip
SCOPES: Final = [f"notice:{act}" for act in ACTS]
WARNING: Final = e.a_tool_call(e.notice_args(subject="Second warning"))
"""The action that the example override chooses instead."""
_numbers = count(1)
CommandT = TypeVar("CommandT", bound=Command)


def somebody(reviewer_id: str, role: str = "senior_reviewer", **over: Any) -> ReviewerAuthorization:
    """A reviewer who has every scope of notices."""
    return a_person(reviewer_id, role, **({"scopes": SCOPES} | over))


STAFF: Final = (
    somebody(e.REVIEWER),
    somebody("r.lind"),
    somebody("r.diaz", "reviewer"),
    somebody("r.head", "head_of_enforcement"),
    somebody("r.chief", "head_of_enforcement"),
    somebody("r.legal", "legal"),
    somebody("r.boss", "head_of_enforcement"),  # owns the agent
)


def open_world(*records: DirectoryRecord, **request: Any) -> World:
    """The example request is open, and the people have every scope."""
    return asked(*STAFF, *records, **request)


def medium(**over: Any) -> dict[str, Any]:
    """Fields of a request of medium risk."""
    return {"package": e.a_package(**({"risk_level": "medium"} | over))}


def on_the_loop(**rule: Any) -> DirectoryRecord:
    """A policy that lets notices of medium risk go unless somebody objects within the hour."""
    return _without_people("on_the_loop", **({"objection_window": "1h"} | rule))


def out_of_the_loop(**rule: Any) -> DirectoryRecord:
    """A policy that lets notices go at once."""
    return _without_people("out_of_the_loop", **rule)


def _without_people(mode: str, **rule: Any) -> DirectoryRecord:
    tool = {
        "tool": "notice.*", "effect_type": e.EFFECT, "min_risk": "medium",
        "approval_required": False,
    }  # fmt: skip
    senior = [{"role": "senior_reviewer", "scope": "notice:approve"}]
    form = {"mode": mode, "approvals": senior} | rule
    return a_policy(policy_version="loop", rule=form, tools=[tool])


def quorum(*roles: str, **rule: Any) -> DirectoryRecord:
    """A policy whose notices need one approval by each of the roles."""
    slots = [{"role": role, "scope": "notice:approve"} for role in roles]
    return a_policy(policy_version="quorum", rule={"approvals": slots} | rule)


def by(maker: Callable[..., CommandT], reviewer_id: str, **over: Any) -> CommandT:
    """A command of a reviewer with an id and a key that no other has."""
    number = next(_numbers)
    own = {"command_id": f"cmd-{number}", "idempotency_key": f"key-{number}"}
    return maker(**({"reviewer_id": reviewer_id} | own | over))


def decides(reviewer_id: str, decision: str = "approve", **over: Any) -> HumanDecisionCommand:
    """A decision."""
    return by(e.a_decision, reviewer_id, **({"decision": decision} | over))


def works(reviewer_id: str, action: str, **over: Any) -> ReviewTaskCommand:
    """Work on the review task."""
    return by(e.a_task_command, reviewer_id, **({"action": action} | over))


def another_call(**over: Any) -> ToolCall:
    """The overriding call with some fields replaced."""
    return WARNING.model_copy(update=over)


def of_package(package_id: str, **over: Any) -> InterruptRequested:
    """The request for another package; package fields through `package=`."""
    form: dict[str, Any] = {"interrupt_id": f"int-{package_id}"} | over
    package = form.pop("package", {})
    return e.a_request(
        package=e.a_package(**({"decision_package_id": package_id} | package)), **form
    )


def granted(exception_id: str = "exc-1", **over: Any) -> PolicyExceptionChanged:
    """An exception in force, as all tasks read it."""
    form: dict[str, Any] = {
        "event_id": f"ev-{exception_id}-{over.get('change', 'granted')}",
        "tenant_id": e.TENANT,
        "decision_package_id": "pkg-elsewhere",
        "exception_id": exception_id,
        "change": "granted",
        "policy_id": "enforcement-guide",
        "requested_exception": "Decide without it.",
        "justification": "The laboratory burned down.",
        "kind": None,
        "applies_to": e.PACKAGE_ID,
        "approver_id": "r.head",
        "expires_at": e.at(7 * DAY),
        "decision_event_id": "ev-decision-elsewhere",
        "occurred_at": e.NOW,
    }
    return PolicyExceptionChanged(**(form | over))


def spread(world: World) -> None:
    """Lets every task read what was said of exceptions, as the worker does between batches."""
    world.apply(*of(world.events, PolicyExceptionChanged))


def changes(world: World) -> list[str]:
    """Every change of the review task, in order."""
    return [event.change for event in of(world.events, ReviewTaskEvent)]


def standing(world: World) -> tuple[str, str | None]:
    """Status and outcome that the agent was told last."""
    last = world.last(InterruptStatusChanged)
    return last.status, last.outcome

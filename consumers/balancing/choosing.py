"""Who gets which review task: a function of what is known now (requirements, section 13).

The load of a person is the sum of the weights of the tasks they hold, under all their ids: a task
weighs 1, 2, 4 or 8 for low, medium, high and critical risk, since what is graver takes longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, get_args

from core.authority import Claim, failures, holder_of, identities_of
from core.directory import TenantContext
from core.planning import risk_rank
from schemas.state import ControlPointState
from schemas.topics import record_key
from schemas.vocabulary import RiskLevel

WEIGHTS: Final[Mapping[RiskLevel, int]] = MappingProxyType(
    {"low": 1, "medium": 2, "high": 4, "critical": 8}
)
"""What a held task weighs."""
LOAD_MAX: Final = 40
"""Nobody is handed more on top of this: ten tasks of high risk are a day's work. What is left stays
in the queue, where anyone may claim it; held by one person, the others could not decide it."""
LATEST: Final = datetime.max.replace(tzinfo=UTC)
_OPEN: Final = frozenset({"pending", "escalated"})

Left = Literal["nobody_eligible", "not_entitled"]
"""Why a task was left: nobody may decide it who has room for it; or the balancer may not assign."""
REASONS: Final[tuple[Left, ...]] = get_args(Left)
Refused = Mapping[bytes, frozenset[str]]
"""By record key: to whom the current version is not offered again."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task, and who is to have it. weight: what it adds to their load."""

    tenant_id: str
    decision_package_id: str
    version: int
    assignee: str
    weight: int

    @property
    def key(self) -> bytes:
        """The record key of the package."""
        return record_key(self.tenant_id, self.decision_package_id)


@dataclass(frozen=True, slots=True)
class Choice:
    """What came of a look at the queue. left: by record key, what was looked at in vain."""

    assignments: tuple[Assignment, ...] = ()
    left: Mapping[bytes, Left] = field(default_factory=lambda: MappingProxyType({}))


def choose(
    states: Iterable[ControlPointState],
    tenant: TenantContext,
    now: datetime,
    loads: Mapping[str, int],
    *,
    by: str,
    refused: Refused = MappingProxyType({}),
) -> Choice:
    """Assigns the tasks of one tenant that await somebody, the most urgent first.

    Each goes to the person with the least load of those against whom no rule speaks who approves
    (role, scope, risk, separation of duties, conflicts, recusal, absence, cap, a free slot);
    between equals a hash decides, so that the same knowledge always gives the same choice. loads:
    by reviewer id, as `held_loads`; what is assigned here is added as it goes. by: who will send
    the commands; it is no candidate. Whoever is full is left out (LOAD_MAX).
    """
    loads = dict(loads)
    people = [name for name in tenant.reviewers if name != by and tenant.reviewer(name, now)]
    assignments: list[Assignment] = []
    left: dict[bytes, Left] = {}
    for state in sorted((s for s in states if awaits_somebody(s, now)), key=urgency):
        room = [name for name in people if _load(name, loads, tenant) < LOAD_MAX]
        if not room:
            break
        key = record_key(state.tenant_id, state.decision_package_id)
        if failures(state, Claim(by, "take_part"), tenant, now):
            left[key] = "not_entitled"
            continue
        again = refused.get(key, frozenset())
        assignee = _first_eligible(state, [n for n in room if n not in again], loads, tenant, now)
        if assignee is None:
            left[key] = "nobody_eligible"
            continue
        weight = weight_of(state)
        loads[assignee] = loads.get(assignee, 0) + weight
        assignments.append(
            Assignment(
                state.tenant_id, state.decision_package_id, version_of(state), assignee, weight
            )
        )
    return Choice(tuple(assignments), left)


def awaits_somebody(state: ControlPointState, now: datetime) -> bool:
    """Whether its task is to be handed to somebody: open, held by nobody, not hidden, in time.

    A claim that ran out is waited for until the worker has released it. Not while an objection window runs (it ends without anyone), nor while an override waits for
    its confirmation (which asks for another authority than the slots).
    """
    return (
        state.status in _OPEN
        and state.accepted is not None
        and state.assigned_to is None
        and state.deferred_until is None
        and state.override is None
        and state.decide_by_source != "objection_window"
        and (state.decide_by is None or now <= state.decide_by)
    )


def held_loads(states: Iterable[ControlPointState], now: datetime) -> dict[str, int]:
    """By reviewer id, the weight of the open tasks of one tenant that they hold; a deferred one
    weighs nothing until it is back."""
    loads: dict[str, int] = {}
    for state in states:
        holder = holder_of(state, now)
        if holder is not None and state.status in _OPEN and state.deferred_until is None:
            loads[holder] = loads.get(holder, 0) + weight_of(state)
    return loads


def weight_of(state: ControlPointState) -> int:
    """What the task adds to the load of who holds it."""
    assert state.accepted is not None
    return WEIGHTS[state.accepted.plan.effective_risk]


def version_of(state: ControlPointState) -> int:
    """The version that is to be decided."""
    assert state.accepted is not None
    return state.accepted.request.package.version


def urgency(state: ControlPointState) -> tuple[int, int, datetime, str]:
    """The order of the queue: priority, risk, deadline; the id, so that it is one order."""
    assert state.accepted is not None
    plan = state.accepted.plan
    due = state.decide_by or LATEST
    return -plan.priority, -risk_rank(plan.effective_risk), due, state.decision_package_id


def _first_eligible(
    state: ControlPointState,
    people: Iterable[str],
    loads: Mapping[str, int],
    tenant: TenantContext,
    now: datetime,
) -> str | None:
    def rank(name: str) -> tuple[int, bytes]:
        named = f"{state.tenant_id}/{state.decision_package_id}/{version_of(state)}/{name}"
        return _load(name, loads, tenant), hashlib.sha256(named.encode()).digest()

    return next(
        (
            name
            for name in sorted(people, key=rank)
            if not failures(state, Claim(name, "approve"), tenant, now)
        ),
        None,
    )


def _load(name: str, loads: Mapping[str, int], tenant: TenantContext) -> int:
    """A person's load under all their ids."""
    return sum(loads.get(known, 0) for known in identities_of([name], tenant))

"""What the queue shows of a control point: one row, or none; its rank, and what it is found by.

A row is a function of the state alone, so the projection can be rebuilt from the log. Rows are for
display: nothing is authorised by them, and they carry no MAC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError

from core.identifiers import review_task_id
from core.planning import meets_role
from core.quorum import current_slots
from schemas.headers import rfc3339
from schemas.model import Count, Id, Line, Lines, Record, Timestamp
from schemas.state import ControlPointState
from schemas.vocabulary import (
    RISK_LEVELS,
    AuthorityTransition,
    ControlMode,
    GateState,
    InterruptStatus,
    RiskLevel,
)

Kind = Literal["review", "in_doubt", "audit", "deferred"]
"""What is asked: a decision, what became of a grant, a verdict, nothing until the deferral ends."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
List = Literal["queue", "held", "aside"]
LISTS: Final[tuple[List, ...]] = get_args(List)
"""Every row; those that somebody holds; those of another kind than review. Each in the one order, so
that "what I hold" need not be looked for among all the others."""
OPEN: Final = frozenset({"pending", "escalated"})
UNHELD: Final = ""
"""The assignee of a task that nobody holds."""
ANYBODY: Final = "*"
"""The role of a task that asks for none."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DUE_SPAN: Final = 2**47
"""Milliseconds in a score: until the year 6429; later, and never, sort last."""
RISKS: Final = len(RISK_LEVELS)
_PRIORITY_MAX: Final = 9
SCORE_MAX: Final = (_PRIORITY_MAX + 1) * RISKS * DUE_SPAN - 1
"""A score is priority, risk and due time: 40 bands of DUE_SPAN, the most pressing first."""
assert SCORE_MAX < 2**53, "a score must be exact in a double"

SEPARATOR: Final = "\x1f"
"""Around each label."""


class RowUnreadable(Exception):
    """A row is not what a worker of this release wrote."""


class Row(Record):
    """A task as a list shows it. Of an audit it says nothing of the decision (section 17)."""

    kind: Kind
    tenant_id: Id
    decision_package_id: Id
    interrupt_id: Id
    review_task_id: Id
    package_version: Count
    title: Line
    status: InterruptStatus | None
    outcome: Line | None = None
    gate: GateState | None
    risk_level: RiskLevel
    priority: Count
    mode: ControlMode
    authority_transition: AuthorityTransition | None
    required_role: Line | None
    roles: Lines
    assigned_to: Id | None = None
    lease_until: Timestamp | None = None
    decide_by: Timestamp | None = None
    deferred_until: Timestamp | None = None
    created_at: Timestamp | None

    def form(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            name: rfc3339(value) if isinstance(value, datetime) else value
            for name, value in self.model_dump().items()
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row in its place. `labels`: what it is found by; `form`: the row as JSON; `lists`: where it
    stands."""

    score: int
    key: bytes
    labels: bytes = b""
    form: bytes = b""
    lists: tuple[List, ...] = ("queue",)

    @property
    def place(self) -> tuple[int, bytes]:
        """The lowest score first, equal ones by the key of the control point."""
        return self.score, self.key


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for; None: whatever it is. `due_before` is told to the millisecond, as
    the rank is."""

    kind: Kind = "review"
    tenant_id: str | None = None
    role: str | None = None
    assignee: str | None = None
    risk_level: RiskLevel | None = None
    due_before: datetime | None = None

    @property
    def shortest(self) -> List:
        """The shortest list that has all of them."""
        if self.assignee:
            return "held"
        return "queue" if self.kind == "review" else "aside"

    def labels(self) -> list[tuple[bytes, ...]]:
        """What must be found in a row's labels: of each group, one."""
        groups: list[tuple[str, ...]] = [(_label("kind", self.kind),)]
        if self.tenant_id is not None:
            groups.append((_label("tenant", self.tenant_id),))
        if self.role is not None:
            groups.append((_label("role", self.role), _label("role", ANYBODY)))
        if self.assignee is not None:
            groups.append((_label("assignee", self.assignee),))
        return [tuple(label.encode() for label in group) for group in groups]

    @property
    def due_below(self) -> int | None:
        """`due_before` as it stands in a score."""
        return None if self.due_before is None else _due(self.due_before)

    @property
    def band(self) -> int | None:
        """The remainder by RISKS of the bands of `risk_level`."""
        return None if self.risk_level is None else RISKS - 1 - RISK_LEVELS.index(self.risk_level)

    def matches(self, row: Ranked) -> bool:
        """Whether a row is one of them."""
        below, band = self.due_below, self.band
        return (
            (below is None or row.score % DUE_SPAN < below)
            and (band is None or row.score // DUE_SPAN % RISKS == band)
            and all(any(label in row.labels for label in group) for group in self.labels())
        )


def ranked(key: bytes, state: ControlPointState) -> Ranked | None:
    """The place and the row of a control point; None: nothing is asked of anybody."""
    kind = _kind(state)
    if kind is None:
        return None
    row = _row(kind, state)
    labels = _labels(row, _meeting(kind, state))
    lists: list[List] = ["queue"]
    if row.assigned_to is not None:
        lists.append("held")
    if kind != "review":
        lists.append("aside")
    return Ranked(_score(row), key, labels, row.model_dump_json().encode(), tuple(lists))


def row_of(form: bytes) -> Row:
    """A row as it was written. Raises RowUnreadable."""
    try:
        return Row.model_validate_json(form)
    except ValidationError:
        raise RowUnreadable from None


def top(rows: Iterable[Ranked], wanted: Wanted, limit: int) -> list[Row]:
    """The first rows that are wanted, in their order."""
    found = [row for row in rows if wanted.matches(row)]
    return [row_of(row.form) for row in in_order(found)[:limit]]


def in_order(rows: Iterable[Ranked]) -> list[Ranked]:
    """Rows as the queue has them."""
    return sorted(rows, key=lambda row: row.place)


def _kind(state: ControlPointState) -> Kind | None:
    if state.accepted is None:
        return None
    is_open = state.status in OPEN
    if is_open and state.deferred_until is None:
        return "review"
    if state.grant is not None and state.grant.in_doubt:
        return "in_doubt"
    if state.audit is not None and not state.audit.closed:
        return "audit"
    return "deferred" if is_open else None


def _row(kind: Kind, state: ControlPointState) -> Row:
    assert state.accepted is not None
    request, plan = state.accepted.request, state.accepted.plan
    row = Row(
        kind=kind,
        tenant_id=state.tenant_id,
        decision_package_id=state.decision_package_id,
        interrupt_id=request.interrupt_id,
        review_task_id=review_task_id(
            state.tenant_id, state.decision_package_id, request.interrupt_id
        ),
        package_version=request.package.version,
        title=request.package.title,
        status=None,
        gate=None,
        risk_level=plan.effective_risk,
        priority=plan.priority,
        mode=plan.mode,
        authority_transition=plan.authority_transition,
        required_role=None,
        roles=[],
        created_at=state.created_at,
    )
    if kind == "audit":
        # Blind: neither who held or decided it, nor how, nor how far it was escalated.
        assert state.audit is not None
        audit = {"review_task_id": state.audit.review_task_id, "created_at": state.audit.opened_at}
        return row.model_copy(update=audit)
    known = {"status": state.status, "outcome": state.outcome, "gate": state.gate}
    if kind == "in_doubt":
        return row.model_copy(update=known)
    slots = current_slots(state)
    return row.model_copy(
        update={
            **known,
            "required_role": state.required_role,
            "roles": list(dict.fromkeys(slot.role for slot in slots)),
            "assigned_to": state.assigned_to,
            "lease_until": state.lease_until,
            "decide_by": state.decide_by,
            "deferred_until": state.deferred_until,
        }
    )


def _meeting(kind: Kind, state: ControlPointState) -> Iterator[str]:
    """Every role that meets a slot: those above it too, for a reader does not know the policy."""
    assert state.accepted is not None
    if kind in ("in_doubt", "audit"):
        yield ANYBODY
        return
    order = state.accepted.plan.role_order
    for role in dict.fromkeys(slot.role for slot in current_slots(state)):
        yield role
        yield from (above for above in order if above != role and meets_role(order, above, role))


def _score(row: Row) -> int:
    """Priority and risk, the highest first, then what is due first."""
    rank = min(row.priority, _PRIORITY_MAX) * RISKS + RISK_LEVELS.index(row.risk_level)
    last = (_PRIORITY_MAX + 1) * RISKS - 1
    due = DUE_SPAN - 1 if row.decide_by is None else _due(row.decide_by)
    return (last - rank) * DUE_SPAN + due


def _due(moment: datetime) -> int:
    return min(max((moment - _EPOCH) // timedelta(milliseconds=1), 0), DUE_SPAN - 1)


def _labels(row: Row, roles: Iterable[str]) -> bytes:
    labels = [
        ("kind", row.kind),
        ("tenant", row.tenant_id),
        ("assignee", row.assigned_to or UNHELD),
        *(("role", role) for role in dict.fromkeys(roles)),
    ]
    front = SEPARATOR.join(f"{name}={_plain(value)}" for name, value in labels)
    return f"{SEPARATOR}{front}{SEPARATOR}".encode()


def _label(name: str, value: str) -> str:
    return f"{SEPARATOR}{name}={_plain(value)}{SEPARATOR}"


def _plain(value: str) -> str:
    """A role may be any line; the separator would end its label."""
    return value.replace(SEPARATOR, " ")

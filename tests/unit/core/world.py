"""A control point in a small world: people, a policy, a clock that only moves when it is told to.

`World.send` judges one record as the worker would and keeps the state that follows. Each step also
checks what must hold after any step: the state is the fold of the events, and no id comes twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from core.authentication import Signer, TenantMismatch, Unauthenticated
from core.context import Context, Event, Input
from core.directory import Directory, DirectoryRecord
from core.evolve import evolve
from core.step import Step, due_timer, fire, judge
from schemas.canonical import canonical_json
from schemas.commands import HumanDecisionCommand
from schemas.directory import ReviewerAuthorization
from schemas.events import (
    CommandParked,
    CommandRefused,
    CommandUnparked,
    HumanDecisionEvent,
    InterruptStatusChanged,
    KeyAnswered,
    ToolGateEvent,
)
from schemas.execution import GrantTake, Notice, OutcomeReported
from schemas.execution import Receipt as ToolReceipt
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.state import ControlPointState
from tests import examples as e

PARK_TTL: Final = timedelta(seconds=60)
NOTICE_SCOPES: Final = [
    "notice:approve",
    "notice:reject",
    "notice:revise",
    "notice:request_more_evidence",
]
EventT = TypeVar("EventT")


def a_person(reviewer_id: str, role: str = "senior_reviewer", **over: Any) -> ReviewerAuthorization:
    """A reviewer of notices with one role and a team of their own."""
    form: dict[str, Any] = {
        "reviewer_id": reviewer_id,
        "roles": [role],
        "scopes": NOTICE_SCOPES,
        "max_risk_level": "critical",
        "team": f"team of {reviewer_id}",
    }
    return e.a_reviewer(**(form | over))


PEOPLE: Final = (
    a_person(e.REVIEWER),
    a_person("r.lind"),
    a_person("r.diaz", "reviewer"),
    a_person("r.head", "head_of_enforcement"),
    a_person("r.legal", "legal"),
    a_person("r.boss"),
)


def a_policy(*, rule: dict[str, Any] | None = None, **over: Any) -> DirectoryRecord:
    """The example policy; keys of its one rule, and of the policy, are replaced."""
    form = e.a_policy_form(**over)
    form["rules"] = [one | (rule or {}) for one in form["rules"]]
    return e.a_policy_document(
        policy_version=form["policy_version"], document_json=canonical_json(form)
    )


def a_directory(*records: DirectoryRecord) -> Directory:
    """The example policy, agent and people, then these records."""
    directory = Directory()
    for record in (a_policy(), e.an_agent(), *PEOPLE, *records):
        directory = directory.apply(record)
    return directory


def signer_of(command: Input, **over: Any) -> Signer:
    """The signer that a record should have: its sender, with a personal key."""
    form: dict[str, Any]
    match command:
        case InterruptRequested():
            form = {"kind": "agent", "subject": command.package.proposed_by}
        case InterruptCancelled():
            form = {"kind": "agent", "subject": command.requested_by}
        case GrantTake() | ToolReceipt():
            form = {"kind": "executor", "subject": command.executor_id, "tools": ("notice.*",)}
        case Notice() | OutcomeReported():
            form = {"kind": "executor", "subject": e.EXECUTOR, "tools": ("notice.*",)}
        case _:
            form = {"kind": "reviewer", "subject": command.reviewer_id}
    form |= {"tenant_id": command.tenant_id} | over
    form.setdefault("kid", f"key of {form['subject']}")
    return Signer(**form)


@dataclass
class World:
    """One control point and all it has seen. Seconds count from `examples.NOW`."""

    directory: Directory = field(default_factory=a_directory)
    state: ControlPointState | None = None
    clock: float = 0.0
    events: list[Event] = field(default_factory=list)
    unsigned: bool = False
    records: int = 0

    def context(self, command: Input | None = None, **over: Any) -> Context:
        """The context in which a record would be judged now; `signer=None`: it is not signed."""
        now: datetime = e.at(self.clock)
        form: dict[str, Any] = {
            "now": now,
            "handled_at": now,
            "origin": f"topic/0/{self.records}",
            "signer": signer_of(command) if command else None,
            "failure": None,
            "tenant": self.directory.tenant(e.TENANT),
            "park_ttl": PARK_TTL,
            "unsigned": self.unsigned,
        } | over
        form.setdefault("signature_present", form["signer"] is not None)
        return Context(**form)

    def send(self, command: Input, **over: Any) -> Step:
        """Judges a record at the current time."""
        before = self.state
        self.records += 1
        step = judge(before, command, self.context(command, **over))
        return self._kept(step, before)

    def wait(self, seconds: float) -> list[Step]:
        """Moves the clock and fires all that is due, one clock after the other."""
        self.clock += seconds
        steps: list[Step] = []
        while self.state is not None and due_timer(self.state, self.context()) is not None:
            before = self.state
            steps.append(self._kept(fire(before, self.context()), before))
            assert len(steps) < 100, "the clocks do not come to rest"
        return steps

    def apply(self, *records: DirectoryRecord) -> None:
        """Changes the directory."""
        for record in records:
            self.directory = self.directory.apply(record)

    @property
    def now(self) -> ControlPointState:
        """The control point, which must exist."""
        assert self.state is not None
        return self.state

    def last(self, kind: type[EventT]) -> EventT:
        """The latest event of a kind."""
        return of(self.events, kind)[-1]

    def _kept(self, step: Step, before: ControlPointState | None) -> Step:
        folded = before
        for event in step.events:
            folded = evolve(folded, event)
        assert folded == step.state, "the state is the fold of its events"
        self.state = step.state
        self.events += step.events
        ids = own_ids(self.events)
        assert len(ids) == len(set(ids)), "an event id came twice"
        return step


def own_ids(events: Iterable[Event]) -> list[str]:
    """The ids of the events that have one of their own (KeyAnswered names another event's)."""
    return [
        event.event_id
        for event in events
        if not isinstance(event, CommandParked | CommandUnparked | KeyAnswered)
    ]


def of(events: Iterable[Event], kind: type[EventT]) -> list[EventT]:
    """The events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def codes(step: Step) -> list[str]:
    """Every code of the one refusal that answers a record; empty when it was not refused."""
    refusals = of(step.events, CommandRefused)
    assert len(refusals) <= 1
    return [code for refusal in refusals for code in refusal.codes]


def code(step: Step) -> str | None:
    """The code of the refusal; None when the record was not refused."""
    return next(iter(codes(step)), None)


def statuses(steps: Iterable[Step]) -> list[tuple[str, str | None]]:
    """Status and outcome of every status event, in order."""
    changes = [change for step in steps for change in of(step.events, InterruptStatusChanged)]
    return [(change.status, change.outcome) for change in changes]


def gates(steps: Iterable[Step]) -> list[str]:
    """Every change of the gate, in order."""
    return [change.gate for step in steps for change in of(step.events, ToolGateEvent)]


def a_world(*records: DirectoryRecord) -> World:
    """A world in which nothing was asked yet; the records change its directory."""
    return World(directory=a_directory(*records))


def asked(*records: DirectoryRecord, **request: Any) -> World:
    """A world in which the example request (some fields replaced) is open."""
    world = a_world(*records)
    step = world.send(e.a_request(**request))
    assert step.verdict == "recorded", codes(step)
    return world


def a_decision_by(reviewer_id: str, decision: str = "approve", **over: Any) -> HumanDecisionCommand:
    """A decision with a command id and an idempotency key of its own."""
    form: dict[str, Any] = {
        "reviewer_id": reviewer_id,
        "decision": decision,
        "command_id": f"cmd-{reviewer_id}-{decision}",
        "idempotency_key": f"key-{reviewer_id}-{decision}",
    }
    return e.a_decision(**(form | over))


def approved(*records: DirectoryRecord, **request: Any) -> World:
    """A world in which one approval opened the gate."""
    world = asked(*records, **request)
    world.clock += 60
    step = world.send(a_decision_by(e.REVIEWER))
    assert of(step.events, HumanDecisionEvent)[0].final, "one approval is to complete it"
    return world


def taken(*records: DirectoryRecord) -> World:
    """A world in which the notifier has taken the grant."""
    world = approved(*records)
    world.clock += 5
    step = world.send(a_take_of(world))
    assert gates([step]) == ["consumed"], codes(step)
    return world


def a_take_of(world: World, **over: Any) -> GrantTake:
    """A take of the world's grant."""
    return e.a_take(**({"grant_id": grant_id(world)} | over))


def grant_id(world: World) -> str:
    """The id of the world's grant."""
    assert world.now.grant is not None
    return world.now.grant.grant_id


def a_next_request(version: int = 2, **over: Any) -> InterruptRequested:
    """The request for a later version of the package; package fields through `package=`."""
    form: dict[str, Any] = {"interrupt_id": f"int-2041-{version}"} | over
    package = form.pop("package", {})
    return e.a_request(package=e.a_package(**({"version": version} | package)), **form)


REFUSED_STRANGER: Final = {
    "signer": None,
    "failure": Unauthenticated("the signature does not match the key"),
    "signature_present": True,
}
"""Overrides of the context for a record with a bad signature."""


def of_other_tenant() -> dict[str, Any]:
    """Overrides of the context for a record that is validly signed for another tenant."""
    signer = Signer(kid="k", kind="reviewer", subject="r.other", tenant_id="globex")
    return {"signer": None, "failure": TenantMismatch(signer), "signature_present": True}

"""The stage of the stories: a tenant with a full cast, a policy with every mode, the real worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.jwk import TrustedKeys
from producers.keys import new_key
from schemas.canonical import canonical_json
from schemas.codec import decode_bytes
from schemas.commands import Command
from schemas.directory import PolicyDocument
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.execution import GrantTake, Notice, OutcomeReported, Receipt
from schemas.model import Record
from schemas.requests import InterruptRequested
from schemas.state import ControlPointState
from schemas.topics import record_key
from tests import examples as e
from tests.unit.control.world import KEYS, World, settle

SENIOR, OTHER_SENIOR = e.REVIEWER, "r.lind"
HEAD, OTHER_HEAD = "r.boss", "r.haddad"
MONITOR, AUDITOR, ORGANISER = "m.ito", "a.rao", "svc:balancer"
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

_DECISIONS: Final = (
    "approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "object",
    "override", "revoke", "grant_exception", "revoke_exception",
)  # fmt: skip
_SUBJECTS: Final = ("notice", "memory")


def scopes(*decisions: str) -> list[str]:
    """The scopes of these decisions for every subject of the stories."""
    return [f"{subject}:{decision}" for subject in _SUBJECTS for decision in decisions]


def cast() -> list[Record]:
    """Everybody with the authority they have."""
    everything = scopes(*_DECISIONS)
    seniors = [
        e.a_reviewer(reviewer_id=name, scopes=everything, team=team)
        for name, team in ((SENIOR, "north"), (OTHER_SENIOR, "south"))
    ]
    heads = [
        e.a_reviewer(
            reviewer_id=name,
            roles=["head_of_enforcement"],
            scopes=everything,
            team=team,
            max_risk_level="critical",
        )
        for name, team in ((HEAD, "top"), (OTHER_HEAD, "west"))
    ]
    helpers = [
        e.a_reviewer(reviewer_id=name, roles=["monitor"], scopes=scopes(scope), team=None)
        for name, scope in (
            (MONITOR, "object"),
            (AUDITOR, "audit_verdict"),
            (ORGANISER, "assign"),
        )
    ]
    return [*seniors, *heads, *helpers, e.an_agent(owner="r.owner")]


def rule(**over: Any) -> dict[str, Any]:
    """The one rule of a story's policy."""
    return {
        "name": "notices",
        "when": {"tools": ["notice.*"]},
        "subject": "notice",
        "mode": "in_the_loop",
        "approvals": [{"role": "senior_reviewer"}],
    } | over


def policy(**over: Any) -> dict[str, Any]:
    """A policy whose one rule is `rule(**over)`; keys of the policy itself by `policy_`."""
    own = {name.removeprefix("policy_"): over.pop(name) for name in list(over) if "policy_" in name}
    row = {"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}
    memory = {"tool": "memory.*", "effect_type": "memory_write"}
    form = e.a_policy_form(tools=[row, memory], rules=[rule(**over)])
    return form | own


def trusted() -> TrustedKeys:
    """The public keys of the whole cast; the executor sends notices and keeps memories."""
    people = [SENIOR, OTHER_SENIOR, HEAD, OTHER_HEAD, MONITOR, AUDITOR, ORGANISER]
    for name in people:
        KEYS.setdefault(name, new_key())
    executor = KEYS[e.EXECUTOR].public_jwk(
        executor_id=e.EXECUTOR, tenant_ids=[e.TENANT], tools=["notice.*", "memory.*"]
    )
    agent = KEYS[e.AGENT].public_jwk(agent_id=e.AGENT, tenant_id=e.TENANT)
    reviewers = [KEYS[name].public_jwk(reviewer_id=name, tenant_id=e.TENANT) for name in people]
    return TrustedKeys.from_jwks({"keys": [agent, executor, *reviewers]})


class Stage:
    """One worker, one tenant; every act is sent, signed by its actor, and handled to the end."""

    def __init__(self, **over: Any) -> None:
        """over: of the policy's one rule; `policy_` before a key of the policy itself."""
        self.world = World(keys=trusted(), policy=policy(**over))
        for record in cast():
            self.world.directory(record)
        self.worker = self.world.worker()
        self._numbers = 0

    def settle(self) -> None:
        """Handles whatever there is."""
        settle(self.worker)

    def later(self, seconds: float) -> None:
        """Time passes, and what is due fires."""
        self.world.clock.advance(seconds)
        self.settle()

    def request(self, **over: Any) -> InterruptRequested:
        """The agent asks; package fields as `package=e.a_package(...)`."""
        request = e.a_request(**over)
        self.world.send(request, e.AGENT, request.interrupt_id)
        self.settle()
        return request

    def command(self, command: Command) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused:
        """A reviewer's command, signed by its reviewer, and its one answer."""
        self.world.send(command, command.reviewer_id, command.command_id)
        self.settle()
        return self.answer(command.command_id)

    def answer(self, command_id: str) -> HumanDecisionEvent | ReviewTaskEvent | CommandRefused:
        """The one answer of a command."""
        answers: list[HumanDecisionEvent | ReviewTaskEvent | CommandRefused] = [
            *self.world.all(HumanDecisionEvent),
            *self.world.all(ReviewTaskEvent),
            *self.world.all(CommandRefused),
        ]
        found = [answer for answer in answers if answer.command_id == command_id]
        assert len(found) == 1, f"{command_id} has {len(found)} answers"
        return found[0]

    def ids(self) -> dict[str, str]:
        """A new command id and idempotency key."""
        self._numbers += 1
        return {
            "command_id": f"cmd-{self._numbers}",
            "idempotency_key": f"key-{self._numbers}",
        }

    def decide(self, by: str, decision: str, **over: Any) -> HumanDecisionEvent | CommandRefused:
        """A decision and its answer."""
        answer = self.command(
            e.a_decision(**(self.ids() | {"reviewer_id": by, "decision": decision} | over))
        )
        assert not isinstance(answer, ReviewTaskEvent)
        return answer

    def decide_unanswered(self, by: str, decision: str, package_id: str) -> None:
        """A decision on a package that may not be there yet."""
        command = e.a_decision(
            **self.ids(), reviewer_id=by, decision=decision, decision_package_id=package_id
        )
        self.world.send(command, by, command.command_id)
        self.settle()

    def publish(self, form: dict[str, Any]) -> None:
        """A newer policy is in force."""
        self.world.directory(
            PolicyDocument(
                tenant_id=e.TENANT,
                policy_version=form["policy_version"],
                document_json=canonical_json(form),
            )
        )

    def execution(self, record: GrantTake | Receipt | Notice | OutcomeReported) -> None:
        """What an executor sends."""
        some_id = record.attempt_id if type(record) is GrantTake else record.event_id  # type: ignore[union-attr]
        self.world.send(record, e.EXECUTOR, some_id)
        self.settle()

    def opened(self) -> ToolGateEvent:
        """The gate that is or was open last."""
        return [gate for gate in self.world.all(ToolGateEvent) if gate.gate == "opened"][-1]

    def gates(self) -> list[str]:
        """What became of the gate, change after change."""
        return [gate.gate for gate in self.world.all(ToolGateEvent)]

    def statuses(self) -> list[str]:
        """What became of the interrupts, change after change, with outcomes."""
        return [s.outcome or s.status for s in self.world.all(InterruptStatusChanged)]

    def changes(self) -> list[str]:
        """What became of the review task, change after change."""
        return [task.change for task in self.world.all(ReviewTaskEvent)]

    def codes(self) -> list[str]:
        """The codes of all refusals."""
        return [refusal.code for refusal in self.refusals()]

    def refusals(self) -> list[CommandRefused]:
        """All refusals."""
        return self.world.all(CommandRefused)

    def state(self, package_id: str = e.PACKAGE_ID) -> ControlPointState:
        """The control point as the changelog has it last."""
        key = record_key(e.TENANT, package_id)
        values = [r.value for r in self.world.cluster.records("interrupt-state") if r.key == key]
        assert values and values[-1] is not None
        return decode_bytes(values[-1], ControlPointState)

    def take_of(self, grant_id: str) -> None:
        """The executor takes a grant by its name."""
        self.execution(e.a_take(grant_id=grant_id))

    def take(self, attempt_id: str = e.ATTEMPT_ID) -> None:
        """The executor takes the open grant."""
        grant_id = self.opened().grant_id
        assert grant_id is not None
        self.execution(e.a_take(grant_id=grant_id, attempt_id=attempt_id))

    def receipt(self, maker: Callable[..., Any], **over: Any) -> None:
        """The executor reports about the grant that was opened."""
        gate = self.opened()
        about = {"grant_id": gate.grant_id, "action_digest": gate.action_digest}
        self.execution(maker(**(about | over)))

    def outcome(self, **over: Any) -> None:
        """How it went, reported later."""
        about = {"grant_id": self.opened().grant_id, "reported_by": e.EXECUTOR}
        self.execution(e.an_outcome(**(about | over)))

"""The core against a small reference model: any order of requests, decisions, takes and clocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.context import Event, Input
from core.step import due_timer
from schemas.events import (
    CommandParked,
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReceiptRecorded,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.state import ControlPointState
from tests import examples as e
from tests.properties.oracle import CheckedWorld
from tests.properties.reference import DAY, TOP, Decision, Reference, Slot, meets
from tests.unit.core.rulebook import WARNING, somebody
from tests.unit.core.world import (
    a_decision_by,
    a_directory,
    a_next_request,
    a_policy,
    a_take_of,
    of,
)

SENIOR, LEGAL, HEAD = Slot("senior_reviewer"), Slot("legal"), Slot(TOP)
PLANS: Final = (
    (SENIOR,),
    (SENIOR, LEGAL),
    (SENIOR, Slot("senior_reviewer", distinct_team=True)),
    (SENIOR, LEGAL, HEAD),
    (SENIOR, Slot("legal", distinct_team=True), SENIOR),
)
PEOPLE: Final = {
    e.REVIEWER: ("senior_reviewer", "north"),
    "r.lind": ("senior_reviewer", "north"),
    "r.diaz": ("reviewer", "south"),
    "r.head": (TOP, "south"),
    "r.chief": (TOP, "west"),
    "r.legal": ("legal", "south"),
    "r.boss": ("senior_reviewer", "east"),  # owns the agent
}
RECEIPTS: Final[dict[str, Callable[..., Input]]] = {
    "notice.sent": e.a_notice_sent,
    "notice.failed": e.a_notice_failed,
    "tool.executed": e.an_executed,
    "tool.failed": e.a_failed,
    "tool.in_doubt": e.an_in_doubt,
}
DECISIONS: Final = (
    "approve", "approve", "approve", "reject", "revise", "request_more_evidence",
    "escalate", "defer", "object", "object",
)  # fmt: skip
MODES: Final = st.sampled_from(["in"] * 4 + ["on"] * 2 + ["out"])
DIGESTS: Final = {
    "proposed": e.ACTION_DIGEST, "overriding": e.digest_of(WARNING), "another": "00" * 32,
}  # fmt: skip
ONE_IN_SIX: Final = st.sampled_from([False] * 5 + [True])


class ControlPoint(RuleBasedStateMachine):
    """Each rule sends one record to the core and to the model, and compares answer and outcome."""

    @initialize(plan=st.sampled_from(PLANS), mode=MODES, early=ONE_IN_SIX)
    def begin(self, plan: tuple[Slot, ...], mode: str, early: bool) -> None:
        """Chooses a policy, and asks; or lets decisions come early, before anything is asked."""
        rule_form = {
            "mode": f"{mode}_{'of_the' if mode == 'out' else 'the'}_loop",
            "approvals": [{"role": s.role, "distinct_team": s.distinct_team} for s in plan],
        }
        tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
        people = [somebody(name, role, team=team) for name, (role, team) in PEOPLE.items()]
        policy = a_policy(policy_version="8", tools=tools, rule=rule_form)
        self.world = CheckedWorld(directory=a_directory(policy, *people))
        self.model = Reference(plan, mode, dict(PEOPLE), frozenset({"r.boss"}))
        self.plan = plan
        self.sent: list[Decision] = []
        self.number = 0
        if not early:
            self.request(ahead=1, complete=True)

    @precondition(lambda self: self.model.is_final)
    @rule(plan=st.sampled_from(PLANS), mode=MODES, early=ONE_IN_SIX)
    def start_over(self, plan: tuple[Slot, ...], mode: str, early: bool) -> None:
        """Another package, once this one can go no further."""
        self.begin(plan, mode, early)

    @precondition(lambda self: not self.model.is_open or self.number % 7 == 0)
    @rule(ahead=st.sampled_from([1, 1, 1, 0, 2]), complete=st.sampled_from([True] * 4 + [False]))
    def request(self, ahead: int, complete: bool) -> None:
        """The next version, the current one again, or one too far; complete or not."""
        version = self.model.version + ahead
        if version == 0:
            return
        title = e.a_package().title if complete else ""
        message = a_next_request(version, package={"title": title})
        self._send(message, self.model.request(version, complete, self.world.clock))

    @rule(
        who=st.sampled_from([*PEOPLE, "r.nobody"]),
        what=st.sampled_from(DECISIONS),
        behind=st.sampled_from([0, 0, 0, 0, 1, -1]),
        key=st.sampled_from("abcdefgh"),
        action=st.sampled_from(["proposed"] * 5 + ["overriding", "another"]),
        wait=st.sampled_from([None, -1.0, 1800.0, 90_000.0, 8 * DAY]),
    )
    def decide(
        self, who: str, what: str, behind: int, key: str, action: str, wait: float | None
    ) -> None:
        """A decision by anyone, on this version or another, with a key from a small pool."""
        until = self.world.clock + wait if wait is not None and what == "defer" else None
        version = max(1, self.model.version - behind)
        self._decide(Decision(who, what, version, key, action, until))

    @precondition(lambda self: self.model.is_open)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        """An approval by someone whose role some slot asks for."""
        roles = [slot.role for slot in self.model.slots]
        able = [
            n for n, (held, _) in self.model.people.items() if any(meets(held, r) for r in roles)
        ]
        if able:
            key = f"approve-{self._next()}"
            action = "overriding" if self.model.overriding and self.number % 2 else "proposed"
            who = data.draw(st.sampled_from(able))
            self._decide(Decision(who, "approve", self.model.version, key, action))

    @precondition(lambda self: self.model.is_open or self.model.can_object)
    @rule(
        who=st.sampled_from([*PEOPLE]),
        what=st.sampled_from(["escalate", "defer", "object"]),
        wait=st.sampled_from([1800.0, 90_000.0]),
    )
    def steer(self, who: str, what: str, wait: float) -> None:
        """Somebody asks higher up, asks for time, or objects, in the right form."""
        until = self.world.clock + wait if what == "defer" else None
        key = f"steer-{self._next()}"
        self._decide(Decision(who, what, self.model.version, key, until=until))

    @precondition(lambda self: self.model.version > 0)
    @rule(who=st.sampled_from([*PEOPLE, "r.nobody"]), behind=st.sampled_from([0] * 5 + [1]))
    def override(self, who: str, behind: int) -> None:
        """A person of higher authority wants another action; a second one must want it too."""
        version = max(1, self.model.version - behind)
        answers = self.model.override(who, version, self.world.clock)
        self._send(e.an_override(**self._own(who, version)), answers)

    @precondition(lambda self: self.model.version > 0)
    @rule(
        who=st.sampled_from([*PEOPLE, "r.nobody"]),
        action=st.sampled_from(["claim", "claim", "release", "recuse"]),
        behind=st.sampled_from([0] * 5 + [1]),
    )
    def work(self, who: str, action: str, behind: int) -> None:
        """Somebody takes the review task, gives it back, or steps aside."""
        if action == "recuse" and self.number % 3:
            return
        version = max(1, self.model.version - behind)
        answers = self.model.work(action, who, version, self.world.clock)
        self._send(e.a_task_command(**self._own(who, version), action=action), answers)

    @precondition(lambda self: self.model.has_grant or self.number % 7 == 0)
    @rule(who=st.sampled_from([*PEOPLE, "r.nobody"]), behind=st.sampled_from([0] * 5 + [1]))
    def revoke(self, who: str, behind: int) -> None:
        """The grant is taken back by whoever wants to."""
        if self.model.status == "absent":
            return
        version = max(1, self.model.version - behind)
        grant = self.world.now.grant
        names = grant.decision_event_ids if grant else []
        decisions = of(self.world.events, HumanDecisionEvent)
        approvers = [d.reviewer_id for d in decisions if d.event_id in names]
        answers = self.model.revoke(who, version, approvers, self.world.clock)
        self._send(e.a_revocation(**self._own(who, version)), answers)

    @rule(data=st.data())
    def decide_again(self, data: st.DataObject) -> None:
        """A decision that was sent before, byte for byte but for its command id."""
        if self.sent:
            self._decide(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.model.has_grant or self.number % 7 == 0)
    @rule(attempt=st.sampled_from(["attempt-1", "attempt-2"]))
    def take(self, attempt: str) -> None:
        """A take of the grant, if there is one."""
        answers = self.model.take(attempt, self.world.clock)
        self._send(self._about_grant(a_take_of, e.a_take, attempt_id=attempt), answers)

    @precondition(lambda self: self.model.has_grant or self.number % 7 == 0)
    @rule(
        kind=st.sampled_from(sorted(RECEIPTS)), attempt=st.sampled_from(["attempt-1", "attempt-2"])
    )
    def receive(self, kind: str, attempt: str) -> None:
        """A report of either attempt."""
        if self.model.receipts >= 30:
            return
        answers = self.model.receive(kind, attempt)
        make = RECEIPTS[kind]
        over = {"attempt_id": attempt, "event_id": f"receipt-{self._next()}"}
        grant = self.world.state.grant if self.world.state else None
        if grant is not None:
            over |= {"grant_id": grant.grant_id, "action_digest": grant.action_digest}
        self._send(make(**over), answers)

    @precondition(lambda self: self.number % 7 == 0)
    @rule(behind=st.sampled_from([0, 0, 1, -1]))
    def cancel(self, behind: int) -> None:
        """The agent takes back this version's interrupt, or another's."""
        version = max(1, self.model.version - behind)
        message = e.a_cancellation(interrupt_id=f"int-2041-{version}")
        self._send(message, self.model.cancel(version))

    @rule(
        who=st.sampled_from([e.REVIEWER, "r.lind", "r.legal"]),
        role=st.sampled_from(["senior_reviewer", "legal", "reviewer", None]),
    )
    def change_role(self, who: str, role: str | None) -> None:
        """The directory gives a reviewer another role, or removes them."""
        team = PEOPLE[who][1]
        self.model.people.pop(who, None)
        if role is not None:
            self.model.people[who] = (role, team)
        self.world.apply(somebody(who, role or "reviewer", team=team, removed=role is None))

    @rule(seconds=st.sampled_from([1.0, 2.0, 59.0, 1800.0, 3601.0, 43_200.0, 90_000.0, 180_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and what is due fires."""
        self.world.wait(seconds)
        self.model.pass_time(self.world.clock)

    @rule(seconds=st.sampled_from([3601.0, 90_000.0, 180_000.0]), data=st.data())
    def race_a_clock(self, seconds: float, data: st.DataObject) -> None:
        """A decision or a take that was appended behind a clock, and is read before it fires."""
        self.world.clock += seconds
        if self.model.has_grant:
            self.take("attempt-1")
        elif self.model.is_open:
            self.approve(data)
        self.wait(0.0)

    @invariant()
    def it_stands_where_the_model_stands(self) -> None:
        """Status, outcome, gate, version, approvals, doubt, and what waits."""
        state, model = self.world.state, self.model
        if state is None or state.accepted is None:
            assert ("absent", "closed", 0) == (model.status, model.gate, model.version)
            assert len(model.waiting) == (len(state.parked) if state else 0)
            return
        assert (model.status, model.outcome, model.gate, model.version) == (
            state.status,
            state.outcome,
            state.gate,
            state.accepted.request.package.version,
        )
        assert model.approvals == [approval.reviewer_id for approval in state.approvals]
        assert model.in_doubt == bool(state.grant and state.grant.in_doubt)
        assert (model.holder, model.deferred, model.recused) == (
            state.assigned_to,
            state.deferred,
            set(state.recused),
        )
        if model.is_open:
            assert e.at(model.ends) == state.decide_by

    @invariant()
    def no_clock_is_due(self) -> None:
        """I10: whatever was due has fired, and is not due again."""
        state = self.world.state
        assert state is None or due_timer(state, self.world.context()) is None

    @invariant()
    def only_the_current_interrupt_is_open(self) -> None:
        """I2: every interrupt but an open current one has had its end."""
        changes = of(self.world.events, InterruptStatusChanged)
        asked = {change.interrupt_id for change in changes}
        current = {f"int-2041-{self.model.version}"} if self.model.is_open else set[str]()
        assert sorted(asked - current) == sorted(x.interrupt_id for x in changes if x.final)

    def _decide(self, decision: Decision) -> None:
        self.sent = [*self.sent, decision][-4:]
        message = a_decision_by(
            decision.who,
            decision.what,
            expected_package_version=decision.version,
            idempotency_key=decision.key,
            action_digest=DIGESTS[decision.action],
            defer_until=e.at(decision.until) if decision.until is not None else None,
            command_id=f"cmd-{self._next()}",
        )
        now = self.world.clock
        full = self.model.status == "absent" and len(self.model.waiting) >= 16
        self._send(message, ["UNKNOWN_PACKAGE"] if full else self.model.decide(decision, now, now))

    def _about_grant(self, of_world: Any, without: Any, **over: Any) -> Input:
        grant = self.world.state.grant if self.world.state else None
        message: Input = of_world(self.world, **over) if grant else without(**over)
        return message

    def _own(self, who: str, version: int) -> dict[str, Any]:
        """The fields all commands share; a key of its own."""
        name = f"own-{self._next()}"
        return {
            "reviewer_id": who,
            "expected_package_version": version,
            "command_id": name,
            "idempotency_key": name,
        }

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _send(self, message: Input, expected: list[str]) -> None:
        before = self.world.state
        self.number += 1
        step = self.world.send(message)

        assert expected == answers_in(step.events)
        if len(expected) == 1 and expected[0].isupper():  # I4, and every other refusal
            assert without_notes(before) == without_notes(step.state)


def without_notes(state: ControlPointState | None) -> dict[str, Any] | None:
    """The state but for what a refusal leaves: its name, a bound key, a doubt raised by a report."""
    if state is None:
        return None
    grant = {"in_doubt", "differences"}
    return state.model_dump(exclude={"refusals": True, "answered": True, "grant": grant})


def answers_in(events: tuple[Event, ...]) -> list[str]:
    """One word for each record that was answered: what was done, or the code of the refusal."""
    found: list[str] = []
    for event in events:
        match event:
            case CommandRefused():
                found.append(event.code)
            case CommandParked():
                found.append("parked")
            case HumanDecisionEvent():
                found.append("recorded")
            case ReceiptRecorded():
                found.append("receipt")
            case InterruptStatusChanged(status="pending", deferred_until=None):
                found.append("opened")
            case InterruptStatusChanged(status="cancelled", outcome="cancelled"):
                found.append("cancelled")
            case ReviewTaskEvent(change="claimed" | "released" | "recused") if event.command_id:
                found.append(event.change)
            case ToolGateEvent(gate="consumed" | "revoked"):
                found.append(event.gate)
            case _:
                pass
    return found


TestControlPoint = ControlPoint.TestCase
TestControlPoint.settings = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

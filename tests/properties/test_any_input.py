"""Any command of the whole rule book, by anyone, in any order, under any policy: what must never
happen does not. The oracle looks at every step; nothing here says what should have been answered.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.context import Input
from core.step import due_timer
from schemas.events import ReviewTaskEvent
from tests import examples as e
from tests.properties.anything import (
    BEHIND,
    CHOICES,
    LATER,
    MEMORY,
    ONE_IN_SIX,
    PEOPLE,
    RISKS,
    ROLES,
    RULES,
    TEXT,
    WHO,
    a_policy_of,
    one_of,
)  # fmt: skip
from tests.properties.oracle import CheckedWorld
from tests.unit.core.rulebook import WARNING, another_call
from tests.unit.core.world import a_directory, of


class AnyInput(RuleBasedStateMachine):
    """Every rule sends one record, or changes people, policy or the time."""

    @initialize(
        form=RULES, risk=st.sampled_from(RISKS), early=st.sampled_from([False] * 4 + [True])
    )
    def begin(self, form: dict[str, Any], risk: str, early: bool) -> None:
        """A policy, people with every scope, and a request, unless commands come early."""
        self.world = CheckedWorld(directory=a_directory())
        self.policies, self.number, self.sent = 0, 0, list[Input]()
        self.change_policy(form, reapply=False)
        self.world.apply(*map(one_of, PEOPLE))
        if not early:
            self.request(risk, memory=False, behind=-1, expires=None)

    @precondition(lambda self: self._version() > 0 and not self._open())
    @rule(form=RULES, risk=st.sampled_from(RISKS), early=st.sampled_from([False] * 4 + [True]))
    def start_over(self, form: dict[str, Any], risk: str, early: bool) -> None:
        """Another package in another world, once this one is closed."""
        self.begin(form, risk, early)

    @precondition(lambda self: self._is_sent_back() or self.number % 9 == 0)
    @rule(
        risk=st.sampled_from(RISKS),
        memory=st.booleans(),
        behind=st.sampled_from([-1, -1, -1, 0, -2]),
        expires=st.sampled_from([None, None, None, 3600.0, 30 * 86_400.0, -1.0]),
    )
    def request(self, risk: str, memory: bool, behind: int, expires: float | None) -> None:
        """A version of the package: a notice to send, or a memory to keep."""
        version = self._version() - behind
        if version < 1:
            return
        what = {"tool_call": None, "memory": MEMORY} if memory else {}
        package = e.a_package(version=version, risk_level=risk, **what)
        self._send(
            e.a_request(
                interrupt_id=f"int-{version}",
                package=package,
                expires_at=None if expires is None else e.at(self.world.clock + expires),
            )
        )

    @precondition(lambda self: self._matters())
    @rule(who=WHO, what=st.sampled_from(CHOICES), behind=BEHIND, words=TEXT, until=LATER,
          principal=st.sampled_from([None] * 6 + [*PEOPLE]), named=st.integers(0, 5))  # fmt: skip
    def decide(
        self, who: str, what: str, behind: int, words: str, until: float | None,
        principal: str | None, named: int,
    ) -> None:  # fmt: skip
        """Any decision, in one's own name or another's, naming no digest, the right one, that of
        an override, or a wrong one."""
        digest = self._digests()[min(named, 3)]
        deferral = {"defer_until": self._later(until)} if until else {"defer_condition": words}
        self._send(
            e.a_decision(
                **self._command(who, behind),
                decision=what,
                comment=words,
                reviewer_rationale=words,
                action_digest=digest,
                on_behalf_of=principal,
                **(deferral if what == "defer" else {}),
            )
        )

    @precondition(lambda self: self._open())
    @rule(who=WHO, confirm=st.booleans())
    def approve(self, who: str, confirm: bool) -> None:
        """An approval as it should be, of the action or of an override of it."""
        digest = self._digests()[2 if confirm else 1]
        said = {"comment": "Read.", "reviewer_rationale": "It holds."}
        self._send(e.a_decision(**self._command(who, 0), action_digest=digest, **said))

    @precondition(lambda self: self._matters())
    @rule(who=WHO, behind=BEHIND, words=TEXT, other=ONE_IN_SIX, nothing=ONE_IN_SIX)
    def override(self, who: str, behind: int, words: str, other: bool, nothing: bool) -> None:
        """Another action than the proposed one, an unlisted one, or none."""
        call = another_call(tool_name="mail.send") if other else WARNING
        self._send(
            e.an_override(
                **self._command(who, behind),
                override_reason=words,
                override_tool_call=None if nothing else call,
            )
        )

    @precondition(lambda self: self._matters())
    @rule(who=WHO, behind=BEHIND, action=st.sampled_from(
        ["claim", "release", "assign", "comment", "present", "recuse"]),
        assignee=st.sampled_from([None, *PEOPLE]), met=st.booleans(), words=TEXT)  # fmt: skip
    def work(
        self, who: str, behind: int, action: str, assignee: str | None, met: bool, words: str
    ) -> None:
        """Work on the review task."""
        kind = ("condition_met" if met else "note") if action == "comment" else None
        if action == "recuse" and self.number % 4:
            return
        self._send(
            e.a_task_command(
                **self._command(who, behind),
                action=action,
                assignee=assignee,
                comment=words,
                kind=kind,
            )
        )

    @precondition(lambda self: self._matters())
    @rule(who=WHO, behind=BEHIND, kind=st.sampled_from(
        [None, "missing_evidence", "threshold", "reopening", "outside_sla"]),
        grant=st.booleans(), until=LATER, words=TEXT, name=st.sampled_from("abc"))  # fmt: skip
    def except_(
        self, who: str, behind: int, kind: str | None, grant: bool, until: float | None,
        words: str, name: str,
    ) -> None:  # fmt: skip
        """A policy exception is granted or taken back."""
        self._send(
            e.an_exception(
                **self._command(who, behind),
                action="grant" if grant else "revoke",
                kind=kind,
                exception_id=f"exc-{name}",
                justification=words,
                expires_at=None if until is None else self._later(until),
            )
        )

    @precondition(lambda self: self._grant() is not None or self.number % 7 == 0)
    @rule(who=WHO, behind=BEHIND, words=TEXT, named=st.booleans())
    def revoke(self, who: str, behind: int, words: str, named: bool) -> None:
        """The gate is taken back."""
        grant = self._grant()
        over = {"grant_id": grant.grant_id} if grant and named else {}
        self._send(e.a_revocation(**self._command(who, behind), reason=words, **over))

    @precondition(lambda self: self._matters())
    @rule(who=WHO, behind=BEHIND, words=TEXT)
    def audit(self, who: str, behind: int, words: str) -> None:
        """A verdict on a decision."""
        self._send(e.a_verdict(**self._command(who, behind), comment=words))

    @precondition(lambda self: self._grant() is not None)
    @rule(attempt=st.sampled_from("ab"), kind=st.sampled_from(
        [e.a_take, e.an_executed, e.a_failed, e.an_in_doubt, e.a_denied, e.an_outcome]))  # fmt: skip
    def execute(self, attempt: str, kind: Any) -> None:
        """An executor takes, reports, or is wrong."""
        grant = self._grant()
        assert grant is not None
        form = {"grant_id": grant.grant_id, "attempt_id": attempt}
        if kind is not e.a_take:
            form |= {"event_id": f"receipt-{self.number}", "action_digest": grant.action_digest}
        if kind is e.an_outcome:
            form = {"grant_id": grant.grant_id, "event_id": f"receipt-{self.number}"}
        if kind is e.a_denied:
            form |= {"action_digest": "00" * 32}
        self._send(kind(**form))

    @precondition(lambda self: self.number % 6 == 0)
    @rule(behind=BEHIND)
    def cancel(self, behind: int) -> None:
        """The agent takes its request back."""
        self._send(e.a_cancellation(interrupt_id=f"int-{self._version() - behind}"))

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """A record that was sent before."""
        if self.sent:
            self._send(data.draw(st.sampled_from(self.sent[-6:])))

    @precondition(lambda self: self.number % 3 == 0)
    @rule(who=st.sampled_from([*PEOPLE]), role=st.sampled_from([None, *ROLES]),
          to=st.sampled_from([None, *PEOPLE]), same=st.sampled_from([[]] * 4 + [["r.lind"]]))  # fmt: skip
    def change_person(self, who: str, role: str | None, to: str | None, same: list[str]) -> None:
        """Another role, none at all, a delegate, or a second name."""
        lent = [e.a_delegation(to=to, valid_until=e.at(9e7))] if to and to != who else []
        over = {"removed": True} if role is None else {"roles": [role]}
        linked = [name for name in same if name != who]
        self.world.apply(one_of(who, delegates=lent, linked_identities=linked, **over))

    @precondition(lambda self: self.number % 4 == 0)
    @rule(form=RULES, reapply=st.booleans())
    def change_policy(self, form: dict[str, Any], reapply: bool) -> None:
        """A newer policy, which may be for what is open as well."""
        self.policies += 1
        self.world.apply(a_policy_of(f"p{self.policies}", form, reapply=reapply))

    @rule(seconds=st.sampled_from([1.0, 59.0, 1800.0, 3601.0, 43_200.0, 90_000.0, 180_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and what is due fires."""
        self.world.wait(seconds)

    @rule(seconds=st.sampled_from([1801.0, 3601.0, 90_000.0]), who=WHO,
          what=st.sampled_from(CHOICES))  # fmt: skip
    def race_a_clock(self, seconds: float, who: str, what: str) -> None:
        """A decision that was appended behind a clock, and is read before it fires."""
        self.world.clock += seconds
        self.decide(who, what, 0, "said", 3600.0, None, 1)
        self.world.wait(0)

    @invariant()
    def no_clock_is_due(self) -> None:
        """I10: whatever was due has fired, and is not due again."""
        state = self.world.state
        assert state is None or self.number == 0 or due_timer(state, self.world.context()) is None

    @invariant()
    def an_audit_task_is_no_review_task(self) -> None:
        """The audit of a decision is opened at most once a version, under an id of its own."""
        tasks = of(self.world.events, ReviewTaskEvent)
        audits = [x.review_task_id for x in tasks if x.change == "audit_opened"]
        assert len(audits) == len(set(audits))
        assert not set(audits) & {x.review_task_id for x in tasks if x.change == "created"}

    def _send(self, message: Input) -> None:
        self.number += 1
        self.sent.append(message)
        self.world.send(message)
        self.world.wait(0)

    def _command(self, who: str, behind: int) -> dict[str, Any]:
        return {
            "reviewer_id": who,
            "expected_package_version": max(1, self._version() - behind),
            "command_id": f"cmd-{self.number}",
            "idempotency_key": f"key-{self.number % 97}",
        }

    def _digests(self) -> list[str | None]:
        state = self.world.state
        own = state.accepted.action_digest if state and state.accepted else e.ACTION_DIGEST
        waiting = state.override.action_digest if state and state.override else own
        return [None, own, waiting, "00" * 32]

    def _later(self, seconds: float) -> Any:
        return e.at(self.world.clock + seconds)

    def _version(self) -> int:
        state = self.world.state
        return state.accepted.request.package.version if state and state.accepted else 0

    def _open(self) -> bool:
        return self.world.state is not None and self.world.state.status in ("pending", "escalated")

    def _is_sent_back(self) -> bool:
        state = self.world.state
        return state is None or state.outcome in ("revise", "request_more_evidence")

    def _matters(self) -> bool:
        """Whether a command has something to do; one in six comes all the same."""
        return self._open() or self.number % 6 == 0 or self._audited()

    def _audited(self) -> bool:
        audit = self.world.state.audit if self.world.state else None
        return audit is not None and not audit.closed

    def _grant(self) -> Any:
        return self.world.state.grant if self.world.state else None


TestAnyInput = AnyInput.TestCase
TestAnyInput.settings = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

"""What must hold after any step, whatever came: checked on the events alone, by code of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import permutations
from typing import Any, Final

from core.context import Context, Event, Input, ReviewerCommand
from core.directory import TenantContext
from core.step import Step, due_timer, fire, judge
from schemas.canonical import action_digest
from schemas.codec import decode_any, encode
from schemas.directory import PolicyExceptionChanged, ReviewerAuthorization
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.state import ControlPointState, Slot
from tests.unit.core.world import World, of

RISKS: Final = ("low", "medium", "high", "critical")
FIRES_MAX: Final = 50


class CheckedWorld(World):
    """A world in which every step is taken twice and looked at from all sides."""

    def send(self, command: Input, **over: Any) -> Step:
        """Judges a record; a stale one changes nothing."""
        before = self.state
        self.records += 1
        context = self.context(command, **over)
        step = self._checked(before, context, partial(judge, before, command, context))
        if _is_stale(before, command):
            stale_changed_nothing(step)
        return step

    def wait(self, seconds: float) -> list[Step]:
        """Moves the clock and fires all that is due; a clock never approves."""
        self.clock += seconds
        steps: list[Step] = []
        while (before := self.state) is not None:
            context = self.context()
            if due_timer(before, context) is None:
                break
            step = self._checked(before, context, partial(fire, before, context))
            no_timeout_approved(step)
            steps.append(step)
            assert len(steps) < FIRES_MAX, "the clocks do not come to rest"
        return steps

    def _checked(
        self, before: ControlPointState | None, context: Context, act: Callable[[], Step]
    ) -> Step:
        step = act()
        assert [encode(x) for x in step.events] == [encode(x) for x in act().events]
        for record in (*step.events, *([step.state] if step.state else [])):
            assert record == decode_any(encode(record))
        self._kept(step, before)
        opened_rightly(before, step, context, self.events)
        one_end_per_interrupt(self.events)
        self.apply(*of(step.events, PolicyExceptionChanged))
        return step


def _is_stale(before: ControlPointState | None, command: Input) -> bool:
    return (
        before is not None
        and before.accepted is not None
        and isinstance(command, ReviewerCommand)
        and command.expected_package_version != before.accepted.request.package.version
    )


def stale_changed_nothing(step: Step) -> None:
    """I4: a command about another version is refused, and nothing else follows from it."""
    assert 1 == len(of(step.events, CommandRefused))
    assert [] == of(step.events, HumanDecisionEvent) + of(step.events, ToolGateEvent)
    assert all(x.command_id is None for x in of(step.events, ReviewTaskEvent))


def no_timeout_approved(step: Step) -> None:
    """A clock opens a gate only as the end of an objection window, and decides for nobody."""
    assert [] == of(step.events, HumanDecisionEvent)
    opened = [x for x in of(step.events, ToolGateEvent) if x.gate == "opened"]
    assert all(("window", []) == (x.reason, x.decision_event_ids) for x in opened)
    approved = [x for x in of(step.events, InterruptStatusChanged) if x.outcome == "approve"]
    assert all(x.reason == "window" for x in approved)


def one_end_per_interrupt(events: Sequence[Event]) -> None:
    """I2: after its one terminal outcome nothing is said of an interrupt any more."""
    ended: set[str] = set()
    for change in of(events, InterruptStatusChanged):
        assert change.interrupt_id not in ended
        if change.final:
            ended.add(change.interrupt_id)


def opened_rightly(
    before: ControlPointState | None, step: Step, context: Context, events: Sequence[Event]
) -> None:
    """I1: whatever opens a gate has the right to, today, for this version and this very action."""
    for gate in of(step.events, ToolGateEvent):
        if gate.gate != "opened":
            continue
        state = step.state
        assert state is not None and state.accepted is not None
        plan = state.accepted.plan
        assert gate.tool_name and gate.effect_type and gate.args_json
        assert gate.action_digest == action_digest(gate.tool_name, gate.effect_type, gate.args_json)
        decided = {x.event_id: x for x in of(events, HumanDecisionEvent)}
        counted = [decided[name] for name in gate.decision_event_ids]
        about = {(x.interrupt_id, x.package_version, x.action_digest) for x in counted}
        assert about <= {(gate.interrupt_id, gate.package_version, gate.action_digest)}
        match gate.reason:
            case "policy":
                assert ("out_of_the_loop", []) == (plan.mode, counted)
            case "window":
                _window_was_over(before, context, events)
            case "approve":
                assert gate.action_digest == state.accepted.action_digest
                assert all(x.decision == "approve" and x.override is None for x in counted)
                _quorum_is_met(state, counted, context.tenant)
            case "override":
                _overridden_rightly(state, gate, counted, context.tenant)
            case other:
                raise AssertionError(f"a gate opened because of {other}")


def _window_was_over(
    before: ControlPointState | None, context: Context, events: Sequence[Event]
) -> None:
    assert before is not None and before.accepted is not None and before.decide_by is not None
    assert ("on_the_loop", "objection_window") == (
        before.accepted.plan.mode,
        before.decide_by_source,
    )
    assert before.decide_by < context.now
    closing = {"object", "reject", "escalate", "override", "revise", "request_more_evidence"}
    interrupt = before.accepted.request.interrupt_id
    assert not any(
        x.interrupt_id == interrupt and x.decision in closing
        for x in of(events, HumanDecisionEvent)
    )


def _quorum_is_met(
    state: ControlPointState, counted: Sequence[HumanDecisionEvent], tenant: TenantContext
) -> None:
    """Some seating of the people gives every slot one of them."""
    assert state.accepted is not None
    slots = _slots(state)
    _distinct(counted, tenant)
    assert len(counted) == len(slots) == counted[-1].quorum.need == counted[-1].quorum.have
    assert counted[-1].final
    people = [_people(state, decision, tenant) for decision in counted]
    assert any(_seated(state, seats, slots) for seats in permutations(people))


def _overridden_rightly(
    state: ControlPointState,
    gate: ToolGateEvent,
    counted: Sequence[HumanDecisionEvent],
    tenant: TenantContext,
) -> None:
    """One person of higher authority, and at high and critical risk a second one."""
    assert state.accepted is not None
    plan, first = state.accepted.plan, counted[0]
    assert "override" == first.decision and first.override is not None
    assert first.override.override_tool_call is not None
    assert gate.args_json == first.override.override_tool_call.args_json
    assert gate.action_digest != state.accepted.action_digest
    grave = plan.effective_risk in ("high", "critical")
    assert len(counted) == 2 or not grave
    assert [x.final for x in counted] == [False, True][-len(counted) :]
    assert first.override.override_reason.strip() and first.override.evidence_refs
    _distinct(counted, tenant)
    roles = {plan.ladder[0].role if plan.ladder else plan.role_order[-1]}
    if not grave:
        roles = {slot.role for slot in _slots(state)}
    for decision in counted:
        for person in _people(state, decision, tenant):
            assert f"{plan.subject}:override" in person.scopes
            assert any(meets(plan.role_order, held, r) for held in person.roles for r in roles)


def _distinct(counted: Sequence[HumanDecisionEvent], tenant: TenantContext) -> None:
    """Nobody stands behind two decisions, also not through delegation or another id."""
    seen: set[str] = set()
    for decision in counted:
        names = {decision.reviewer_id, decision.on_behalf_of or decision.reviewer_id}
        names = names.union(*(tenant.identities.get(name, set()) for name in names))
        assert not names & seen
        seen |= names


def _people(
    state: ControlPointState, decision: HumanDecisionEvent, tenant: TenantContext
) -> list[ReviewerAuthorization]:
    """Who decided and for whom, as they stand today, with nothing that bars them."""
    assert state.accepted is not None
    lineage, plan = state.accepted.lineage, state.accepted.plan
    barred = {lineage.first_signer, *lineage.requesters, *lineage.drafters, *lineage.owners}
    names = [decision.reviewer_id, *([decision.on_behalf_of] if decision.on_behalf_of else [])]
    people = [tenant.reviewers[name] for name in names]
    for person in people:
        assert not person.removed
        assert RISKS.index(plan.effective_risk) <= RISKS.index(person.max_risk_level)
        assert person.reviewer_id not in barred | set(state.recused)
    if decision.on_behalf_of:
        lent = [d.to for d in people[1].delegates] + [a.delegate for a in people[1].absences]
        assert decision.reviewer_id in lent
    return people


def _seated(
    state: ControlPointState, seats: Iterable[list[ReviewerAuthorization]], slots: list[Slot]
) -> bool:
    assert state.accepted is not None
    order, teams = state.accepted.plan.role_order, []
    for slot, people in zip(slots, seats, strict=True):
        teams.append(people[0].team)
        for person in people:
            if slot.scope not in person.scopes:
                return False
            if not any(meets(order, held, slot.role) for held in person.roles):
                return False
    return all(teams.count(t) == 1 for t, s in zip(teams, slots, strict=True) if s.distinct_team)


def _slots(state: ControlPointState) -> list[Slot]:
    """The slots after the escalations so far: whoever is asked can answer."""
    assert state.accepted is not None
    plan, slots = state.accepted.plan, list(state.accepted.plan.slots)
    for step in plan.ladder[: state.ladder_step]:
        assert step.role in plan.role_order
        lifted = [
            s.model_copy(update={"role": step.role}) if _below(plan.role_order, s, step.role) else s
            for s in slots
        ]
        asked = any(meets(plan.role_order, s.role, step.role) for s in lifted)
        slots = lifted if asked else [s.model_copy(update={"role": step.role}) for s in slots]
    return slots


def _below(order: list[str], slot: Slot, role: str) -> bool:
    return slot.role in order and order.index(slot.role) < order.index(role)


def meets(order: list[str], held: str, wanted: str) -> bool:
    """Whether a role is the wanted one or above it."""
    if held in order and wanted in order:
        return order.index(held) >= order.index(wanted)
    return held == wanted

"""Intake of a request: every code, and the order in which they are looked for."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.canonical import canonical_json, record_digest
from schemas.events import CommandRefused, InterruptStatusChanged, ReviewTaskEvent
from schemas.requests import InterruptRequested
from tests import examples as e
from tests.unit.core.world import (
    REFUSED_STRANGER,
    World,
    a_next_request,
    a_policy,
    a_world,
    approved,
    asked,
    code,
    codes,
    gates,
    of,
    of_other_tenant,
    signer_of,
    statuses,
)


def _request(package: dict[str, Any] | None = None, **over: Any) -> InterruptRequested:
    return e.a_request(package=e.a_package(**(package or {})), **over)


INCOMPLETE: dict[str, InterruptRequested] = {
    "title": _request({"title": " "}),
    "proposed_action": _request({"proposed_action": ""}),
    "rationale": _request({"rationale": "\n"}),
    "evidence_refs": _request({"evidence_refs": []}),
    "policy_basis": _request({"policy_basis": [""]}),
    "run_id": _request({"run_id": "another-run"}),
    "authority_transition": _request(authority_transition=None),
    "side_effect_preview": _request({"side_effect_preview": "{}"}),
    "known_uncertainties": _request({"known_uncertainties": []}),
}


def test_a_complete_request_is_opened() -> None:
    """An accepted request is answered with interrupt.opened, and a review task is created."""
    world = a_world()

    step = world.send(e.a_request())

    opened, task = world.last(InterruptStatusChanged), world.last(ReviewTaskEvent)
    assert ("recorded", "pending", False) == (step.verdict, opened.status, opened.final)
    assert ("created", "open", "senior_reviewer") == (task.change, task.status, task.required_role)
    assert e.at(86_400) == opened.decide_by == task.due_at
    assert "policy" == opened.decide_by_source


def test_the_accepted_package_is_bound_by_its_digests() -> None:
    """The state carries the digests of the package and of its exact action."""
    accepted = asked().now.accepted

    assert accepted is not None
    assert (record_digest(e.a_package()), e.ACTION_DIGEST) == (
        accepted.package_digest,
        accepted.action_digest,
    )


@pytest.mark.parametrize("field", INCOMPLETE)
def test_an_incomplete_package_is_refused(field: str) -> None:
    """PACKAGE_INCOMPLETE names the field that a reviewer would miss."""
    world = a_world()

    step = world.send(INCOMPLETE[field])

    assert ["PACKAGE_INCOMPLETE"] == codes(step)
    assert field in world.last(CommandRefused).message


def test_every_missing_field_is_named_at_once() -> None:
    """One refusal names all that is missing, so that one mend is enough."""
    world = a_world()

    world.send(_request({"title": "", "rationale": "", "known_uncertainties": []}))

    message = world.last(CommandRefused).message
    assert all(name in message for name in ("title", "rationale", "known_uncertainties"))


def test_confident_packages_need_no_uncertainties() -> None:
    """At or over the policy's bound of confidence, known uncertainties may be empty."""
    step = a_world().send(_request({"confidence": 0.8, "known_uncertainties": []}))

    assert code(step) is None


@pytest.mark.parametrize(
    "package",
    [
        {"tool_call": e.a_tool_call(args_json='{"b":1, "a":2}')},
        {"tool_call": e.a_tool_call(args_json='{"b":1,"a":2}')},
        {"side_effect_preview": '{"n": 1}'},
    ],
)
def test_json_text_must_be_canonical(package: dict[str, Any]) -> None:
    """ARGS_NOT_CANONICAL: JSON text is bound byte for byte, so it must be RFC 8785."""
    step = a_world().send(_request(package))

    assert "ARGS_NOT_CANONICAL" == code(step)


def test_a_false_effect_is_refused() -> None:
    """EFFECT_MISMATCH: the policy's table says what a tool does, not the agent."""
    call = e.a_tool_call(effect_type="internal_note")

    step = a_world().send(_request({"tool_call": call}))

    assert "EFFECT_MISMATCH" == code(step)


def test_nothing_to_decide_is_refused() -> None:
    """NOT_A_CONTROL_POINT: neither an effect nor an authority transition needs a human."""
    step = a_world().send(_request({"tool_call": None}, authority_transition=None))

    assert "NOT_A_CONTROL_POINT" == code(step)


def test_a_transition_without_a_tool_is_a_control_point() -> None:
    """A conclusion that becomes official is decided on, though no tool is called."""
    step = a_world().send(_request({"tool_call": None}, authority_transition="draft_to_send"))

    assert "recorded" == step.verdict


def test_without_a_policy_nothing_is_accepted() -> None:
    """NO_POLICY: a tenant that published no policy has nothing decided for it."""
    step = World().send(e.a_request(), tenant=World().directory.tenant("globex"))

    assert "NO_POLICY" == code(step)


def test_on_the_loop_opens_with_a_window() -> None:
    """A mode without approvals asks nobody: it waits for objections, and the window is named."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
    rule = {"mode": "on_the_loop", "objection_window": "15m"}
    world = a_world(a_policy(policy_version="8", tools=tools, rule=rule))

    step = world.send(e.a_request())

    opened = world.last(InterruptStatusChanged)
    assert ("pending", "objection_window", e.at(900)) == (
        opened.status,
        opened.decide_by_source,
        opened.decide_by,
    )
    assert [] == gates([step])


def test_the_same_request_again_is_a_duplicate() -> None:
    """DUPLICATE_COMMAND names the event that answered the request the first time."""
    world = asked()
    opened = world.last(InterruptStatusChanged)

    step = world.send(e.a_request())

    assert ("duplicate", ["DUPLICATE_COMMAND"]) == (step.verdict, codes(step))
    assert opened.event_id == world.last(CommandRefused).first_event_id


def test_a_request_is_a_duplicate_for_ever() -> None:
    """A request that comes again after its package was decided is still a duplicate."""
    step = approved().send(e.a_request())

    assert "DUPLICATE_COMMAND" == code(step)


def test_an_interrupt_id_stands_for_one_request() -> None:
    """INTERRUPT_CONFLICT: the same interrupt id with other content is refused."""
    step = asked().send(e.a_request(reason="Something else."))

    assert "INTERRUPT_CONFLICT" == code(step)


def test_a_bad_signature_is_never_excused() -> None:
    """UNAUTHENTICATED, also where unsigned requests are allowed: a bad one is not a missing one."""
    world = a_world(a_policy(policy_version="8", unsigned_requests="allow"))
    world.unsigned = True

    step = world.send(e.a_request(), **REFUSED_STRANGER)

    assert ("UNAUTHENTICATED", None) == (code(step), step.state)


def test_an_unsigned_request_is_refused_by_default() -> None:
    """UNAUTHENTICATED: who asks must be proven."""
    step = a_world().send(e.a_request(), signer=None)

    assert "UNAUTHENTICATED" == code(step)


def test_the_package_belongs_to_the_tenant_of_the_request() -> None:
    """TENANT_MISMATCH: a package of another tenant cannot ride in my request."""
    step = a_world().send(_request({"tenant_id": "globex"}))

    assert "TENANT_MISMATCH" == code(step)


def test_a_stranger_learns_nothing_and_leaves_nothing() -> None:
    """Neither a bad signature nor one for another tenant sees the version or writes the state."""
    world = asked()
    before = world.state

    for stranger in (REFUSED_STRANGER, of_other_tenant()):
        world.send(a_next_request(), **stranger)

        assert world.last(CommandRefused).current_package_version is None
        assert before == world.state


ORDER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # code, changes of the request, changes of its package
    ("INTERRUPT_CONFLICT", {"interrupt_id": e.INTERRUPT_ID}, {}),
    ("PACKAGE_VERSION_OUT_OF_ORDER", {}, {"version": 3}),
    ("NOT_REQUESTER", {}, {"proposed_by": "agent:other"}),
    ("ARGS_NOT_CANONICAL", {}, {"side_effect_preview": "{ }"}),
    ("EFFECT_MISMATCH", {}, {"tool_call": e.a_tool_call(effect_type="internal_note")}),
    ("PACKAGE_INCOMPLETE", {}, {"title": ""}),
]


@pytest.mark.parametrize("first", range(len(ORDER)), ids=[code for code, _, _ in ORDER])
def test_the_earlier_check_wins(first: int) -> None:
    """A request that fails several checks is answered with the first of them in the order."""
    request: dict[str, Any] = {}
    package: dict[str, Any] = {"version": 2}
    for _, request_part, package_part in ORDER[first:]:
        request |= request_part
        package |= package_part

    step = asked().send(a_next_request(**request, package=package))

    assert ORDER[first][0] == code(step)


def test_who_is_proven_comes_before_all_else() -> None:
    """A request that is wrong in every way is first of all not authenticated."""
    request = a_next_request(package={"version": 9, "tenant_id": "globex", "title": ""})

    step = asked().send(request, signer=None)

    assert "UNAUTHENTICATED" == code(step)


def test_out_of_the_loop_opens_the_gate_at_once() -> None:
    """A tool that the table lists as needing no approval is opened by policy, and says so."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
    world = a_world(a_policy(policy_version="8", tools=tools, rule={"mode": "out_of_the_loop"}))

    step = world.send(e.a_request())

    assert [("pending", None), ("decided", "approve")] == statuses([step])
    assert ("open", []) == (world.now.gate, world.now.approvals)


def test_a_request_that_came_too_late_is_not_opened_by_policy() -> None:
    """Out of the loop does not outrun the requester's own end: it waits, and then expires."""
    tools = [{"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False}]
    world = a_world(a_policy(policy_version="8", tools=tools, rule={"mode": "out_of_the_loop"}))

    steps = [world.send(e.a_request(expires_at=e.at(-1)), signer=signer_of(e.a_request()))]
    steps += world.wait(1)

    assert [("pending", None), ("expired", "expired")] == statuses(steps)
    assert "denied" == world.now.gate


def test_canonical_arguments_keep_their_meaning() -> None:
    """Money as text and nested arguments pass as they are."""
    call = e.a_tool_call({"amount": "10.00", "nested": {"a": [1, 2.5, None]}})

    world = asked(package=e.a_package(tool_call=call))

    assert world.now.accepted is not None
    assert canonical_json({"amount": "10.00", "nested": {"a": [1, 2.5, None]}}) == call.args_json
    assert e.digest_of(call) == world.now.accepted.action_digest


def test_the_task_is_closed_when_the_interrupt_ends() -> None:
    """No review task stays open behind an interrupt that is final."""
    world = approved()

    assert [("created", "open"), ("closed", "closed")] == [
        (task.change, task.status) for task in of(world.events, ReviewTaskEvent)
    ]

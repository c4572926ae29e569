"""Memory writes are control points: pending by default, with provenance, bound to one digest."""

from __future__ import annotations

from typing import Any

import pytest

from core.step import Step
from schemas.canonical import canonical_json
from schemas.commands import HumanDecisionCommand
from schemas.events import ReviewTaskEvent, ToolGateEvent
from schemas.requests import InterruptRequested, MemoryApprovalPackage
from tests import examples as e
from tests.unit.core.rulebook import STAFF, by, decides, somebody
from tests.unit.core.world import World, a_directory, a_policy, code, codes, gates, of

RULE = {"name": "memories", "when": {"tools": ["memory.*"]}, "subject": "memory"}
TOP = "head_of_enforcement"


def a_memory(**over: Any) -> MemoryApprovalPackage:
    """What the agent wants to remember of an operator."""
    form: dict[str, Any] = {
        "package_id": "mem-1",
        "proposed_memory": "Harbour Freight repairs late in winter.",
        "subject_type": "operator",
        "subject_id": "harbour-freight",
        "source_refs": ["case:5512", "case:4810"],
        "sensitivity": "internal",
        "retention": "2y",
        "proposed_by": e.AGENT,
    }
    return MemoryApprovalPackage(**(form | over))


def _asks(memory: MemoryApprovalPackage | None = None, **package: Any) -> InterruptRequested:
    form = {"tool_call": None, "memory": memory or a_memory(), "side_effect_preview": "{}"}
    return e.a_request(package=e.a_package(**(form | package)), authority_transition=None)


def _world(**policy: Any) -> World:
    form: dict[str, Any] = {"rules": [RULE]} | policy
    document = a_policy(policy_version="memory", **form)
    keeper = somebody("r.keeper", TOP, scopes=["memory:approve", "memory:override"])
    other = somebody("r.archive", TOP, scopes=["memory:approve", "memory:override"])
    return World(directory=a_directory(*STAFF, document, keeper, other))


def _asked(request: InterruptRequested | None = None, **policy: Any) -> tuple[World, Step]:
    world = _world(**policy)
    return world, world.send(request or _asks())


def test_a_memory_is_pending_by_default() -> None:
    """No gate opens by itself; a person with the scope approves, and exactly that write opens."""
    world, step = _asked()

    assert [] == gates([step])
    opened = of(world.send(_approves(world)).events, ToolGateEvent)[0]
    assert ("memory.write", "memory_write") == (opened.tool_name, opened.effect_type)
    written = canonical_json(a_memory().model_dump(mode="json", exclude_none=True))
    assert written == opened.args_json


def _approves(world: World, **over: Any) -> HumanDecisionCommand:
    assert world.now.accepted is not None
    form: dict[str, Any] = {"action_digest": world.now.accepted.action_digest} | over
    return decides("r.keeper", **form)


@pytest.mark.parametrize("mode", ["on_the_loop", "out_of_the_loop"])
def test_a_memory_never_keeps_itself(mode: str) -> None:
    """Unless the tools table says otherwise, no mode lets a memory in without people."""
    world, step = _asked(
        _asks(risk_level="low"), rules=[RULE | {"mode": mode, "objection_window": "1h"}]
    )

    assert [] == gates([step, *world.wait(7200)])


@pytest.mark.parametrize("refs", [[], [" "]])
def test_a_memory_says_where_it_comes_from(refs: list[str]) -> None:
    """Without provenance no human is asked."""
    _, step = _asked(_asks(a_memory(source_refs=refs)))

    assert ["PACKAGE_INCOMPLETE"] == codes(step)
    assert "provenance" in str(step.events[0])


def test_an_empty_memory_is_incomplete() -> None:
    """There must be something to remember."""
    assert "PACKAGE_INCOMPLETE" == code(_asked(_asks(a_memory(proposed_memory=" ")))[1])


def test_an_approval_is_of_one_content() -> None:
    """Another word, retention or source is another action."""
    other = a_memory(retention="10y")
    digest = e.digest_of(
        e.a_tool_call(
            tool_name="memory.write", effect_type="memory_write",
            args_json=canonical_json(other.model_dump(mode="json", exclude_none=True)),
        )
    )  # fmt: skip
    world, _ = _asked()

    step = world.send(_approves(world, action_digest=digest))

    assert "ACTION_DIGEST_MISMATCH" == code(step)


def test_who_proposes_a_memory_stands_behind_it() -> None:
    """Its proposer is a drafter, whoever sent the request."""
    world, _ = _asked(_asks(a_memory(proposed_by="r.keeper")))

    assert "SEPARATION_OF_DUTIES" == code(world.send(_approves(world)))


def test_what_it_replaces_is_part_of_what_is_approved() -> None:
    """A memory that supersedes another names it, under the digest."""
    world, _ = _asked(_asks(a_memory(supersedes="mem-0")))

    opened = of(world.send(_approves(world)).events, ToolGateEvent)[0]

    assert opened.args_json is not None
    assert '"supersedes":"mem-0"' in opened.args_json


def test_a_rule_reads_the_sensitivity() -> None:
    """The policy asks more where the memory is sensitive."""
    strict = RULE | {
        "name": "sensitive", "mode": "human_led", "when": {"memory_sensitivity": ["personal"]}
    }  # fmt: skip

    plain, _ = _asked(rules=[strict, RULE])
    led, _ = _asked(_asks(a_memory(sensitivity="personal")), rules=[strict, RULE])

    assert plain.now.accepted is not None and led.now.accepted is not None
    assert ["in_the_loop", "human_led"] == [
        world.now.accepted.plan.mode for world in (plain, led) if world.now.accepted
    ]


def test_the_tools_table_speaks_of_memories_too() -> None:
    """Its risk is a floor, and another effect than the table's is a mismatch."""
    row = {"tool": "memory.write", "effect_type": "memory_write", "min_risk": "critical"}
    world, _ = _asked(_asks(risk_level="low"), tools=[row])
    _, other = _asked(tools=[row | {"effect_type": "note"}])

    assert "critical" == world.last(ReviewTaskEvent).priority
    assert "EFFECT_MISMATCH" == code(other)


def test_a_memory_too_long_for_a_grant_is_refused() -> None:
    """What could not be opened exactly is not asked."""
    long = a_memory(proposed_memory="é" * 65_400, source_refs=["case:1"] * 20)

    assert "PACKAGE_FULL" == code(_asked(_asks(long))[1])


def test_a_memory_is_not_written_by_override() -> None:
    """An override shows no provenance; another memory is another package."""
    world, _ = _asked(_asks(risk_level="medium"))
    call = e.a_tool_call({"proposed_memory": "Repairs late."}, tool_name="memory.write",
                         effect_type="memory_write")  # fmt: skip

    step = world.send(by(e.an_override, "r.keeper", override_tool_call=call))

    assert "DECISION_NOT_ALLOWED" == code(step)


@pytest.mark.parametrize("memory", ["none", "another"])
def test_a_memory_write_carries_its_memory(memory: str) -> None:
    """A bare `memory.write` call, or one for other content than is shown, is incomplete: nobody
    could see where it comes from."""
    shown = _asks().package.memory
    call = e.a_tool_call({"proposed_memory": "Repairs late.", "source_refs": []},
                         tool_name="memory.write", effect_type="memory_write")  # fmt: skip
    package = e.a_package(memory=shown if memory == "another" else None, tool_call=call)

    _, step = _asked(e.a_request(package=package))

    assert "PACKAGE_INCOMPLETE" == code(step)

"""One tenant floods: what its policy limits, whom it reaches, and what makes room again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from consumers.control.ports import Loaded, Opener
from core.jwk import TrustedKeys
from producers.keys import new_key
from schemas.canonical import canonical_json
from schemas.directory import PolicyDocument
from schemas.events import CommandRefused, InterruptStatusChanged
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.fakes.memory_store import MemoryStore
from tests.unit.audit.stories import proof_of, read_of
from tests.unit.control.world import KEYS, World, settle

OTHER_AGENT, OTHER_TENANT, THEIR_AGENT = "agent:second", "globex", "agent:globex"
SENDERS = {(e.TENANT, e.AGENT), (e.TENANT, OTHER_AGENT), (OTHER_TENANT, THEIR_AGENT)}


class CountingStore(MemoryStore):
    """Notes of whom it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Opener] = []

    def load(self, task: int, keys: Sequence[bytes], openers: Sequence[Opener] = ()) -> Loaded:
        self.asked += openers
        return super().load(task, keys, openers)


def keys() -> TrustedKeys:
    """The keys of everybody, and of two agents more."""
    for name in (OTHER_AGENT, THEIR_AGENT):
        KEYS.setdefault(name, new_key())
    agents = [KEYS[agent].public_jwk(agent_id=agent, tenant_id=tenant) for tenant, agent in SENDERS]
    person = KEYS[e.REVIEWER].public_jwk(reviewer_id=e.REVIEWER, tenant_id=e.TENANT)
    return TrustedKeys.from_jwks({"keys": [*agents, person]})


def a_policy(tenant_id: str, **limits: int) -> dict[str, Any]:
    """A policy with limits."""
    form = e.a_policy_form(tenant_id=tenant_id)
    return form | {"defaults": form.get("defaults", {}) | limits}


def a_world(**limits: int) -> World:
    """Two tenants with the same limits, on two partitions."""
    world = World(keys=keys(), policy=a_policy(e.TENANT, **limits))
    theirs = a_policy(OTHER_TENANT, **limits)
    world.directory(
        PolicyDocument(
            tenant_id=OTHER_TENANT,
            policy_version=theirs["policy_version"],
            document_json=canonical_json(theirs),
        )
    )
    world.directory(e.an_agent(agent_id=OTHER_AGENT))
    world.directory(e.an_agent(agent_id=THEIR_AGENT, tenant_id=OTHER_TENANT))
    return world


def names(tenant_id: str, task: int, number: int, prefix: str = "pkg") -> list[str]:
    """So many packages of the tenant in a task."""
    found = (f"{prefix}-{n}" for n in count())
    here = (name for name in found if partition_for(record_key(tenant_id, name), 2) == task)
    return [next(here) for _ in range(number)]


def ask(world: World, agent: str, packages: list[str], tenant_id: str = e.TENANT) -> None:
    """The agent asks for each, in a row."""
    for name in packages:
        package = e.a_package(
            decision_package_id=name, tenant_id=tenant_id, proposed_by=agent, drafted_by=agent
        )
        request = e.a_request(
            interrupt_id=f"int-{name}", tenant_id=tenant_id, requested_by=agent, package=package
        )
        world.send(request, agent, request.interrupt_id, tenant_id=tenant_id)


def refused(world: World) -> list[str]:
    """The interrupts that were answered TOO_MANY_OPEN; nothing else was refused."""
    refusals = world.all(CommandRefused)
    assert {refusal.code for refusal in refusals} <= {"TOO_MANY_OPEN"}
    return [refusal.command_id for refusal in refusals]


def opened(world: World) -> list[str]:
    """The interrupts that were opened."""
    events = world.all(InterruptStatusChanged)
    return [event.interrupt_id for event in events if event.status == "pending"]


def test_a_flood_is_refused_at_its_tenants_share_and_reaches_no_other_tenant() -> None:
    """Within one batch too; the other tenant's requests in the same tasks are opened."""
    world = a_world(open_max=4)
    here, there = names(e.TENANT, 0, 5), names(e.TENANT, 1, 3)
    theirs = names(OTHER_TENANT, 0, 2, "their")
    ask(world, e.AGENT, [*here, *there])
    ask(world, THEIR_AGENT, theirs, OTHER_TENANT)

    settle(world.worker())

    assert refused(world) == [f"int-{name}" for name in [*here[2:], *there[2:]]]
    assert set(opened(world)) == {f"int-{name}" for name in [*here[:2], *there[:2], *theirs]}


def test_an_agent_that_floods_reaches_no_other_agent() -> None:
    """`open_max_per_agent` counts who sent version 1."""
    world = a_world(open_max_per_agent=2)
    mine, others = names(e.TENANT, 0, 3), names(e.TENANT, 0, 2, "other")
    ask(world, e.AGENT, mine)
    ask(world, OTHER_AGENT, others)

    settle(world.worker())

    assert refused(world) == [f"int-{mine[1]}", f"int-{mine[2]}", f"int-{others[1]}"]


def test_a_decision_makes_room() -> None:
    """The next request after it is opened, the one before it is not."""
    world = a_world(open_max=2)
    first, second, third = names(e.TENANT, 0, 3)
    worker = world.worker()
    ask(world, e.AGENT, [first, second])
    settle(worker)
    world.decide(decision_package_id=first)
    settle(worker)
    ask(world, e.AGENT, [third])
    settle(worker)

    assert refused(world) == [f"int-{second}"]
    assert opened(world) == [f"int-{first}", f"int-{third}"]


def test_an_emptied_store_counts_as_before() -> None:
    """The numbers come back from the log; no flood gets through while Redis was lost."""
    world = a_world(open_max=4)
    first, second, third = names(e.TENANT, 0, 3)
    worker = world.worker()
    ask(world, e.AGENT, [first, second])
    settle(worker)
    world.store.flush()
    settle(worker)
    ask(world, e.AGENT, [third])
    settle(worker)

    assert refused(world) == [f"int-{third}"]
    assert world.store.load(0, [], [(e.TENANT, e.AGENT)]).open_of == {(e.TENANT, e.AGENT): (2, 2)}


def test_the_refusals_of_a_flood_are_judged_again_alike() -> None:
    """The journal holds what was open and how many tasks there were."""
    world = a_world(open_max=4)
    ask(world, e.AGENT, names(e.TENANT, 0, 3))
    ask(world, THEIR_AGENT, names(OTHER_TENANT, 0, 1, "their"), OTHER_TENANT)
    settle(world.worker())
    requests = [j.context for j in world.journal(0) if j.verdict in ("recorded", "refused")]
    proof = proof_of(world, partition=0)

    for record in world.cluster.records("audit-journal", 0):
        proof.check(read_of(record))

    assert refused(world)
    assert [(c.open_of_tenant, c.open_of_agent, c.partitions) for c in requests] == [
        (0, 0, 2), (1, 1, 2), (2, 2, 2), (0, 0, 2),
    ]  # fmt: skip
    assert (proof.counts.refolded, proof.counts.rejudged) == (0, 4)


def test_without_a_limit_the_store_is_not_asked() -> None:
    """With one, once for each agent in a batch."""
    asked = []
    for limits in ({}, {"open_max": 100}):
        world = a_world(**limits)
        world.store = store = CountingStore()
        ask(world, e.AGENT, names(e.TENANT, 0, 3))
        settle(world.worker())
        asked.append(store.asked)
        assert refused(world) == []

    assert asked == [[], [(e.TENANT, e.AGENT)]]

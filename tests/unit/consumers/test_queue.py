"""The queue: the fold of the changelog, and what an id stands for."""

from __future__ import annotations

from typing import Any

import pytest

from consumers import queue
from consumers.queue import Queue, UnknownControlPoint, chosen, fold
from consumers.reading import Read
from core.planning import plan_for
from core.policy import parse_policy
from schemas.canonical import record_digest
from schemas.codec import encode
from schemas.state import ControlPointState, Lineage, PackageAccepted, SeenInterrupt
from schemas.topics import record_key
from tests import examples as e


def an_open(package_id: str, **over: Any) -> ControlPointState:
    """An open control point."""
    interrupt = f"{package_id}-v1"
    package = e.a_package(decision_package_id=package_id, risk_level=over.pop("risk", "high"))
    request = e.a_request(interrupt_id=interrupt, package=package)
    accepted = PackageAccepted(
        event_id="accepted", request=request, request_digest="d", package_digest="d",
        plan=plan_for(parse_policy(e.a_policy_form()), request, signed=True),
        lineage=Lineage(first_signer=e.AGENT, requesters=[], drafters=[]),
        opened_event_id="opened", occurred_at=e.NOW,
    )  # fmt: skip
    seen = SeenInterrupt(
        interrupt_id=interrupt, version=1, request_digest=record_digest(request), event_id="opened"
    )
    form: dict[str, Any] = {
        "decision_package_id": package_id, "status": "pending", "accepted": accepted,
        "interrupts": [seen], "decide_by": e.at(3600),
    }  # fmt: skip
    return e.a_state(**(form | over))


def log(*states: ControlPointState | tuple[str, str]) -> list[Read]:
    """A changelog; (tenant, package) is the end of one."""
    reads = []
    for offset, state in enumerate(states):
        value = encode(state) if isinstance(state, ControlPointState) else None
        ids = (
            (state.tenant_id, state.decision_package_id)
            if isinstance(state, ControlPointState)
            else state
        )
        reads.append(Read("interrupt-state", 0, offset, e.NOW, record_key(*ids), value, ()))
    return reads


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Read]:
    """What the queue reads; tests fill it."""
    reads: list[Read] = []
    monkeypatch.setattr(queue, "read_topic", lambda *_, **__: iter(reads))
    monkeypatch.setattr(queue, "partitions_of", lambda *_: 4)
    return reads


def test_the_last_state_counts_and_a_tombstone_ends_one() -> None:
    """As the changelog is compacted."""
    first, later = an_open("p"), an_open("p", status="decided", outcome="approve")

    latest = fold(iter(log(first, an_open("q"), later, (e.TENANT, "q"))))

    assert list(latest.values()) == [later]


def test_the_riskiest_and_the_first_due_come_first(served: list[Read]) -> None:
    """And what is closed is not in the queue."""
    served += log(
        an_open("late", decide_by=e.at(7200)),
        an_open("soon", decide_by=e.at(60)),
        an_open("critical", risk="critical", decide_by=e.at(9000)),
        an_open("closed", status="decided"),
        e.a_state(decision_package_id="awaited"),
    )

    found = Queue({}, str).open()

    assert [state.decision_package_id for state in found] == ["critical", "soon", "late"]


def test_a_tenant_sees_its_own(served: list[Read]) -> None:
    """Filtered by the state, not by who asks."""
    served += log(an_open("p"), an_open("q", tenant_id="other"))

    found = Queue({}, str).open(tenant_id="other")

    assert [state.decision_package_id for state in found] == ["q"]


@pytest.mark.parametrize("tenant", [None, e.TENANT])
@pytest.mark.parametrize("some_id", ["p", "p-v1"])
def test_a_package_is_found_by_its_id_and_by_its_interrupts(
    served: list[Read], tenant: str | None, some_id: str
) -> None:
    """With or without its tenant."""
    served += log(an_open("p"), an_open("q"))

    assert Queue({}, str).find(tenant, some_id).decision_package_id == "p"


def test_an_id_that_nobody_has_is_unknown(served: list[Read]) -> None:
    """The message names it."""
    with pytest.raises(UnknownControlPoint, match="nope: no control point"):
        Queue({}, str).find(e.TENANT, "nope")


def test_an_id_of_two_tenants_needs_its_tenant() -> None:
    """Both are named."""
    states = [an_open("p"), an_open("p", tenant_id="other")]

    with pytest.raises(UnknownControlPoint, match=r"acme, other\); add --tenant"):
        chosen(states, "p")


def test_a_package_id_goes_before_an_interrupt_id() -> None:
    """Who names an interrupt after another's package does not take its place."""
    states = [an_open("p"), an_open("q", interrupts=[SeenInterrupt(
        interrupt_id="p", version=1, request_digest="d", event_id="x")])]  # fmt: skip

    assert chosen(states, "p").decision_package_id == "p"

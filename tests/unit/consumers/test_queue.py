"""The queue: the fold of the changelog, and what an id stands for."""

from __future__ import annotations

import pytest

from consumers import queue
from consumers.queue import Queue, UnknownControlPoint, chosen, fold
from consumers.queue_rows import Wanted
from consumers.reading import Read
from schemas.codec import encode
from schemas.state import ControlPointState, SeenInterrupt
from schemas.topics import record_key
from tests import examples as e
from tests.examples.tasks import a_deferred, an_open


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


def test_the_log_has_the_queue_as_well(served: list[Read]) -> None:
    """The riskiest and the first due come first; what is closed or awaited is not in it."""
    served += log(
        an_open("late", decide_by=e.at(7200)),
        an_open("soon", decide_by=e.at(60)),
        an_open("critical", risk="critical", decide_by=e.at(9000)),
        an_open("closed", status="decided"),
        a_deferred("deferred"),
        e.a_state(decision_package_id="awaited"),
    )

    found = Queue({}, str).top(Wanted(), 10)
    first = Queue({}, str).top(Wanted(), 2)

    assert [row.decision_package_id for row in found] == ["critical", "soon", "late"]
    assert first == found[:2]


def test_only_what_is_wanted_is_listed(served: list[Read]) -> None:
    """Filtered by the state, not by who asks."""
    served += log(an_open("p"), an_open("q", tenant_id="other"), a_deferred("r"))

    of_other = Queue({}, str).top(Wanted(tenant_id="other"), 10)
    deferred = Queue({}, str).top(Wanted(kind="deferred"), 10)

    assert [row.decision_package_id for row in (*of_other, *deferred)] == ["q", "r"]


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

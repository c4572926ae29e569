"""The control points of one batch: what they count as, and what the store is told of them."""

from __future__ import annotations

import pytest

from consumers.control.ports import Stored, Watermark, WatermarkMismatch
from consumers.control.view import View, stored
from consumers.queue_rows import ranked
from schemas.codec import encode
from schemas.topics import record_key
from tests import examples as e
from tests.examples.tasks import an_open
from tests.fakes.memory_store import MemoryStore

ZERO = Watermark("journal", 0)


def key(package_id: str) -> bytes:
    """Of a package of the story's tenant."""
    return record_key(e.TENANT, package_id)


def a_view(*open_packages: str) -> View:
    """A batch that begins while these are open."""
    return View(a_store(*open_packages), 0, ZERO)


def a_store(*open_packages: str) -> MemoryStore:
    """A store in which these are open."""
    store = MemoryStore()
    token = store.begin_restore(0)
    for package_id in open_packages:
        state = an_open(package_id)
        store.restore(0, token, {key(package_id): stored(encode(state), state)})
    store.end_restore(0, token, ZERO)
    return store


def test_open_interrupts_are_counted_over_the_task_and_the_batch() -> None:
    """Those of other packages too; each change counts at once, and once."""
    view = a_view("p", "q", "r")
    view.load([key("p"), key("new")])
    counts = [view.open_count()]
    for package_id, state in (
        ("new", an_open("new")),
        ("new", an_open("new", assigned_to=e.REVIEWER)),
        ("p", an_open("p", status="escalated")),
        ("p", an_open("p", status="decided")),
        ("new", None),
    ):
        view.put(key(package_id), state)
        counts.append(view.open_count())
    view.load([key("q")])

    assert counts == [3, 4, 4, 4, 3, 2]
    assert view.open_count() == 2


def test_a_package_that_is_only_awaited_is_not_open() -> None:
    """Nobody has asked for it yet."""
    view = a_view()
    view.load([key("p")])
    view.put(key("p"), e.a_state(decision_package_id="p"))

    assert view.open_count() == 0


def test_what_a_tenant_and_an_agent_have_open_includes_the_batch() -> None:
    """Another version does not count again; another agent's counts for the tenant only."""
    mine, other = (e.TENANT, e.AGENT), (e.TENANT, "agent:other")
    view = a_view("p", "q")
    names = ("p", "new", "theirs")
    view.load([key(name) for name in names])
    of_other = an_open("theirs")
    assert of_other.accepted is not None
    lineage = of_other.accepted.lineage.model_copy(update={"first_signer": "agent:other"})
    accepted = of_other.accepted.model_copy(update={"lineage": lineage})
    seen = [view.open_of(mine)]
    for package_id, state in (
        ("new", an_open("new")),
        ("new", an_open("new", assigned_to=e.REVIEWER)),
        ("theirs", of_other.model_copy(update={"accepted": accepted})),
        ("p", an_open("p", status="decided")),
        ("new", None),
    ):
        view.put(key(package_id), state)
        seen.append(view.open_of(mine))

    assert seen == [(2, 2), (3, 3), (3, 3), (4, 3), (3, 2), (2, 1)]
    assert view.open_of(other) == (2, 1)
    assert view.open_of(("globex", e.AGENT)) == (0, 0)


def test_a_store_that_moved_on_counts_for_nobody() -> None:
    """What is open is asked of the store where the task stands, or not at all."""
    store = a_store("p")
    view = View(store, 0, ZERO)
    view.load([key("p")])
    store.apply(0, ZERO, Watermark("journal", 1), {})

    with pytest.raises(WatermarkMismatch):
        view.open_of((e.TENANT, e.AGENT))


def test_the_store_is_told_the_row_of_each_change() -> None:
    """The same that the log gives; none for what has ended."""
    view = a_view("p", "q")
    view.load([key("p"), key("q")])
    held = an_open("p", assigned_to=e.REVIEWER)
    view.put(key("p"), held)
    view.put(key("q"), None)

    changes = view.changes()

    assert changes[key("p")].row == ranked(key("p"), held) is not None
    assert changes[key("q")] == Stored(None)

"""The control points of one batch: what they count as, and what the store is told of them."""

from __future__ import annotations

from consumers.control.ports import Stored, Watermark
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
    store = MemoryStore()
    token = store.begin_restore(0)
    for package_id in open_packages:
        state = an_open(package_id)
        store.restore(0, token, {key(package_id): stored(encode(state), state)})
    store.end_restore(0, token, ZERO)
    return View(store, 0, ZERO)


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

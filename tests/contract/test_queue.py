"""The projection keeps the same promises in memory and in Redis: pages, and the list made of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from consumers.control.ports import StateStore, Stored, Watermark, WatermarkMismatch
from consumers.control.store import RedisStore, redis_key
from consumers.control.view import stored
from consumers.queue_projection import NotProjected, QueuePages, QueueProjection, RedisQueue
from consumers.queue_rows import KINDS, LISTS, Ranked, Wanted, in_order, ranked, top
from deploy.dev_stack.local import redis_in
from schemas.codec import encode
from schemas.state import ControlPointState
from schemas.topics import partition_for, record_key
from schemas.vocabulary import RISK_LEVELS
from tests import examples as e
from tests.examples.tasks import a_deferred, a_doubtful, an_audited, an_open
from tests.fakes.memory_store import MemoryStore

PARTITIONS: Final = 3
ALL: Final = Wanted()
Both = tuple[StateStore, QueuePages]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module's own."""
    redis = redis_in(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.kafka)])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    """An empty store of each kind, and the reader of its queue."""
    if request.param == "memory":
        memory = MemoryStore()
        yield memory, memory
        return
    url: str = request.getfixturevalue("redis_url")
    store = RedisStore(url, prefix=f"{tmp_path.name}.", mac_key=b"k" * 32)
    queue = RedisQueue(url, prefix=f"{tmp_path.name}.")
    yield store, queue
    store.close()
    queue.close()


def changes_of(states: Sequence[ControlPointState]) -> dict[bytes, Stored]:
    """As a worker tells them to its store."""
    return {record_key(s.tenant_id, s.decision_package_id): stored(encode(s), s) for s in states}


def filled(store: StateStore, states: Sequence[ControlPointState], tasks: int = PARTITIONS) -> None:
    """Every task restored, each control point in its own."""
    changes = changes_of(states)
    for task in range(tasks):
        mine = {key: new for key, new in changes.items() if partition_for(key, tasks) == task}
        token = store.begin_restore(task)
        store.restore(task, token, mine)
        store.end_restore(task, token, Watermark("journal", 0))


def applied(store: StateStore, seq: int, changes: dict[bytes, Stored]) -> None:
    """A step of task 0."""
    store.apply(0, Watermark("journal", seq), Watermark("journal", seq + 1), changes)


def names(queue: QueuePages, wanted: Wanted = ALL, limit: int = 50, tasks: int = 1) -> list[str]:
    """Packages in the order of the list."""
    return [row.decision_package_id for row in QueueProjection(queue, tasks).top(wanted, limit)]


def walked(queue: QueuePages, between: Callable[[], None], **maxima: int) -> list[bytes]:
    """The keys of task 0, page by page; something happens between two pages."""
    found: list[bytes] = []
    after: Ranked | None = None
    for _ in range(100):
        (page,) = queue.pages([(0, after)], ALL, **maxima)
        assert page is not None
        found += [row.key for row in page.rows]
        after = page.after
        if after is None:
            return found
        between()
    raise AssertionError("the pages have no end")


def nothing() -> None:
    """Nothing happens."""


@cache
def many(number: int) -> tuple[ControlPointState, ...]:
    """Control points of every kind, some in one place of the order."""
    draw = random.Random(4)
    made = []
    for n in range(number):
        make: Any = draw.choices((an_open, a_deferred, a_doubtful, an_audited), (6, 1, 1, 1))[0]
        plan = {
            "priority": draw.choice((0, 0, 9)),
            "effective_risk": draw.choice(RISK_LEVELS),
        }
        made.append(
            make(
                f"p{n}",
                plan=plan,
                tenant_id=draw.choice((e.TENANT, "other")),
                decide_by=draw.choice((None, e.at(60), e.at(draw.random() * 1000))),
                assigned_to=draw.choice((None, e.REVIEWER)),
            )
        )
    return tuple(made)


def test_a_row_comes_and_goes_with_its_control_point(both: Both) -> None:
    """In the step that moves the watermark: open, held, decided, gone."""
    store, queue = both
    filled(store, [], tasks=1)
    seen = []
    for seq, state in enumerate(
        [an_open("p"), an_open("p", assigned_to=e.REVIEWER), an_open("p", status="decided")]
    ):
        applied(store, seq, changes_of([state]))
        seen.append((names(queue), names(queue, Wanted(assignee=e.REVIEWER))))
    applied(store, 3, {record_key(e.TENANT, "p"): Stored(None)})

    assert seen == [(["p"], []), (["p"], ["p"]), ([], [])]
    assert names(queue) == []


def test_a_control_point_has_one_row(both: Both) -> None:
    """Of one kind at a time, in one place."""
    store, queue = both
    filled(store, [an_open("p", risk="low")], tasks=1)
    applied(store, 0, changes_of([an_open("p", risk="high")]))
    applied(store, 1, changes_of([a_deferred("p")]))

    found = {kind: names(queue, Wanted(kind=kind)) for kind in KINDS}

    assert found == {"review": [], "in_doubt": [], "audit": [], "deferred": ["p"]}


def test_a_stale_writer_changes_no_row(both: Both) -> None:
    """The queue is written under the same comparison as the states."""
    store, queue = both
    filled(store, [an_open("p")], tasks=1)
    applied(store, 0, {})

    with pytest.raises(WatermarkMismatch):
        store.apply(
            0, Watermark("journal", 0), Watermark("journal", 7), changes_of([an_open("zombie")])
        )

    assert names(queue) == ["p"]


def test_a_part_that_is_being_restored_is_not_read(both: Both) -> None:
    """Half a queue is none; once it is restored it is the same again."""
    store, queue = both
    states = [an_open(f"p{n}", decide_by=e.at(n)) for n in range(9)]
    filled(store, states)
    before = names(queue, tasks=PARTITIONS)
    token = store.begin_restore(1)

    with pytest.raises(NotProjected, match="partition 1 is being restored"):
        names(queue, tasks=PARTITIONS)
    mine = changes_of([s for s in states if _task_of(s) == 1])
    store.restore(1, token, mine)
    with pytest.raises(NotProjected):
        names(queue, tasks=PARTITIONS)
    store.end_restore(1, token, Watermark("journal", 3))

    assert names(queue, tasks=PARTITIONS) == before == [f"p{n}" for n in range(9)]


def test_more_partitions_than_we_know_of_are_noticed(both: Both) -> None:
    """A wrong setting must not leave tasks out."""
    store, queue = both
    filled(store, [an_open("p")])

    with pytest.raises(NotProjected, match="more than 2 partitions"):
        names(queue, tasks=2)


@pytest.mark.parametrize(("limit", "looked_at_max"), [(1, 250), (50, 250), (50, 7), (1000, 9)])
@pytest.mark.parametrize(
    "wanted",
    [
        ALL,
        *(Wanted(kind=kind) for kind in KINDS[1:]),
        Wanted(role="head_of_enforcement"),
        Wanted(role="reviewer"),
        Wanted(kind="audit", role="reviewer"),
        Wanted(assignee="", risk_level="critical"),
        Wanted(assignee=e.REVIEWER, tenant_id="other"),
        Wanted(due_before=e.at(60)),
        Wanted(due_before=e.at(60.001), risk_level="low", assignee=e.REVIEWER),
        Wanted(tenant_id="nobody"),
    ],
)
def test_the_projection_is_the_fold_of_the_log(
    both: Both, wanted: Wanted, limit: int, looked_at_max: int
) -> None:
    """The same rows in the same order, whatever is asked."""
    store, queue = both
    states = many(200)
    filled(store, states)
    rows = [ranked(record_key(s.tenant_id, s.decision_package_id), s) for s in states]

    projection = QueueProjection(queue, PARTITIONS, looked_at_max=looked_at_max)
    found = projection.top(wanted, limit)

    assert found == top([row for row in rows if row is not None], wanted, limit)


@pytest.mark.parametrize("looked_at_max", [1, 7, 1000])
@pytest.mark.parametrize("rows_max", [1, 2, 1000])
def test_pages_follow_each_other(both: Both, rows_max: int, looked_at_max: int) -> None:
    """Nothing twice, nothing left out, also where many stand in one place of the order."""
    store, queue = both
    states = [an_open(f"p{n}", decide_by=e.at(n // 10)) for n in range(40)]
    filled(store, states, tasks=1)

    found = walked(queue, nothing, rows_max=rows_max, looked_at_max=looked_at_max)

    expected = in_order(row for change in changes_of(states).values() if (row := change.row))
    assert found == [row.key for row in expected]


def test_a_page_goes_on_behind_a_row_that_has_gone(both: Both) -> None:
    """Decided, or moved to another place, between two pages: what stays is seen at least once."""
    store, queue = both
    states = [an_open(f"p{n:02}", decide_by=e.at(n // 4)) for n in range(20)]
    filled(store, states, tasks=1)
    seq = iter(range(100))

    def goes() -> None:
        now = next(seq)
        if now % 2:
            applied(store, now, changes_of([an_open("p19", decide_by=e.at(-now))]))
        else:
            gone = f"p{2 * now + 1:02}"
            applied(store, now, changes_of([an_open(gone, status="decided")]))

    found = walked(queue, goes, rows_max=2, looked_at_max=2)

    stayed = set(names(queue)) - {"p19"}
    assert stayed <= {key.decode().partition("/")[2] for key in found}


def test_a_page_goes_on_where_a_row_was_that_has_moved(both: Both) -> None:
    """It is not followed to its new place: what lay between would be left out."""
    store, queue = both
    filled(store, [an_open(f"p{n}", decide_by=e.at(n)) for n in range(6)], tasks=1)
    later = iter([changes_of([an_open("p1", decide_by=e.at(99))])])

    def moves() -> None:
        for change in later:
            applied(store, 0, change)

    found = walked(queue, moves, rows_max=2, looked_at_max=2)

    assert [key.decode().partition("/")[2] for key in found] == [
        "p0", "p1", "p2", "p3", "p4", "p5", "p1",
    ]  # fmt: skip


def test_tasks_do_not_meet_in_the_queue(both: Both) -> None:
    """What one task writes another does not show."""
    store, queue = both
    filled(store, [], tasks=2)
    applied(store, 0, changes_of([an_open("p")]))

    (page,) = queue.pages([(1, None)], ALL, rows_max=9, looked_at_max=9)

    assert page is not None
    assert (page.rows, page.after) == ([], None)


def test_a_row_of_another_release_is_not_shown(both: Both) -> None:
    """Nor is a list without it: the log has it."""
    store, queue = both
    filled(store, [an_open("p")], tasks=1)
    (row,) = (change.row for change in changes_of([an_open("q")]).values())
    assert row is not None
    strange = replace(row, form=row.form.replace(b'"gate"', b'"door"'))
    applied(store, 0, {row.key: Stored(b"1", row=strange)})

    with pytest.raises(NotProjected, match="another release"):
        QueueProjection(queue, 1).top(ALL, 50)


@pytest.mark.kafka
def test_what_has_gone_leaves_nothing_in_redis(redis_url: str) -> None:
    """Neither place nor labels nor row: a queue that is empty takes no room."""
    store = RedisStore(redis_url, prefix="gone.", mac_key=b"k" * 32)
    filled(store, [an_open("p"), an_open("q")], tasks=1)
    kept = ("labels", "rows", "openers", "open", *LISTS)
    applied(store, 0, changes_of([a_deferred("p", assigned_to=e.REVIEWER), an_open("q")]))
    there = [store._redis.exists(redis_key("gone.", 0, part)) for part in kept]
    applied(store, 1, changes_of([an_open("p", status="decided")]))
    applied(store, 2, {record_key(e.TENANT, "q"): Stored(None)})

    left = [store._redis.exists(redis_key("gone.", 0, part)) for part in kept]

    store.close()
    assert (there, left) == ([1] * 7, [0] * 7)


@pytest.mark.kafka
def test_redis_away_is_said(tmp_path: Path) -> None:
    """Not an error of the list: the log can be read."""
    redis = redis_in(tmp_path / "gone")
    redis.start()
    redis.kill()
    queue = RedisQueue(redis.url, prefix="")

    with pytest.raises(NotProjected, match="Redis does not answer"):
        QueueProjection(queue, 1).top(ALL, 1)
    queue.close()


def _task_of(state: ControlPointState) -> int:
    return partition_for(record_key(state.tenant_id, state.decision_package_id), PARTITIONS)

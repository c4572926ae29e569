"""The context of reviews: draws, samples, exceptions of other packages, a full task; all journalled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumers.control.directories import DirectoryReader
from consumers.control.drawing import DRAW_BITS, draw_key, drawn
from consumers.control.ports import InputRecord, Place
from core.context import DRAW_MAX
from schemas.directory import PolicyExceptionChanged
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.journal import JournalEntry
from schemas.registry import topic_of
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.fakes.memory_broker import MemoryBroker, MemoryCluster
from tests.stories.stage import SENIOR, Stage
from tests.unit.audit.stories import proof_of, read_of
from tests.unit.control.world import World, codes, settle

SECRET = b"s" * 32


class OrderedBroker(MemoryBroker):
    """Notes in which order places are read."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__(cluster)
        self.read_places: list[Place] = []

    def read(self, place: Place, start: int, end: int) -> Iterator[list[InputRecord]]:
        self.read_places.append(place)
        return super().read(place, start, end)


def judged(world: World) -> list[JournalEntry]:
    """The entries that judged something."""
    return [j for j in world.journal() if j.verdict in ("recorded", "refused", "fired")]


def other_package() -> str:
    """A package of another task than the story's."""
    own = partition_for(record_key(e.TENANT, e.PACKAGE_ID), 2)
    return next(
        name
        for name in (f"pkg-{number}" for number in range(50))
        if partition_for(record_key(e.TENANT, name), 2) != own
    )


def test_a_draw_follows_from_its_input_and_cannot_be_told_without_the_secret() -> None:
    """The same step draws the same; another origin, package, timer or secret another."""
    key = draw_key(SECRET)
    draws = [
        drawn(key, "a/0/1", b"acme/p"),
        drawn(key, "a/0/2", b"acme/p"),
        drawn(key, "a/0/1", b"acme/q"),
        drawn(key, "a/0/1", b"acme/p", "deferral"),
        drawn(draw_key(b"t" * 32), "a/0/1", b"acme/p"),
    ]

    assert len(set(draws)) == len(draws)
    assert drawn(key, "a/0/1", b"acme/p") == draws[0]
    assert key != SECRET


def test_draws_fill_their_range() -> None:
    """0 to 2^53 - 1, evenly enough that a share of them is that share of the decisions."""
    draws = [drawn(SECRET, f"a/0/{number}", b"acme/p") for number in range(2000)]

    assert DRAW_MAX == 2**DRAW_BITS - 1
    assert all(0 <= draw <= DRAW_MAX for draw in draws)
    share = sum(draw < 0.1 * DRAW_MAX for draw in draws) / len(draws)
    assert 0.07 < share < 0.13


def test_every_judgement_draws_and_the_draw_is_journalled() -> None:
    """Inputs and clocks alike, each clock its own; a record that judges nothing draws nothing."""
    stage = Stage(mode="on_the_loop", objection_window="1h")
    stage.request()
    stage.later(25 * 3600)
    stage.world.cluster.append("decision-command", 0, b"k", b"garbage", [])
    stage.settle()

    draws = {
        (entry.input.topic, entry.input.offset, entry.context.timer): entry.context.draw
        for entry in judged(stage.world)
    }

    assert {timer for _, _, timer in draws} >= {None, "sla_warning", "objection_window"}
    assert len(set(draws.values())) == len(draws)
    assert {j.context.draw for j in stage.world.journal() if j.verdict == "dead_letter"} == {0}


def test_a_decision_that_is_drawn_is_marked_in_the_journal() -> None:
    """`sampled` says of each entry whether it opened an audit."""
    sampled, not_sampled = Stage(audit_sample=1.0), Stage(audit_sample=0.0)
    for stage in (sampled, not_sampled):
        stage.request()
        stage.decide(SENIOR, "approve")

    assert "audit_opened" in sampled.changes()
    assert [entry.context.sampled for entry in judged(sampled.world)] == [False, True]
    assert "audit_opened" not in not_sampled.changes()
    assert [entry.context.sampled for entry in judged(not_sampled.world)] == [False, False]


def test_the_same_input_draws_the_same_in_every_worker() -> None:
    """A step done again by another worker has the same outcome."""
    draws = []
    for _ in range(2):
        stage = Stage(audit_sample=0.5)
        stage.request()
        stage.decide(SENIOR, "approve")
        draws.append([entry.context.draw for entry in judged(stage.world)])

    assert draws[0] == draws[1]


def granted(stage: Stage, applies_to: str) -> None:
    """An exception from evidence for another package, granted at the story's."""
    stage.request()
    answer = stage.command(
        e.an_exception(**stage.ids(), kind="missing_evidence", applies_to=applies_to)
    )
    assert isinstance(answer, HumanDecisionEvent), answer


def test_an_exception_is_published_where_every_task_reads_it() -> None:
    """On the one partition of `review-context`, keyed by the exception, whatever the task."""
    stage = Stage()
    granted(stage, other_package())

    records = stage.world.cluster.records("review-context")

    [change] = stage.world.all(PolicyExceptionChanged)
    assert topic_of(change) == "review-context"
    assert [(r.partition, r.key) for r in records] == [
        (0, record_key(e.TENANT, change.exception_id))
    ]


def test_an_exception_holds_in_another_task_from_the_next_batch_on() -> None:
    """A package of another partition passes intake by it; without it, not."""
    target = other_package()
    outcomes = []
    for with_exception in (False, True):
        stage = Stage()
        if with_exception:
            granted(stage, target)
        package = e.a_package(decision_package_id=target, evidence_refs=[])
        stage.request(interrupt_id="int-other", package=package)
        outcomes.append(codes(stage.refusals()))

    assert outcomes == [["PACKAGE_INCOMPLETE"], []]


def test_how_far_the_context_was_read_is_journalled_and_never_falls() -> None:
    """Each entry names it, so that a judgement can be made again."""
    stage = Stage()
    granted(stage, other_package())
    stage.decide(SENIOR, "approve")

    offsets = [entry.context.review_context_offset for entry in stage.world.journal()]

    assert offsets == sorted(offsets)
    # The batch that granted it did not know it yet; a transaction's marker takes an offset too.
    assert (offsets[0], offsets[-1]) == (0, 2)


def test_people_are_read_before_the_context_and_that_before_the_policy() -> None:
    """A policy takes effect after the people and exceptions that it was written for."""
    world = World()
    broker = OrderedBroker(world.cluster)
    reader = DirectoryReader(broker, refused=lambda record, reason, why: None)
    world.cluster.append("review-context", 0, b"k", b"garbage", [])

    known = reader.refreshed(world.trust())

    assert [topic for topic, _ in broker.read_places] == [
        "reviewer-directory",
        "review-context",
        "control-policy",
    ]
    assert known.review_context_offset == 1


def test_what_does_not_belong_into_the_context_takes_no_effect() -> None:
    """A reviewer on the context topic is refused by name, and the reader goes on."""
    world = World()
    refused: list[tuple[InputRecord, str]] = []
    reader = DirectoryReader(
        MemoryBroker(world.cluster), refused=lambda record, _, why: refused.append((record, why))
    )
    smuggled = e.a_reviewer(reviewer_id="r.mallory")
    value = world.cluster.records("reviewer-directory")[0]
    world.cluster.append("review-context", 0, b"k", value.value, value.headers)

    known = reader.refreshed(world.trust())

    assert smuggled.reviewer_id not in known.directory.tenant(e.TENANT).reviewers
    [(record, why)] = refused
    assert record.topic == "review-context"
    assert "ReviewerAuthorization does not belong here" in why


def test_a_full_task_opens_nothing_more_until_something_closes() -> None:
    """TOO_MANY_OPEN, counted over the task; the decision makes room again."""
    world = World(open_max=1)
    worker = world.worker()
    own = partition_for(record_key(e.TENANT, e.PACKAGE_ID), 2)
    names = [
        name
        for name in (f"pkg-{number}" for number in range(50))
        if partition_for(record_key(e.TENANT, name), 2) == own
    ][:2]
    world.request()
    settle(worker)
    ask(world, names[:1])
    settle(worker)
    full = codes(world.all(CommandRefused))
    world.decide()
    settle(worker)
    ask(world, names[1:])
    settle(worker)

    assert full == codes(world.all(CommandRefused)) == ["TOO_MANY_OPEN"]
    assert [j.context.task_full for j in judged(world)] == [False, True, True, False]


def same_task(task: int) -> str:
    """A package of the task."""
    return next(
        name
        for name in (f"pkg-{number}" for number in range(50))
        if partition_for(record_key(e.TENANT, name), 2) == task
    )


def ask(world: World, names: Sequence[str]) -> None:
    """The agent asks for each package."""
    for name in names:
        package = e.a_package(decision_package_id=name)
        world.request(interrupt_id=f"int-{name}", package=package)


def test_draws_samples_exceptions_and_a_full_task_are_judged_again_alike() -> None:
    """The journal holds all that the judgement rested on."""
    stage = Stage(audit_sample=0.5)
    stage.world.open_max = 1
    granted(stage, other_package())
    package = e.a_package(decision_package_id=other_package(), evidence_refs=[])
    stage.request(interrupt_id="int-other", package=package)
    own = partition_for(record_key(e.TENANT, e.PACKAGE_ID), 2)
    ask(stage.world, [same_task(own)])
    stage.settle()
    stage.decide(SENIOR, "approve")

    assert stage.codes() == ["TOO_MANY_OPEN"]
    for partition in (own, 1 - own):
        proof = proof_of(stage.world, partition=partition)
        for record in stage.world.cluster.records("audit-journal", partition):
            proof.check(read_of(record))
        assert proof.counts.refolded == 0
        assert proof.counts.entries > 0

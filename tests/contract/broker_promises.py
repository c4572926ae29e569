"""What every broker promises the worker. The in-memory one and the real one are held to it.

A subclass gives the fixture `bench`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import pytest

from consumers.control.ports import Batch, Broker, InputRecord, OutputRecord, Place, StepAborted
from schemas.headers import Headers
from tests.support.eventually import eventually

REQUESTS, COMMANDS = "interrupt-requested", "decision-command"
JOURNAL: Place = ("audit-journal", 0)


class Bench(ABC):
    """A cluster with two tasks, on which brokers are made."""

    @abstractmethod
    def broker(self) -> Broker:
        """Another member of the group."""

    @abstractmethod
    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> int:
        """A record of somebody else; its offset."""


def output(value: bytes, place: Place = JOURNAL) -> OutputRecord:
    """A record to write."""
    return OutputRecord(place[0], place[1], b"k", value, [("h", b"1"), ("null", None)])


def polled(broker: Broker, enough: Callable[[list[Batch]], bool], *others: Broker) -> list[Batch]:
    """Polls until it is enough; what was polled."""
    found: list[Batch] = []

    def poll() -> bool:
        for other in others:
            other.poll(records_max=100, timeout_s=0)
        found.append(broker.poll(records_max=100, timeout_s=0.1))
        return enough(found)

    eventually(poll, 40)
    return found


def assigned(batches: list[Batch]) -> set[Place]:
    """The places that the changes leave assigned."""
    held: set[Place] = set()
    for change in (change for batch in batches for change in batch.changes):
        if change.kind == "assigned":
            held |= change.places
        elif change.kind == "revoked":
            held -= change.places
    return held


def records(batches: list[Batch]) -> list[InputRecord]:
    """All records of the batches."""
    return [record for batch in batches for record in batch.records]


def joined(broker: Broker) -> None:
    """The broker has both tasks, positioned at their first records."""
    places = assigned(polled(broker, lambda found: len(assigned(found)) == 10))
    broker.pause(places)
    broker.start(broker.first_offsets(places))


def read(broker: Broker, place: Place, start: int = 0) -> list[InputRecord]:
    """The committed records from `start` to the end."""
    end = broker.ends([place])[place]
    return [record for portion in broker.read(place, start, end) for record in portion]


class BrokerPromises:
    """The contract suite."""

    def test_records_come_as_they_were_sent(self, bench: Bench) -> None:
        """Key, value and headers (repeated, null) are untouched; the time is the log's."""
        broker = bench.broker()
        joined(broker)
        headers: Headers = [("a", b"1"), ("a", None)]
        offset = bench.append((REQUESTS, 1), None, b"\x00value", headers)

        (record,) = records(polled(broker, lambda found: bool(records(found))))

        assert (record.place, record.offset) == ((REQUESTS, 1), offset)
        assert (record.key, record.value, list(record.headers)) == (
            None,
            b"\x00value",
            list(headers),
        )
        assert record.append_time is not None
        broker.close()

    def test_outputs_and_positions_are_committed_together(self, bench: Bench) -> None:
        """After commit returns they can be read, and the group stands there."""
        broker = bench.broker()
        joined(broker)
        bench.append((COMMANDS, 0), b"k", b"in")
        batch = polled(broker, lambda found: bool(records(found)))[-1]

        broker.commit([output(b"one"), output(b"two")], {(COMMANDS, 0): 1}, batch.membership)

        found = read(broker, JOURNAL)
        assert [(r.key, r.value, list(r.headers)) for r in found] == [
            (b"k", b"one", [("h", b"1"), ("null", None)]),
            (b"k", b"two", [("h", b"1"), ("null", None)]),
        ]
        assert broker.committed([(COMMANDS, 0), (COMMANDS, 1)]) == {(COMMANDS, 0): 1}
        broker.close()

    def test_a_stretch_is_read_from_its_start_to_its_end(self, bench: Bench) -> None:
        """Markers take offsets and are not records."""
        broker = bench.broker()
        joined(broker)
        for value in (b"one", b"two", b"three"):
            broker.append([output(value)])
        offsets = [record.offset for record in read(broker, JOURNAL)]

        found = [r.value for p in broker.read(JOURNAL, offsets[1], offsets[2]) for r in p]

        assert found == [b"two"]
        assert broker.ends([JOURNAL])[JOURNAL] > offsets[-1]
        assert broker.first_offsets([JOURNAL]) == {JOURNAL: 0}
        broker.close()

    def test_a_place_brings_the_same_records_after_seeking_back(self, bench: Bench) -> None:
        """An aborted step is handled again."""
        broker = bench.broker()
        joined(broker)
        first = bench.append((COMMANDS, 0), b"k", b"one")
        bench.append((COMMANDS, 0), b"k", b"two")
        polled(broker, lambda found: len(records(found)) == 2)

        broker.seek({(COMMANDS, 0): first})

        again = records(polled(broker, lambda found: len(records(found)) == 2))
        assert [record.value for record in again] == [b"one", b"two"]
        broker.close()

    def test_a_paused_place_brings_nothing_until_it_is_resumed(self, bench: Bench) -> None:
        """Others go on; nothing is skipped."""
        broker = bench.broker()
        joined(broker)
        broker.pause([(COMMANDS, 0)])
        bench.append((COMMANDS, 0), b"k", b"paused")
        bench.append((COMMANDS, 1), b"k", b"running")
        before = records(polled(broker, lambda found: bool(records(found))))

        broker.resume([(COMMANDS, 0)])

        after = records(polled(broker, lambda found: bool(records(found))))
        assert [record.value for record in before] == [b"running"]
        assert [record.value for record in after] == [b"paused"]
        broker.close()

    def test_a_member_that_lost_a_task_commits_nothing_for_it(self, bench: Bench) -> None:
        """A membership from before a rebalance is refused; the producer still works after it.

        For a partition that it kept the newer protocol accepts it, and may: nobody else has it.
        """
        broker = bench.broker()
        joined(broker)
        for task in (0, 1):
            bench.append((COMMANDS, task), b"k", b"in")
        stale = polled(broker, lambda found: len(records(found)) == 2)[-1].membership
        other = bench.broker()
        found = polled(other, lambda found: len(assigned(found)) == 5, broker)
        (lost,) = (place for place in assigned(found) if place[0] == COMMANDS)

        with pytest.raises(StepAborted):
            broker.commit([output(b"zombie")], {lost: 1}, stale)

        broker.append([output(b"alive")])
        assert [record.value for record in read(broker, JOURNAL)] == [b"alive"]
        assert broker.committed([lost]) == {}
        broker.close()
        other.close()

    def test_a_member_that_leaves_gives_its_tasks_to_the_other(self, bench: Bench) -> None:
        """The rest of the group is told."""
        broker, other = bench.broker(), bench.broker()
        batches = polled(broker, lambda found: len(assigned(found)) == 5, other)
        other.close()

        batches += polled(broker, lambda found: len(assigned([*batches, *found])) == 10)

        assert len(assigned(batches)) == 10
        broker.close()

    def test_the_journal_has_an_identity(self, bench: Bench) -> None:
        """Cluster and topic id, the same at every call."""
        broker = bench.broker()

        cluster, topic = broker.journal_identity(0)

        assert cluster and topic
        assert broker.journal_identity(1) == (cluster, topic)
        broker.close()

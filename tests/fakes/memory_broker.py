"""Kafka in memory, as far as the Broker port goes. Held to the same contract suite as the real one.

Transactions are atomic and never stay open; there is one group, whose members share the tasks.
Each transaction leaves a marker behind its records, which takes an offset, as Kafka's do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from consumers.control.ports import (
    Batch,
    Change,
    Clock,
    InputRecord,
    OutputRecord,
    Place,
    StepAborted,
)
from schemas.headers import Headers
from schemas.topics import INPUT_TOPICS

Hook = Callable[[str], None]
"""Called at each step of a broker with its name; may raise what the test wants to happen there."""


def no_hook(_step: str) -> None:
    """Nothing happens."""


@dataclass
class MemoryCluster:
    """The log, the group's positions, and who belongs to the group."""

    clock: Clock
    partitions: int = 2
    log: dict[Place, list[InputRecord | None]] = field(default_factory=dict)
    positions: dict[Place, int] = field(default_factory=dict)
    deleted: dict[Place, int] = field(default_factory=dict)
    members: list[MemoryBroker] = field(default_factory=list)
    generation: int = 0
    journal_id: str = "journal-1"
    append_time: bool = True

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> int:
        """A record outside of transactions; its offset."""
        entries = self.log.setdefault((topic, partition), [])
        time = self.clock() if self.append_time else None
        entries.append(
            InputRecord(topic, partition, len(entries), time, key, value, tuple(headers))
        )
        return len(entries) - 1

    def records(self, topic: str, partition: int | None = None) -> list[InputRecord]:
        """What stands on a topic."""
        return [
            record
            for (name, number), entries in sorted(self.log.items())
            if name == topic and partition in (None, number)
            for record in entries
            if record is not None
        ]

    def rebalance(self) -> None:
        """Every member gets its share anew."""
        self.generation += 1

    def share_of(self, member: MemoryBroker) -> set[int]:
        """The tasks of a member."""
        at, count = self.members.index(member), len(self.members)
        return {number for number in range(self.partitions) if number % count == at}


class MemoryBroker:
    """See Broker."""

    def __init__(self, cluster: MemoryCluster, hook: Hook = no_hook) -> None:
        self.cluster = cluster
        self.hook = hook
        self._generation = -1
        self._at: dict[Place, int] = {}
        self._paused: set[Place] = set()
        cluster.members.append(self)
        cluster.rebalance()

    def poll(self, *, records_max: int, timeout_s: float) -> Batch:
        """See Broker."""
        self.hook("poll")
        changes = self._changes()
        found: list[InputRecord] = []
        for place in sorted(self._at):
            if place in self._paused:
                continue
            entries = self.cluster.log.get(place, [])
            while self._at[place] < len(entries) and len(found) < records_max:
                record = entries[self._at[place]]
                self._at[place] += 1
                if record is not None:
                    found.append(record)
        return Batch(found, self._generation, changes)

    def commit(
        self, outputs: Iterable[OutputRecord], positions: Mapping[Place, int], membership: object
    ) -> None:
        """See Broker."""
        self.hook("begin")
        written = list(outputs)
        self.hook("produced")
        if membership != self.cluster.generation:
            raise StepAborted("ILLEGAL_GENERATION")
        self.hook("positions_sent")
        self._write(written)
        self.cluster.positions.update(positions)
        self.hook("committed")

    def append(self, outputs: Iterable[OutputRecord]) -> None:
        """See Broker."""
        self.hook("append")
        self._write(list(outputs))

    def renew(self) -> None:
        """See Broker."""
        self.hook("renew")

    def pause(self, places: Iterable[Place]) -> None:
        """See Broker."""
        self._paused |= set(places)

    def resume(self, places: Iterable[Place]) -> None:
        """See Broker."""
        self._paused -= set(places)

    def start(self, positions: Mapping[Place, int]) -> None:
        """See Broker."""
        self.seek(positions)
        self.resume(positions)

    def seek(self, positions: Mapping[Place, int]) -> None:
        """See Broker."""
        self.hook("seek")
        for place, offset in positions.items():
            if place in self._at:
                self._at[place] = offset

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker."""
        self.hook("committed_positions")
        return {
            place: self.cluster.positions[place]
            for place in places
            if place in self.cluster.positions
        }

    def first_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker."""
        return {place: self.cluster.deleted.get(place, 0) for place in places}

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Broker."""
        self.hook("ends")
        return {place: len(self.cluster.log.get(place, [])) for place in places}

    def read(self, place: Place, start: int, end: int) -> Iterator[list[InputRecord]]:
        """See Broker."""
        entries = self.cluster.log.get(place, [])
        yield []
        yield [record for record in entries[start:end] if record is not None]

    def journal_identity(self, partition: int) -> tuple[str, str]:
        """See Broker."""
        return "cluster-1", self.cluster.journal_id

    def close(self) -> None:
        """See Broker."""
        if self in self.cluster.members:
            self.cluster.members.remove(self)
            self.cluster.rebalance()

    def _write(self, outputs: list[OutputRecord]) -> None:
        for output in outputs:
            self.cluster.append(
                output.topic, output.partition, output.key, output.value, output.headers
            )
        for place in {(output.topic, output.partition) for output in outputs}:
            self.cluster.log[place].append(None)

    def _changes(self) -> list[Change]:
        if self._generation == self.cluster.generation or self not in self.cluster.members:
            return []
        self._generation = self.cluster.generation
        before = frozenset(self._at)
        share = self.cluster.share_of(self)
        after = frozenset((topic, number) for topic in INPUT_TOPICS for number in share)
        self._at = {place: self.cluster.positions.get(place, 0) for place in after}
        self._paused = set()
        changes = [Change("revoked", before)] if before else []
        return [*changes, Change("assigned", after)]

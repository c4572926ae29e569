"""A task: one partition of every input topic, one order, one hash chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from consumers.control.ports import InputRecord, Place, Watermark
from core.journal import seal
from core.limits import RULES_VERSION
from schemas.journal import JournalContext, JournalEntry, JournalHeader, JournalInput
from schemas.topics import INPUT_TOPICS

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Task:
    """Where a task stands: everything that its next journal entry continues from.

    `positions`: by input topic, the next offset to read. `reached`: by input topic, the append
    time it has been read to, made monotone. Immutable, so that an aborted step leaves no trace.
    """

    partition: int
    journal_id: str
    seq: int
    head_hash: str
    positions: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def watermark(self) -> Watermark:
        """Where the store must stand for this task."""
        return Watermark(self.journal_id, self.seq)

    @property
    def places(self) -> frozenset[Place]:
        """What it reads."""
        return places_of(self.partition)

    @property
    def horizon(self) -> datetime | None:
        """The time that every input has been read past; None while one has not been read at all.

        A clock due before it may fire: no record appended in time can still come.
        """
        times = [self.reached.get(topic) for topic in INPUT_TOPICS]
        known = [time for time in times if time is not None]
        return min(known) if len(known) == len(times) else None

    def effective_time(self, record: InputRecord) -> datetime:
        """The append time of a record, never before that of its forerunner on the partition."""
        appended = record.append_time or _NEVER
        return max(appended, self.reached.get(record.topic, _NEVER))

    def read(self, record: InputRecord) -> Task:
        """The task once this record is behind it."""
        return replace(
            self,
            positions={**self.positions, record.topic: record.offset + 1},
            reached={**self.reached, record.topic: self.effective_time(record)},
        )

    def entry(
        self,
        judged: JournalInput,
        context: JournalContext,
        *,
        verdict: str,
        events: list[bytes],
        state_digest: str,
    ) -> tuple[JournalEntry, Task]:
        """The next entry of the journal, sealed, and the task after it."""
        entry = seal(
            JournalEntry(
                partition=self.partition,
                seq=self.seq,
                prev_hash=self.head_hash,
                hash="",
                rules_version=RULES_VERSION,
                input=judged,
                context=context,
                next_offsets=dict(self.positions),
                read_until=dict(self.reached),
                verdict=verdict,
                events=events,
                state_digest=state_digest,
            )
        )
        return entry, replace(self, seq=self.seq + 1, head_hash=entry.hash)


def places_of(partition: int) -> frozenset[Place]:
    """The input partitions of a task."""
    return frozenset((topic, partition) for topic in INPUT_TOPICS)


def journal_input(
    record: InputRecord, *, topic: str, partition: int, offset: int, append_time: datetime
) -> JournalInput:
    """The input of a journal entry: the record whole, under the coordinates it is judged by."""
    return JournalInput(
        topic=topic,
        partition=partition,
        offset=offset,
        append_time=append_time,
        key=record.key,
        value=record.value,
        headers=[JournalHeader(name=name, value=value) for name, value in record.headers],
    )

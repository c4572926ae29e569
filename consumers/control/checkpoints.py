"""Signed checkpoints: at least one for every so many entries or so much time, of every task.

Each is committed under the membership that its batch was polled with, so that a worker which lost
its partition writes none. What a checkpoint says follows from the journal alone: after a crash the
frontier is taken from the last good checkpoint and the entries behind it, or from all entries.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from consumers.control.judging import Outcome
from consumers.control.outputs import SOURCE
from consumers.control.ports import Broker, InputRecord, OutputRecord, Place, TaskFenced
from consumers.control.task import Task
from core.checkpoints import (
    BadCheckpoint,
    CheckpointSigner,
    frontier_of,
    signed_checkpoint,
    verify_checkpoint,
)
from core.journal import BrokenChain, verify_link
from core.jwk import TrustedKeys
from core.merkle import Frontier, leaf_hash
from schemas.codec import Undecodable, decode_bytes, encode
from schemas.headers import ce_headers
from schemas.journal import JournalCheckpoint, JournalEntry

CHECKPOINTS: Final = "audit-checkpoint"
JOURNAL: Final = "audit-journal"
_WINDOW: Final = 64
"""Offsets looked at first, from the end: markers take offsets too."""
_WIDER: Final = 8


@dataclass(frozen=True, slots=True)
class Cover:
    """How far the checkpoints of a task reach, and the tree over all its entries.

    since: when the first entry that no checkpoint covers was handled.
    """

    genesis: str
    tree: Frontier = field(default_factory=Frontier)
    head_hash: str = ""
    covered: int = 0
    since: datetime | None = None

    def grown(self, value: bytes, head_hash: str, handled_at: datetime) -> Cover:
        """With the next entry."""
        return replace(
            self,
            tree=self.tree.grown(leaf_hash(value)),
            head_hash=head_hash,
            since=self.since or handled_at,
        )


Restoring = Generator[None, None, tuple[str, ...]]


class Checkpoints:
    """The checkpoints of the tasks that a worker runs."""

    def __init__(
        self, sign: CheckpointSigner, keys: TrustedKeys, *, entries_max: int, every: timedelta
    ) -> None:
        """keys: whose checkpoints a takeover builds on; others are read past."""
        self._sign = sign
        self._keys = keys
        self._entries_max = entries_max
        self._every = every
        self._covers: dict[int, Cover] = {}

    def committed(
        self, outcomes: Iterable[Outcome], tasks: Mapping[int, Task], now: datetime
    ) -> None:
        """These were committed, handled at that time, and the tasks stand where they led."""
        for outcome in outcomes:
            for output in outcome.outputs:
                if output.topic == JOURNAL and output.value is not None:
                    task, cover = tasks[output.partition], self._covers[output.partition]
                    self._covers[output.partition] = cover.grown(output.value, task.head_hash, now)

    def due(self, tasks: Mapping[int, Task], now: datetime) -> list[OutputRecord]:
        """The checkpoints to write now; none where nothing is new."""
        return [
            self._record(task, now)
            for number, task in tasks.items()
            if self._is_due(self._covers[number], now)
        ]

    def written(self, records: Iterable[OutputRecord]) -> None:
        """These were committed."""
        for record in records:
            cover = self._covers[record.partition]
            self._covers[record.partition] = replace(cover, covered=cover.tree.size, since=None)

    def take_over(self, task: Task, genesis: str, broker: Broker) -> Restoring:
        """Restores the task's tree from the log; what was odd. Yields while it works.

        Raises TaskFenced where a signed checkpoint and the journal contradict each other, and
        Unavailable.
        """
        last, odd = yield from self._last(broker, task.partition, genesis)
        cover = Cover(genesis)
        if last is not None:
            cover = Cover(genesis, frontier_of(last), last.head_hash, last.size)
            if last.size > task.seq:
                raise TaskFenced(
                    f"a signed checkpoint covers {last.size} entries of partition "
                    f"{task.partition}, the journal has {task.seq}; {_MEND}"
                )
        first = yield from _offset_before(broker, (JOURNAL, task.partition), cover.covered)
        cover = yield from _through(broker, task, first, cover)
        if (cover.tree.size, cover.head_hash or genesis) != (task.seq, task.head_hash):
            raise TaskFenced(
                f"the journal of partition {task.partition} does not lead from entry "
                f"{cover.covered} to its end; {_MEND}"
            )
        self._covers[task.partition] = cover
        return odd

    def _is_due(self, cover: Cover, now: datetime) -> bool:
        if cover.since is None:
            return False
        many = cover.tree.size - cover.covered >= self._entries_max
        return many or now - cover.since >= self._every

    def _record(self, task: Task, now: datetime) -> OutputRecord:
        cover = self._covers[task.partition]
        assert (cover.tree.size, cover.head_hash) == (task.seq, task.head_hash)
        checkpoint = signed_checkpoint(
            JournalCheckpoint(
                partition=task.partition,
                size=cover.tree.size,
                root=cover.tree.root.hex(),
                head_hash=cover.head_hash,
                occurred_at=now,
                checkpoint_jws="",
                frontier=[peak.hex() for peak in cover.tree.peaks],
            ),
            genesis=cover.genesis,
            sign=self._sign,
        )
        headers = ce_headers(
            checkpoint, ce_id=f"{task.partition}-{task.seq}", source=SOURCE, time=now
        )
        value = encode(checkpoint)
        return OutputRecord(CHECKPOINTS, task.partition, None, value, list(headers))

    def _last(
        self, broker: Broker, partition: int, genesis: str
    ) -> Generator[None, None, tuple[JournalCheckpoint | None, tuple[str, ...]]]:
        """The last checkpoint that a key of ours signed, and what stood there instead."""
        place = (CHECKPOINTS, partition)
        end, first = broker.ends([place])[place], broker.first_offsets([place])[place]
        window = _WINDOW
        while True:
            start = max(first, end - window)
            last, odd = None, list[str]()
            for portion in broker.read(place, start, end):
                for record in portion:
                    try:
                        last = self._believed(record, genesis)
                    except (Undecodable, BadCheckpoint) as error:
                        odd.append(f"{place[0]}/{partition}/{record.offset}: {error}; {_MEND}")
                yield
            if last is not None or start == first:
                return last, tuple(odd[-_ODD_MAX:])
            window *= _WIDER

    def _believed(self, record: InputRecord, genesis: str) -> JournalCheckpoint:
        checkpoint = decode_bytes(record.value or b"", JournalCheckpoint)
        verify_checkpoint(checkpoint, genesis=genesis, keys=self._keys)
        frontier_of(checkpoint)
        return checkpoint


_MEND: Final = "run: countersign audit verify"
_ODD_MAX: Final = 3
"""Strange checkpoints that are told of; `audit verify` names the first."""


def _offset_before(broker: Broker, place: Place, seq: int) -> Generator[None, None, int]:
    """An offset from which reading on meets entry `seq - 1`, or the first entry for 0."""
    end, first = broker.ends([place])[place], broker.first_offsets([place])[place]
    window = _WINDOW
    while seq:
        start = max(first, end - window)
        found = yield from _first_from(broker, place, start, end)
        if start == first or (found is not None and found.seq < seq):
            return start
        window *= _WIDER
    return first


def _first_from(
    broker: Broker, place: Place, start: int, end: int
) -> Generator[None, None, JournalEntry | None]:
    for portion in broker.read(place, start, end):
        if portion:
            return _entry(portion[0])
        yield
    return None


def _through(broker: Broker, task: Task, start: int, cover: Cover) -> Generator[None, None, Cover]:
    """The cover at the head of the journal: every entry that no checkpoint covers is read."""
    place = (JOURNAL, task.partition)
    met = cover.covered == 0
    for portion in broker.read(place, start, broker.ends([place])[place]):
        for record in portion:
            entry = _entry(record)
            if entry.seq == cover.covered - 1:
                met = entry.hash == cover.head_hash
                if not met:
                    raise TaskFenced(
                        f"entry {entry.seq} of partition {task.partition} is not the one that a "
                        f"signed checkpoint names; {_MEND}"
                    )
            if not cover.covered <= entry.seq < task.seq:
                continue  # behind the head: another owner is at work, who will show soon
            _check(entry, record.value or b"", cover)
            cover = cover.grown(record.value or b"", entry.hash, entry.context.handled_at)
        yield
    if not met:
        raise TaskFenced(
            f"entry {cover.covered - 1} of partition {task.partition}, which a signed checkpoint "
            f"names, is not there; {_MEND}"
        )
    return cover


def _check(entry: JournalEntry, raw: bytes, cover: Cover) -> None:
    try:
        verify_link(entry, raw, seq=cover.tree.size, prev_hash=cover.head_hash or cover.genesis)
    except BrokenChain as error:
        raise TaskFenced(f"{error}; {_MEND}") from None


def _entry(record: InputRecord) -> JournalEntry:
    try:
        return decode_bytes(record.value or b"", JournalEntry)
    except Undecodable as error:
        raise TaskFenced(
            f"{JOURNAL}/{record.partition}/{record.offset} is no journal entry ({error}); {_MEND}"
        ) from None


def positions_of(records: Sequence[OutputRecord], tasks: Mapping[int, Task]) -> dict[Place, int]:
    """Where the tasks of these stand already: said again, so that the membership counts."""
    return {
        (topic, record.partition): at
        for record in records
        for topic, at in tasks[record.partition].positions.items()
    }

"""What the worker needs of the world: one Kafka as a task sees it, one store, one clock.

The real ones stand in `kafka.py` and `store.py`; in-memory ones pass the same contract tests.
Topics are named without the deployment's prefix everywhere behind these ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, get_args

from consumers.queue_rows import Ranked
from schemas.headers import Headers

Place = tuple[str, int]
"""Topic, partition."""
Clock = Callable[[], datetime]


class Unavailable(Exception):
    """A server does not answer. Nothing was done; wait, keep polling, try again."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part
        self.why = why


class StepAborted(Exception):
    """The transaction was aborted for sure: nothing of it will ever be seen. Handle it again."""


class ProducerLost(Exception):
    """Fenced, or it is not known what became of the transaction. Renew the producer, then take
    every task over from the log; it is never treated as aborted."""


class ConsumerLost(Exception):
    """The consumer cannot go on in this process; end it, a new one takes over."""


class TaskFenced(Exception):
    """This task cannot go on until a person looks; the others can."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A record as it stands in the log. `append_time` None: the topic is not LogAppendTime."""

    topic: str
    partition: int
    offset: int
    append_time: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A record to append to exactly this partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Change:
    """Partitions came to this worker or left it, in the order in which it was told; "reset": the
    log does not reach back to where a place was read."""

    kind: Literal["assigned", "revoked", "reset"]
    places: frozenset[Place]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought. `membership` proves to the broker under which assignment the records
    were read: a commit with it is refused once the partitions have gone to another worker."""

    records: Sequence[InputRecord] = ()
    membership: object = None
    changes: Sequence[Change] = ()


class Broker(Protocol):
    """Kafka for one worker thread: one consumer of the inputs, one transactional producer.

    No method may be called from another thread. Every method may raise Unavailable.
    """

    def poll(self, *, records_max: int, timeout_s: float) -> Batch:
        """Whatever came within the time, at most so many records. Keeps the membership alive, also
        when it raises Unavailable; then nothing is lost. Raises ConsumerLost."""
        ...

    def commit(
        self, outputs: Iterable[OutputRecord], positions: Mapping[Place, int], membership: object
    ) -> None:
        """Appends the outputs and moves the group's positions, both or neither, and returns when
        it is done for good. Raises StepAborted or ProducerLost."""
        ...

    def append(self, outputs: Iterable[OutputRecord]) -> None:
        """Appends the outputs, all or none. Raises StepAborted or ProducerLost."""
        ...

    def renew(self) -> None:
        """A new transactional producer after ProducerLost."""
        ...

    def pause(self, places: Iterable[Place]) -> None:
        """No more records of these until `resume`."""
        ...

    def resume(self, places: Iterable[Place]) -> None:
        """Records again, from where the position stands."""
        ...

    def start(self, positions: Mapping[Place, int]) -> None:
        """Records come from these offsets on; the places were paused and may never have been
        fetched."""
        ...

    def seek(self, positions: Mapping[Place, int]) -> None:
        """The next records of these running places are the ones at these offsets."""
        ...

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """The group's positions, once no transaction that moves them is open. Unset ones miss."""
        ...

    def first_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Where each place begins."""
        ...

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset behind the last record of each place, open transactions included."""
        ...

    def read(self, place: Place, start: int, end: int) -> Iterator[list[InputRecord]]:
        """The committed records of [start, end), in portions, some of them empty: it waits for
        open transactions, and between two portions the caller may poll."""
        ...

    def journal_identity(self, partition: int) -> tuple[str, str]:
        """(cluster id, id of the journal topic): what makes this journal another one's not."""
        ...

    def close(self) -> None:
        """Leaves the group; nothing is committed by it."""
        ...


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the store is: journal topic id, and entries of the task's journal applied."""

    journal_id: str
    seq: int


Tag = Literal[
    "open_low", "open_medium", "open_high", "open_critical", "grant_open", "grant_in_doubt"
]
TAGS: Final[tuple[Tag, ...]] = get_args(Tag)
"""What is counted over all control points of a task; the counts live and die with the store."""


Opener = tuple[str, str]
"""Whose an open interrupt is: its tenant, and the agent that sent the package's first version."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A control point in the store: its bytes, when its next clock is due, what it counts as, its
    row in the queue if it has one, and whose interrupt is open if one is."""

    value: bytes | None
    due: datetime | None = None
    tags: frozenset[Tag] = frozenset()
    row: Ranked | None = None
    opener: Opener | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """One consistent look at a task's part of the store. open_of: interrupts open in the task, of the
    opener's tenant and of the opener."""

    watermark: Watermark | None
    values: dict[bytes, bytes] = field(default_factory=dict)
    next_due: datetime | None = None
    counts: dict[Tag, int] = field(default_factory=dict)
    open_of: dict[Opener, tuple[int, int]] = field(default_factory=dict)


class StoreCorrupt(Exception):
    """A value is not what a worker wrote; the store must be restored from the log."""


class WatermarkMismatch(Exception):
    """The store is not where the task is. `found` None: emptied."""

    def __init__(self, found: Watermark | None) -> None:
        super().__init__(f"the store stands at {found}")
        self.found = found


class StateStore(Protocol):
    """The rebuildable index of control points, a part for each task. May raise Unavailable."""

    def load(self, task: int, keys: Sequence[bytes], openers: Sequence[Opener] = ()) -> Loaded:
        """Watermark, values, next due time and counts, also of what these have open, all of one
        moment. Raises StoreCorrupt."""
        ...

    def due(self, task: int, before: datetime, limit: int) -> list[bytes]:
        """Keys whose next clock is due before that time, the earliest first."""
        ...

    def apply(
        self, task: int, expected: Watermark, new: Watermark, changes: Mapping[bytes, Stored]
    ) -> None:
        """Writes the changes, their rows and the new watermark if it stands at `expected`; else
        nothing. So the queue is never ahead of the control points, nor behind them.

        Applying the same once more does no harm. Raises WatermarkMismatch.
        """
        ...

    def begin_restore(self, task: int) -> str:
        """Empties the task's part; whoever began before loses. Returns a token."""
        ...

    def restore(self, task: int, token: str, changes: Mapping[bytes, Stored]) -> None:
        """Writes a portion. Raises WatermarkMismatch when another has begun since."""
        ...

    def end_restore(self, task: int, token: str, watermark: Watermark) -> None:
        """Sets the watermark: from now on the part counts. Raises WatermarkMismatch."""
        ...

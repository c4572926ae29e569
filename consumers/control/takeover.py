"""Taking a task over: from the log alone, in the order that leaves nothing to chance.

1. Wait until no transaction that moves the group's positions is open.
2. Find the head of the journal: from it come seq, chain and input positions.
3. Bring the store from its watermark to the head, or fill it anew; anew also where a value is not
   what the journal says.
4. Check the head, the positions and what is left of the inputs against each other.
5. Bring the tree of the checkpoints from the last one to the head.

It is a generator: between two portions its caller polls, so that the membership lives on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from consumers.control.checkpoints import Checkpoints
from consumers.control.outputs import SEQ
from consumers.control.ports import (
    Broker,
    InputRecord,
    Place,
    StateStore,
    StoreCorrupt,
    Stored,
    TaskFenced,
)
from consumers.control.task import Task, places_of
from consumers.control.view import stored
from core.journal import BrokenChain, genesis, verify_link
from core.limits import RULES_VERSION
from schemas.codec import Undecodable, decode_bytes
from schemas.headers import header
from schemas.journal import JournalEntry
from schemas.state import ControlPointState

JOURNAL: Final = "audit-journal"
CHANGELOG: Final = "interrupt-state"
_WINDOW: Final = 64
"""Offsets looked at first, from the end: markers take offsets too."""
_WIDER: Final = 8
_JUDGED: Final = frozenset({"recorded", "refused", "duplicate", "parked", "fired"})
"""Verdicts about a control point; the others say nothing of its state."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A task ready to go on, and what was noticed on the way. altered: what somebody else had
    written into the store, which was filled anew."""

    task: Task
    warnings: tuple[str, ...]
    restored: int
    altered: str | None = None


Progress = Generator[None, None, TakenOver]


def take_over(
    partition: int,
    *,
    broker: Broker,
    store: StateStore,
    checkpoints: Checkpoints | None = None,
    portion_max: int = 500,
    anew: bool = False,
) -> Progress:
    """Yields while it works, returns the task. anew: nothing in the store is believed.

    Raises TaskFenced, Unavailable, WatermarkMismatch (another owner is at work: begin again).
    """
    places = places_of(partition)
    committed = broker.committed(places)
    yield
    cluster_id, journal_id = broker.journal_identity(partition)
    tail = yield from _tail(broker, (JOURNAL, partition))
    task = _task_of(partition, tail, cluster_id, journal_id)
    restored, fault = 0, None
    if not anew:
        restored = yield from _caught_up(task, broker, store, portion_max)
        fault = _fault(tail, task, store)
    if anew or fault is not None:
        restored = yield from _filled(task, broker, store, portion_max)
        if still := _fault(tail, task, store):
            raise TaskFenced(f"{still}; run: countersign audit verify")
    positions, warnings = _positions(task, broker, committed)
    ready = Task(
        partition=partition,
        journal_id=journal_id,
        seq=task.seq,
        head_hash=task.head_hash,
        positions=positions,
        reached=task.reached,
    )
    if checkpoints is not None:
        start = genesis(cluster_id, journal_id, partition)
        warnings += yield from checkpoints.take_over(ready, start, broker)
    return TakenOver(ready, warnings, restored, fault)


class Kept(NamedTuple):
    """A journal entry and the bytes it was read from."""

    entry: JournalEntry
    raw: bytes


def _tail(broker: Broker, place: Place) -> Generator[None, None, list[Kept]]:
    """The last entries of the journal, at least one if there is any."""
    end, first = broker.ends([place])[place], broker.first_offsets([place])[place]
    window = _WINDOW
    while True:
        start = max(first, end - window)
        found: list[Kept] = []
        for portion in broker.read(place, start, end):
            found += [Kept(_entry(record), record.value or b"") for record in portion]
            yield
        if found or start == first:
            return found
        window *= _WIDER


def _entry(record: InputRecord) -> JournalEntry:
    try:
        return decode_bytes(record.value or b"", JournalEntry)
    except Undecodable as error:
        raise TaskFenced(
            f"{JOURNAL}/{record.partition}/{record.offset} is no journal entry ({error}); somebody "
            "else writes to the journal"
        ) from None


def _task_of(partition: int, tail: list[Kept], cluster_id: str, journal_id: str) -> Task:
    start = genesis(cluster_id, journal_id, partition)
    if not tail:
        return Task(partition, journal_id, 0, start)
    first = tail[0].entry
    before = first.prev_hash if first.seq else start
    for number, (entry, raw) in enumerate(tail):
        try:
            verify_link(entry, raw, seq=first.seq + number, prev_hash=before)
        except BrokenChain as error:
            raise TaskFenced(f"{error}; run: countersign audit verify") from None
        before = entry.hash
    head = tail[-1].entry
    if head.rules_version > RULES_VERSION:
        raise TaskFenced(
            f"the journal was written by newer rules ({head.rules_version}, here {RULES_VERSION}); "
            "run that release"
        )
    return Task(partition, journal_id, head.seq + 1, head.hash, head.next_offsets, head.read_until)


def _caught_up(
    task: Task, broker: Broker, store: StateStore, portion_max: int
) -> Generator[None, None, int]:
    """Brings the store to the task's watermark; how many states were written."""
    found = store.load(task.partition, []).watermark
    if found == task.watermark:
        return 0
    place = (CHANGELOG, task.partition)
    if found is not None and found.journal_id == task.journal_id and found.seq < task.seq:
        changes: dict[bytes, Stored] = {}
        for record in (yield from _since(broker, place, found.seq)):
            changes[_key(record)] = _stored(record)
        store.apply(task.partition, found, task.watermark, changes)
        return len(changes)
    return (yield from _filled(task, broker, store, portion_max))


def _filled(
    task: Task, broker: Broker, store: StateStore, portion_max: int
) -> Generator[None, None, int]:
    """Fills the store anew from the changelog; how many states were written."""
    place = (CHANGELOG, task.partition)
    token = store.begin_restore(task.partition)
    count = 0
    end, first = broker.ends([place])[place], broker.first_offsets([place])[place]
    for portion in broker.read(place, first, end):
        for chunk in _chunks(portion, portion_max):
            store.restore(task.partition, token, {_key(r): _stored(r) for r in chunk})
            count += len(chunk)
        yield
    store.end_restore(task.partition, token, task.watermark)
    return count


def _since(broker: Broker, place: Place, seq: int) -> Generator[None, None, list[InputRecord]]:
    """The states that follow from entries `seq` and later."""
    end, first = broker.ends([place])[place], broker.first_offsets([place])[place]
    window = _WINDOW
    while True:
        start = max(first, end - window)
        records: list[InputRecord] = []
        for portion in broker.read(place, start, end):
            records += portion
            yield
        if start == first or (records and _seq(records[0]) < seq):
            return [record for record in records if _seq(record) >= seq]
        window *= _WIDER


def _fault(tail: list[Kept], task: Task, store: StateStore) -> str | None:
    """The last states must be what the journal says they are: somebody else's writing in the store
    shows here, and once it is filled anew, a torn transaction."""
    last = {
        entry.input.key: entry
        for entry, _ in tail
        if entry.verdict in _JUDGED and entry.input.key is not None
    }
    try:
        values = store.load(task.partition, list(last)).values
    except StoreCorrupt as error:
        return str(error)
    for key, entry in last.items():
        value = values.get(key)
        if (hashlib.sha256(value).hexdigest() if value is not None else "") != entry.state_digest:
            return (
                f"the state of {key.decode(errors='replace')} is not what journal entry "
                f"{entry.seq} of partition {entry.partition} says"
            )
    return None


def _positions(
    task: Task, broker: Broker, committed: dict[Place, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Where to read on, from the journal; the group's positions are the cross-check."""
    places = places_of(task.partition)
    firsts = broker.first_offsets(places)
    positions, warnings = {}, []
    for topic, partition in sorted(places):
        first = firsts[topic, partition]
        position = task.positions.get(topic, first)
        if position < first:
            raise TaskFenced(
                f"{topic}/{partition}: records {position} to {first - 1} were deleted before they "
                "were read; raise the topic's retention and ask those who sent them"
            )
        found = committed.get((topic, partition))
        if found is not None and found != position:
            warnings.append(
                f"{topic}/{partition}: the group stands at {found}, the journal at {position}; "
                "the journal counts"
            )
        positions[topic] = position
    return positions, tuple(warnings)


def _key(record: InputRecord) -> bytes:
    if record.key is None:
        raise TaskFenced(f"{CHANGELOG}/{record.partition}/{record.offset} has no key")
    return record.key


def _seq(record: InputRecord) -> int:
    text = header(record.headers, SEQ)
    if text is None or not text.isdigit():
        raise TaskFenced(f"{CHANGELOG}/{record.partition}/{record.offset} has no header {SEQ}")
    return int(text)


def _stored(record: InputRecord) -> Stored:
    if record.value is None:
        return Stored(None)
    try:
        return stored(record.value, decode_bytes(record.value, ControlPointState))
    except Undecodable as error:
        raise TaskFenced(
            f"{CHANGELOG}/{record.partition}/{record.offset} is no state ({error}); somebody else "
            "writes to the changelog"
        ) from None


def _chunks(records: list[InputRecord], size: int) -> Iterator[list[InputRecord]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]

"""All that the journal says about one decision package: its inputs and events, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from consumers.reading import Progress, Read, partitions_of, read_topic
from core.context import Event
from schemas.codec import SchemaIds, Undecodable, decode, decode_any, decode_bytes
from schemas.headers import Headers
from schemas.journal import JournalEntry
from schemas.model import Record
from schemas.topics import RECORD_BYTES_MAX, partition_for, record_key

JOURNAL: Final = "audit-journal"
E = TypeVar("E", bound=Record)


@dataclass(frozen=True, slots=True)
class Fact:
    """One event, and the entry of the journal it stands in."""

    entry: JournalEntry
    event: Event

    @property
    def at(self) -> datetime:
        """When its input was appended."""
        return self.entry.input.append_time


@dataclass(frozen=True, slots=True)
class History:
    """The entries of one package, oldest first."""

    tenant_id: str
    decision_package_id: str
    entries: tuple[JournalEntry, ...]
    registry: SchemaIds | None = field(default=None, repr=False)

    def facts(self) -> Iterator[Fact]:
        """Every event, in its order."""
        for entry in self.entries:
            for raw in entry.events:
                event = decode_any(raw)
                assert isinstance(event, Event)
                yield Fact(entry, event)

    def inputs(self, kind: type[E]) -> Iterator[tuple[JournalEntry, E]]:
        """Every judged input of a kind, with its entry."""
        for entry in self.entries:
            record = input_of(entry, self.registry)
            if isinstance(record, kind):
                yield entry, record


def input_of(entry: JournalEntry, registry: SchemaIds | None = None) -> Record | None:
    """The input record of an entry; None for a timer, and where the value cannot be read."""
    if entry.input.value is None:
        return None
    try:
        return decode(
            entry.input.value, headers_of(entry), registry=registry, bytes_max=RECORD_BYTES_MAX
        )
    except Undecodable:
        return None


def headers_of(entry: JournalEntry) -> Headers:
    """The headers of an entry's input."""
    return [(item.name, item.value) for item in entry.input.headers]


def read_history(
    config: Mapping[str, Any],
    named: Callable[[str], str],
    tenant_id: str,
    decision_package_id: str,
    *,
    registry: SchemaIds | None = None,
    progress: Progress | None = None,
) -> History:
    """The package's entries, from its partition of the journal.

    Raises TopicMissing, ReadStalled, KafkaException.
    """
    topic = named(JOURNAL)
    key = record_key(tenant_id, decision_package_id)
    partition = partition_for(key, partitions_of(config, topic))
    records = read_topic(config, topic, partitions=[partition], progress=progress)
    return History(tenant_id, decision_package_id, tuple(of_key(records, key)), registry)


def of_key(records: Iterable[Read], key: bytes) -> Iterator[JournalEntry]:
    """The judged entries about a key; what could not be read or was passed on judged nothing."""
    for read in records:
        if read.key == key and read.value is not None:
            entry = decode_bytes(read.value, JournalEntry)
            if entry.verdict not in ("dead_letter", "forwarded", "tick"):
                yield entry

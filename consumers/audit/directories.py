"""Policies, people and review context as they were at any offsets of their topics: what a judgement
rested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consumers.reading import Read, read_topic
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.topics import RECORD_BYTES_MAX

POLICIES: Final = "control-policy"
PEOPLE: Final = "reviewer-directory"
CONTEXT: Final = "review-context"
_BELONG: Final[Mapping[str, tuple[type[DirectoryRecord], ...]]] = {
    POLICIES: (PolicyDocument,),
    PEOPLE: (ReviewerAuthorization, AgentRegistration),
    CONTEXT: (PolicyExceptionChanged, ReviewerCapChanged),
}
Entry = tuple[int, DirectoryRecord]
"""Offset and record."""
Offsets = tuple[int, int, int]
"""How far `control-policy`, `reviewer-directory` and `review-context` are read."""


@dataclass
class DirectoryLog:
    """The directory topics, read once. What took no effect is left out, as the worker does."""

    policies: list[Entry] = field(default_factory=list)
    people: list[Entry] = field(default_factory=list)
    context: list[Entry] = field(default_factory=list)
    _at: Offsets = (0, 0, 0)
    _directory: Directory = field(default_factory=Directory)

    def at(
        self, policy_offset: int, directory_offset: int, review_context_offset: int
    ) -> Directory:
        """The directory with each topic read up to, not including, its offset.

        Cheap when asked with offsets that grow, as they do along a journal.
        """
        wanted = (policy_offset, directory_offset, review_context_offset)
        if wanted == self._at:
            return self._directory
        if any(upto < reached for upto, reached in zip(wanted, self._at, strict=True)):
            self._at, self._directory = (0, 0, 0), Directory()
        # In the worker's order, though two topics never meet in one record.
        for entries, which in ((self.people, 1), (self.context, 2), (self.policies, 0)):
            for offset, record in entries:
                if self._at[which] <= offset < wanted[which]:
                    self._directory = _applied(self._directory, record)
        self._at = wanted
        return self._directory

    def latest(self) -> Directory:
        """The directory of now."""
        policies, people, context = (
            max(entries[-1][0] + 1 if entries else 0, reached)
            for entries, reached in zip(
                (self.policies, self.people, self.context), self._at, strict=True
            )
        )
        return self.at(policies, people, context)


def read_directories(
    config: Mapping[str, Any], named: Callable[[str], str], registry: SchemaIds | None = None
) -> DirectoryLog:
    """Reads the topics to their ends. Raises TopicMissing, ReadStalled, KafkaException."""
    policies, people, context = (
        decoded(read_topic(config, named(topic)), belong, registry)
        for topic, belong in _BELONG.items()
    )
    return DirectoryLog(policies, people, context)


def decoded(
    records: Iterable[Read],
    belong: tuple[type[DirectoryRecord], ...],
    registry: SchemaIds | None = None,
) -> list[Entry]:
    """The records that are of the right kind, with their offsets."""
    found: list[Entry] = []
    for read in records:
        try:
            record = decode(read.value, read.headers, registry=registry, bytes_max=RECORD_BYTES_MAX)
        except Undecodable:
            continue
        if isinstance(record, belong):
            found.append((read.offset, record))
    return found


def _applied(directory: Directory, record: DirectoryRecord) -> Directory:
    try:
        return directory.apply(record)
    except DirectoryRefused:
        return directory

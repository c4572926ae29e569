"""Policies and people as they were at any offsets of their topics: what a judgement rested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consumers.reading import Read, read_topic
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.directory import AgentRegistration, PolicyDocument, ReviewerAuthorization
from schemas.topics import RECORD_BYTES_MAX

POLICIES: Final = "control-policy"
PEOPLE: Final = "reviewer-directory"
_BELONG: Final[Mapping[str, tuple[type[DirectoryRecord], ...]]] = {
    POLICIES: (PolicyDocument,),
    PEOPLE: (ReviewerAuthorization, AgentRegistration),
}
Entry = tuple[int, DirectoryRecord]
"""Offset and record."""


@dataclass
class DirectoryLog:
    """Both directory topics, read once. What took no effect is left out, as the worker does."""

    policies: list[Entry] = field(default_factory=list)
    people: list[Entry] = field(default_factory=list)
    _at: tuple[int, int] = (0, 0)
    _directory: Directory = field(default_factory=Directory)

    def at(self, policy_offset: int, directory_offset: int) -> Directory:
        """The directory with both topics read up to, not including, these offsets.

        Cheap when asked with offsets that grow, as they do along a journal.
        """
        if (policy_offset, directory_offset) == self._at:
            return self._directory
        if policy_offset < self._at[0] or directory_offset < self._at[1]:
            self._at, self._directory = (0, 0), Directory()
        # People first, as the worker reads them: the two never meet in one record.
        parts = zip((self.people, self.policies), (1, 0), strict=True)
        for entries, which in parts:
            upto = (policy_offset, directory_offset)[which]
            for offset, record in entries:
                if self._at[which] <= offset < upto:
                    self._directory = _applied(self._directory, record)
        self._at = (policy_offset, directory_offset)
        return self._directory

    def latest(self) -> Directory:
        """The directory of now."""
        ends = [entries[-1][0] + 1 if entries else 0 for entries in (self.policies, self.people)]
        return self.at(max(ends[0], self._at[0]), max(ends[1], self._at[1]))


def read_directories(
    config: Mapping[str, Any], named: Callable[[str], str], registry: SchemaIds | None = None
) -> DirectoryLog:
    """Reads both topics to their ends. Raises TopicMissing, ReadStalled, KafkaException."""
    return DirectoryLog(
        policies=decoded(read_topic(config, named(POLICIES)), _BELONG[POLICIES], registry),
        people=decoded(read_topic(config, named(PEOPLE)), _BELONG[PEOPLE], registry),
    )


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

"""Policy, people and the context of reviews, read to their ends before each batch is judged
(guarantee 12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from consumers.control.judging import Known
from consumers.control.ports import Broker, InputRecord, Place
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)

POLICIES: Final[Place] = ("control-policy", 0)
PEOPLE: Final[Place] = ("reviewer-directory", 0)
CONTEXT: Final[Place] = ("review-context", 0)
_ORDER: Final = (PEOPLE, CONTEXT, POLICIES)
"""A policy never takes effect before the people it was written for, nor before the exceptions."""
_BELONG: Final[Mapping[str, tuple[type[DirectoryRecord], ...]]] = {
    POLICIES[0]: (PolicyDocument,),
    PEOPLE[0]: (ReviewerAuthorization, AgentRegistration),
    CONTEXT[0]: (PolicyExceptionChanged, ReviewerCapChanged),
}
Refused = Callable[[InputRecord, str], None]
_RECORD_BYTES_MAX: Final = 4 * 1024 * 1024


class DirectoryReader:
    """Follows the directory topics. Their offsets only grow."""

    def __init__(
        self, broker: Broker, *, refused: Refused, registry: SchemaIds | None = None
    ) -> None:
        """refused: told of each record that takes no effect, and why."""
        self._broker = broker
        self._refused = refused
        self._registry = registry
        self._directory = Directory()
        self._offsets: dict[Place, int] = dict.fromkeys(_ORDER, 0)

    def refreshed(self) -> Known:
        """The directories with everything that was appended before this call."""
        ends = self._broker.ends(_ORDER)
        for place in _ORDER:
            if ends[place] > self._offsets[place]:
                self._read(place, ends[place])
        return Known(
            self._directory,
            policy_offset=self._offsets[POLICIES],
            directory_offset=self._offsets[PEOPLE],
            review_context_offset=self._offsets[CONTEXT],
        )

    def _read(self, place: Place, end: int) -> None:
        directory = self._directory
        for portion in self._broker.read(place, self._offsets[place], end):
            for record in portion:
                try:
                    directory = directory.apply(self._decoded(record))
                except (Undecodable, DirectoryRefused) as error:
                    self._refused(record, str(error))
        self._directory, self._offsets[place] = directory, end

    def _decoded(self, record: InputRecord) -> DirectoryRecord:
        decoded = decode(
            record.value, record.headers, registry=self._registry, bytes_max=_RECORD_BYTES_MAX
        )
        if not isinstance(decoded, _BELONG[record.topic]):
            raise Undecodable("wrong_topic", f"a {type(decoded).__name__} does not belong here")
        assert isinstance(decoded, DirectoryRecord)
        return decoded

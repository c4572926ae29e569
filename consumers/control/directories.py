"""Policy and people, read to their ends before each batch is judged (guarantee 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consumers.control.judging import Known
from consumers.control.ports import Broker, InputRecord, Place
from core.directory import Directory, DirectoryRefused
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.directory import AgentRegistration, PolicyDocument, ReviewerAuthorization

POLICIES: Final[Place] = ("control-policy", 0)
PEOPLE: Final[Place] = ("reviewer-directory", 0)
Refused = Callable[[InputRecord, str], None]
_RECORD_BYTES_MAX: Final = 4 * 1024 * 1024


class DirectoryReader:
    """Follows both directory topics. Their offsets only grow."""

    def __init__(
        self, broker: Broker, *, refused: Refused, registry: SchemaIds | None = None
    ) -> None:
        """refused: told of each record that takes no effect, and why."""
        self._broker = broker
        self._refused = refused
        self._registry = registry
        self._directory = Directory()
        self._offsets: dict[Place, int] = {POLICIES: 0, PEOPLE: 0}

    def refreshed(self) -> Known:
        """The directories with everything that was appended before this call."""
        ends = self._broker.ends([POLICIES, PEOPLE])
        # People first: a policy never takes effect before the people it was written for.
        for place in (PEOPLE, POLICIES):
            if ends[place] > self._offsets[place]:
                self._read(place, ends[place])
        return Known(self._directory, self._offsets[POLICIES], self._offsets[PEOPLE])

    def _read(self, place: Place, end: int) -> None:
        directory = self._directory
        for portion in self._broker.read(place, self._offsets[place], end):
            for record in portion:
                try:
                    directory = directory.apply(self._decoded(record))
                except (Undecodable, DirectoryRefused) as error:
                    self._refused(record, str(error))
        self._directory, self._offsets[place] = directory, end

    def _decoded(
        self, record: InputRecord
    ) -> PolicyDocument | ReviewerAuthorization | AgentRegistration:
        decoded = decode(
            record.value, record.headers, registry=self._registry, bytes_max=_RECORD_BYTES_MAX
        )
        wanted = (
            (PolicyDocument,)
            if record.topic == POLICIES[0]
            else (ReviewerAuthorization, AgentRegistration)
        )
        if not isinstance(decoded, wanted):
            raise Undecodable("wrong_topic", f"a {type(decoded).__name__} does not belong here")
        assert isinstance(decoded, PolicyDocument | ReviewerAuthorization | AgentRegistration)
        return decoded

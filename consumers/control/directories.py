"""Policy, people and the context of reviews, read to their ends before each batch is judged
(guarantee 12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from consumers.control.judging import Known
from consumers.control.ports import Broker, InputRecord, Place
from core.directory import DirectoryRecord, DirectoryRefused
from core.governing import Governed, Said, Trust
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
_ORDER: Final[tuple[Place, ...]] = (PEOPLE, CONTEXT, POLICIES)
"""A policy never takes effect before the people it was written for, nor before the exceptions."""
_BELONG: Final[Mapping[str, tuple[type[DirectoryRecord], ...]]] = {
    POLICIES[0]: (PolicyDocument,),
    PEOPLE[0]: (ReviewerAuthorization, AgentRegistration),
    CONTEXT[0]: (PolicyExceptionChanged, ReviewerCapChanged),
}
Refused = Callable[[InputRecord, str, str], None]
"""Told of a record that takes no effect: why, in a slug and in words."""
_RECORD_BYTES_MAX: Final = 4 * 1024 * 1024


class DirectoryReader:
    """Follows the directory topics. Their offsets only grow."""

    def __init__(
        self, broker: Broker, *, refused: Refused, registry: SchemaIds | None = None
    ) -> None:
        self._broker = broker
        self._refused = refused
        self._registry = registry
        self._governed = Governed()
        self._offsets = _unread()

    def refreshed(self, trust: Trust) -> Known:
        """The directories with everything that was appended before this call, as far as `trust`
        believes it. With another trust than before all is judged anew: a key that was found
        compromised must not live on in what it signed.

        1. Ask for the ends, once. 2. Read up to them. 3. Fold, policies first: whether people need
        two signatures hangs on the policy of that time.
        """
        if trust is not self._governed.trust and trust != self._governed.trust:
            self._governed, self._offsets = Governed(trust), _unread()
        ends = self._broker.ends(_ORDER)  # 1.
        fresh = self._fresh(ends)  # 2.
        if any(self._governed.overtaken_by(said) for _, said in fresh[POLICIES]):
            self._governed, self._offsets = Governed(trust), _unread()
            fresh = self._fresh(ends)
        for place in reversed(_ORDER):  # 3.
            for record, said in fresh[place]:
                try:
                    self._governed = self._governed.applied(said)
                except DirectoryRefused as error:
                    self._refused(record, error.reason, str(error))
        self._offsets.update({place: max(end, self._offsets[place]) for place, end in ends.items()})
        return Known(
            self._governed.directory,
            policy_offset=self._offsets[POLICIES],
            directory_offset=self._offsets[PEOPLE],
            review_context_offset=self._offsets[CONTEXT],
            directory_digest=self._governed.digest,
        )

    def _fresh(self, ends: Mapping[Place, int]) -> dict[Place, list[tuple[InputRecord, Said]]]:
        """What was appended since, as far as it can be read; nothing has changed yet."""
        fresh: dict[Place, list[tuple[InputRecord, Said]]] = {place: [] for place in _ORDER}
        for place in _ORDER:
            if ends[place] <= self._offsets[place]:
                continue
            for portion in self._broker.read(place, self._offsets[place], ends[place]):
                for record in portion:
                    try:
                        fresh[place].append((record, self._said(record)))
                    except Undecodable as error:
                        self._refused(record, "undecodable", str(error))
        return fresh

    def _said(self, record: InputRecord) -> Said:
        if record.append_time is None:
            raise Undecodable("not_log_append_time", "set message.timestamp.type=LogAppendTime")
        decoded = decode(
            record.value, record.headers, registry=self._registry, bytes_max=_RECORD_BYTES_MAX
        )
        if not isinstance(decoded, _BELONG[record.topic]):
            raise Undecodable("wrong_topic", f"a {type(decoded).__name__} does not belong here")
        assert isinstance(decoded, DirectoryRecord)
        return Said(decoded, record.offset, record.append_time, record.value or b"", record.headers)


def _unread() -> dict[Place, int]:
    unread: dict[Place, int] = dict.fromkeys(_ORDER, 0)
    return unread

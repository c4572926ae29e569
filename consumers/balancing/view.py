"""What the balancer knows: the fold of what it has heard, kept small.

Of closed packages only the rule that planned them is kept, and for an hour, for the decisions of
that hour; so memory grows with the open queue, not with history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consumers.balancing.capping import HOUR, Decisions
from consumers.balancing.ports import Heard, TopicName
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from core.governing import Governed, Said, Trust
from schemas.codec import SchemaIds, Undecodable, decode, decode_bytes
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.model import Record
from schemas.state import ControlPointState
from schemas.topics import RECORD_BYTES_MAX
from schemas.vocabulary import Code

_OPEN: Final = frozenset({"pending", "escalated"})
_BELONG: Final[Mapping[TopicName, tuple[type[Record], ...]]] = {
    "control-policy": (PolicyDocument,),
    "reviewer-directory": (ReviewerAuthorization, AgentRegistration),
    "review-context": (PolicyExceptionChanged, ReviewerCapChanged),
    "human.decision_recorded": (HumanDecisionEvent,),
    "command-refused": (CommandRefused,),
}


class Unreadable(Exception):
    """A record says nothing that takes effect; the message says why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An open control point. epoch: the offset of its state, another one after each change."""

    state: ControlPointState
    epoch: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The state of a package changed. standing None: it is open no longer."""

    key: bytes
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A command of somebody's was refused."""

    command_id: str
    code: Code
    message: str


News = Moved | Refused


class View:
    """The open control points, the directory, and the decisions of the last hour."""

    def __init__(self, registry: SchemaIds | None = None, trust: Trust | None = None) -> None:
        """trust: whom to believe about the directories; None: everyone. Its people may be judged
        by a policy that is older than in the worker: what is sent is judged there again."""
        self.open: dict[bytes, Standing] = {}
        self._governed = Governed(trust)
        self.decisions = Decisions()
        self._registry = registry
        self._closed: dict[bytes, tuple[datetime, str]] = {}

    @property
    def directory(self) -> Directory:
        """Policies, people and the context of reviews."""
        return self._governed.directory

    def take(self, heard: Heard) -> News | None:
        """Folds one record. Raises Unreadable, or schemas.codec.RegistryUnavailable: then nothing
        has changed, and the record is to be taken again."""
        if heard.topic == "interrupt-state":
            return self._moved(heard)
        record = self._decoded(heard)
        match record:
            case HumanDecisionEvent():
                self.decisions.add(record)
            case CommandRefused():
                return Refused(record.command_id, record.code, record.message)
            case _:
                assert isinstance(record, DirectoryRecord)
                try:
                    said = Said(
                        record, heard.offset, heard.appended, heard.value or b"", heard.headers
                    )
                    self._governed = self._governed.applied(said)
                except DirectoryRefused as error:
                    raise Unreadable(str(error)) from None
        return None

    def forget(self, now: datetime) -> None:
        """Drops what has left the hour that ends now."""
        self.decisions.forget(now)
        for key, (closed_at, _) in list(self._closed.items()):
            if closed_at <= now - HOUR:
                del self._closed[key]

    def rule_of(self, key: bytes) -> str | None:
        """The rule that planned a package that is open, or was decided within the hour."""
        standing = self.open.get(key)
        if standing is not None and standing.state.accepted is not None:
            return standing.state.accepted.plan.rule
        closed = self._closed.get(key)
        return closed[1] if closed is not None else None

    def by_tenant(self) -> Iterator[tuple[str, dict[bytes, Standing]]]:
        """The open control points, tenant by tenant."""
        tenants: dict[str, dict[bytes, Standing]] = {}
        for key, standing in self.open.items():
            tenants.setdefault(standing.state.tenant_id, {})[key] = standing
        yield from sorted(tenants.items())

    def _moved(self, heard: Heard) -> News | None:
        key = heard.key
        if key is None:
            return None  # the watermark of a task, or a tick
        if heard.value is None:
            self.open.pop(key, None)
            return Moved(key, None)
        try:
            state = decode_bytes(heard.value, ControlPointState)
        except Undecodable as error:
            raise Unreadable(str(error)) from None
        if state.status not in _OPEN or state.accepted is None:
            self.open.pop(key, None)
            if state.accepted is not None:
                self._closed[key] = (heard.appended, state.accepted.plan.rule)
            return Moved(key, None)
        standing = Standing(state, heard.offset)
        self.open[key] = standing
        return Moved(key, standing)

    def _decoded(self, heard: Heard) -> Record:
        try:
            record = decode(
                heard.value, heard.headers, registry=self._registry, bytes_max=RECORD_BYTES_MAX
            )
        except Undecodable as error:
            raise Unreadable(str(error)) from None
        if not isinstance(record, _BELONG[heard.topic]):
            raise Unreadable(f"a {type(record).__name__} does not belong here")
        return record

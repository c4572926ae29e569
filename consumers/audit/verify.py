"""The proof of a journal: gapless, chained, and the states are what the rules make of the inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consumers.audit.checkpoints import CheckpointProof
from consumers.audit.directories import DirectoriesDiffer
from consumers.audit.faults import JournalFault
from consumers.audit.history import input_of
from consumers.audit.rejudge import (
    CannotRejudge,
    grants_fit,
    opens_audit,
    rejudged,
    signature_fits,
)
from consumers.reading import Read
from core.authentication import GRANT_TYP, Unauthenticated, typ_of
from core.context import Event
from core.directory import Directory
from core.evolve import evolve
from core.journal import BrokenChain, verify_link
from core.jwk import TrustedKeys
from core.jws import BadToken, verify
from core.limits import RULES_VERSION
from core.merkle import leaf_hash
from schemas.codec import SchemaIds, Undecodable, decode_any, decode_bytes, encode
from schemas.events import ToolGateEvent
from schemas.headers import SIGNATURE, header
from schemas.journal import JournalEntry
from schemas.state import ControlPointState

DirectoryAt = Callable[[int, int, int, str | None], Directory]
UNJUDGED: Final = frozenset({"dead_letter", "forwarded", "tick"})
"""Verdicts of inputs that were passed on or counted, and judged nothing."""
_SCHEMA_BYTES: Final = 10
"""The head of a value, which names its schema."""


@dataclass
class Counts:
    """What was looked at. refolded: entries of rules or inputs that cannot be judged again here,
    whose states were still recomputed. unproven: signatures by keys that are not trusted now.
    grants: signatures of grants that were proven. withheld: entries of which only the leaf hash is
    there. covered: entries under `checkpoints`;
    unsigned: checkpoints whose signatures were not proven, for want of keys."""

    entries: int = 0
    rejudged: int = 0
    refolded: int = 0
    unjudged: int = 0
    signatures: int = 0
    grants: int = 0
    unproven: int = 0
    withheld: int = 0
    covered: int = 0
    checkpoints: int = 0
    unsigned: int = 0

    def add(self, other: Counts) -> None:
        """Sums up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def form(self) -> dict[str, int]:
        """The counts as JSON."""
        return dict(vars(self))


@dataclass
class PartitionProof:
    """One partition, entry after entry, from its genesis.

    directory_at: policies, people and review context as read up to these three offsets, and the
    digest of what of them was believed; see DirectoryLog.at.
    or_at: others that may have been believed instead, where no digest tells.
    keys: the trusted keys of now, to prove signatures; None: only that each is over these bytes.
    grant_keys: who may sign grants; None: only that each claims what its gate event says.
    cover: the signed checkpoints. where: the topic or file that faults are in.
    """

    partition: int
    genesis: str
    directory_at: DirectoryAt
    keys: TrustedKeys | None = None
    grant_keys: TrustedKeys | None = None
    or_at: Sequence[DirectoryAt] = ()
    registry: SchemaIds | None = None
    cover: CheckpointProof | None = None
    where: str = "audit-journal"
    counts: Counts = field(default_factory=Counts)
    _head: str | None = ""
    _states: dict[bytes, ControlPointState | None] = field(default_factory=dict)
    _next_offsets: Mapping[str, int] = field(default_factory=dict)
    _read_until: Mapping[str, datetime] = field(default_factory=dict)
    _known: Mapping[str, int] = field(default_factory=dict)

    def check(self, read: Read) -> None:
        """The next record of the partition. Raises JournalFault."""
        seq = self.counts.entries
        try:
            entry = decode_bytes(read.value or b"", JournalEntry)
            before = entry.prev_hash if self._head is None else self._head or self.genesis
            verify_link(entry, read.value or b"", seq=seq, prev_hash=before)
        except Undecodable as error:
            raise self._fault(f"offset {read.offset} is no journal entry ({error})") from None
        except BrokenChain as error:
            what = str(error).partition(": ")[2]
            raise self._fault(what) from None
        if entry.partition != self.partition:
            raise self._fault(f"it names partition {entry.partition}")
        self._check_progress(entry)
        self._check_signature(entry)
        self._check_judgement(entry)
        value, again = read.value or b"", encode(entry)
        if value != again and value[:_SCHEMA_BYTES] == again[:_SCHEMA_BYTES]:
            raise self._fault("its bytes are not those that its content is written as")
        self._advance(leaf_hash(value), entry.hash)

    def withheld(self, leaf: bytes) -> None:
        """The next entry, of which only the leaf hash is there. Raises JournalFault."""
        self.counts.withheld += 1
        self._advance(leaf, None)

    def finish(self) -> None:
        """There are no more. Raises JournalFault if a checkpoint covers more."""
        if self.cover is None:
            return
        self.cover.finish()
        self.counts.covered, self.counts.checkpoints = self.cover.covered, self.cover.count
        self.counts.unsigned = 0 if self.cover.signed else self.cover.count

    def _advance(self, leaf: bytes, head: str | None) -> None:
        self._head = head
        if self.cover is not None:
            self.cover.grown(leaf, head, self.where)
        self.counts.entries += 1

    def _check_progress(self, entry: JournalEntry) -> None:
        for topic, offset in self._next_offsets.items():
            if entry.next_offsets.get(topic, -1) < offset:
                raise self._fault(f"the position in {topic} falls")
        for topic, time in self._read_until.items():
            if topic not in entry.read_until or entry.read_until[topic] < time:
                raise self._fault(f"the time reached in {topic} falls")
        self._next_offsets, self._read_until = entry.next_offsets, entry.read_until
        known = _known(entry)
        for name, offset in known.items():
            if offset < self._known.get(name, 0):
                raise self._fault(f"the {name} falls: less was known than before (guarantee 12)")
        self._known = known

    def _check_signature(self, entry: JournalEntry) -> None:
        if entry.context.kid is None:
            return
        if not signature_fits(entry):
            raise self._fault("its signature is not over this input, or is another signer's")
        if self.keys is None or self.keys.find(entry.context.kid) is None:
            self.counts.unproven += 1
            return
        command = input_of(entry, self.registry)
        token = header([(h.name, h.value) for h in entry.input.headers], SIGNATURE) or b""
        try:
            if command is not None:
                verify(token, keys=self.keys, typ=typ_of(command))
        except (BadToken, Unauthenticated) as error:
            raise self._fault(f"its signature is not good: {error}") from None
        self.counts.signatures += 1

    def _check_judgement(self, entry: JournalEntry) -> None:
        if entry.verdict in UNJUDGED:
            if entry.events or entry.state_digest:
                raise self._fault(f"{entry.verdict} judges nothing, yet has events or a state")
            self.counts.unjudged += 1
            return
        events, key = self._events(entry), entry.input.key or b""
        before = self._states.get(key)
        after = self._folded(before, events)
        # The digest is of the state's bytes as that release wrote them; whoever changes the schema of
        # the state raises RULES_VERSION, and what older rules wrote is held by its events alone.
        if entry.rules_version == RULES_VERSION and _digest(after) != entry.state_digest:
            raise self._fault("the state after it is not what its events make of the one before")
        if entry.context.sampled != any(opens_audit(event) for event in events):
            raise self._fault("it says something else about its audit than its events do")
        if not grants_fit(events, after):
            raise self._fault("its grant claims something else than its gate event")
        self._check_grants(events)
        self._rejudge(before, entry, events)
        if after is None:
            self._states.pop(key, None)
        else:
            self._states[key] = after

    def _check_grants(self, events: list[Event]) -> None:
        if self.grant_keys is None:
            return
        for event in events:
            if not isinstance(event, ToolGateEvent) or event.gate != "opened":
                continue
            try:
                key = verify(event.grant_jws or "", keys=self.grant_keys, typ=GRANT_TYP).key
            except BadToken as error:
                raise self._fault(f"its grant is not good: {error}") from None
            if key.algorithm != "EdDSA" or not key.is_bare:
                raise self._fault("its grant is signed by a key that is no grant key")
            self.counts.grants += 1

    def _rejudge(
        self, before: ControlPointState | None, entry: JournalEntry, events: list[Event]
    ) -> None:
        if entry.rules_version != RULES_VERSION:
            self.counts.refolded += 1
            return
        known = entry.context
        try:
            offsets = known.policy_offset, known.directory_offset, known.review_context_offset
            same = any(
                rejudged(before, entry, events, at(*offsets, known.directory_digest), self.registry)
                for at in (self.directory_at, *self.or_at)
            )
        except DirectoriesDiffer as error:
            raise self._fault(str(error)) from None
        except CannotRejudge:
            self.counts.refolded += 1
            return
        if not same:
            raise self._fault(
                f"the rules do not make {entry.verdict} with these events of this input"
            )
        self.counts.rejudged += 1

    def _events(self, entry: JournalEntry) -> list[Event]:
        events: list[Event] = []
        for number, raw in enumerate(entry.events):
            try:
                event: Any = decode_any(raw)
            except Undecodable as error:
                raise self._fault(f"event {number} cannot be read ({error})") from None
            if not isinstance(event, Event):
                raise self._fault(f"event {number} is a {type(event).__name__}, which is no event")
            events.append(event)
        return events

    def _folded(
        self, state: ControlPointState | None, events: list[Event]
    ) -> ControlPointState | None:
        try:
            for event in events:
                state = evolve(state, event)
        except AssertionError as error:
            raise self._fault(f"its events do not follow from the state before: {error}") from None
        return state

    def _fault(self, what: str) -> JournalFault:
        return JournalFault(self.partition, self.counts.entries, what, self.where)


def _known(entry: JournalEntry) -> dict[str, int]:
    """How far each directory topic had been read."""
    context = entry.context
    return {
        "policy_offset": context.policy_offset,
        "directory_offset": context.directory_offset,
        "review_context_offset": context.review_context_offset,
    }


def _digest(state: ControlPointState | None) -> str:
    return "" if state is None else hashlib.sha256(encode(state)).hexdigest()

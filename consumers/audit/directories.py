"""Policies, people and review context as they were at any offsets of their topics: what a judgement
rested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from consumers.reading import Read, read_topic
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from core.governing import Governed, Said, Trust
from core.jwk import TrustedKeys
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
Offsets = tuple[int, int, int]
"""How far `control-policy`, `reviewer-directory` and `review-context` are read."""


class DirectoriesDiffer(Exception):
    """What was believed then cannot be told now; the message says why and what to do."""


@dataclass
class DirectoryLog:
    """The directory topics, read once. What took no effect is left out, as the worker does.

    trust: whom the worker believes; None: not known here, and all is believed.
    """

    policies: list[Said] = field(default_factory=list)
    people: list[Said] = field(default_factory=list)
    context: list[Said] = field(default_factory=list)
    trust: Trust | None = None
    _folds: list[_Fold] = field(default_factory=list)

    def at(
        self,
        policy_offset: int,
        directory_offset: int,
        review_context_offset: int,
        digest: str | None = None,
    ) -> Directory:
        """The directory with each topic read up to, not including, its offset.

        digest: of what was believed then, as the journal has it. Where the keys of now do not give
        it, those that were found compromised since are believed, and then everyone (a tenant had no
        governors yet), if that does. Raises DirectoriesDiffer. Cheap when asked with offsets that grow, as along a journal.
        """
        wanted = (policy_offset, directory_offset, review_context_offset)
        folds = self._folds
        if not folds:
            folds += [_Fold(self, trust) for trust in _trusts(self.trust)]
        for fold in folds:
            governed = fold.at(wanted)
            if digest is None or governed.digest == digest:
                return governed.directory
        raise DirectoriesDiffer(
            "the records of control-policy, reviewer-directory and review-context that were believed "
            "then are not those of now; give the trusted keys of that time (ended and compromised "
            "ones included), or look who has altered the topics"
        )

    def latest(self) -> Directory:
        """The directory of now."""
        reached = self._folds[0].reached if self._folds else (0, 0, 0)
        policies, people, context = (
            max(entries[-1].offset + 1 if entries else 0, upto)
            for entries, upto in zip(
                (self.policies, self.people, self.context), reached, strict=True
            )
        )
        return self.at(policies, people, context)


class _Fold:
    """The log folded under one trust."""

    def __init__(self, log: DirectoryLog, trust: Trust | None) -> None:
        self._log = log
        self._trust = trust
        self.reached: Offsets = (0, 0, 0)
        self._governed = Governed(trust)

    def at(self, wanted: Offsets) -> Governed:
        """The fold up to these offsets."""
        if wanted == self.reached:
            return self._governed
        fresh = self._fresh(wanted)
        fallen = any(upto < reached for upto, reached in zip(wanted, self.reached, strict=True))
        if fallen or any(map(self._governed.overtaken_by, fresh)):
            self.reached, self._governed = (0, 0, 0), Governed(self._trust)
            fresh = self._fresh(wanted)
        for said in fresh:
            self._governed = _applied(self._governed, said)
        self.reached = wanted
        return self._governed

    def _fresh(self, wanted: Offsets) -> list[Said]:
        """What lies between, policies first: as the worker folds."""
        log = self._log
        return [
            said
            for entries, upto, reached in zip(
                (log.policies, log.context, log.people), _turned(wanted), _turned(self.reached),
                strict=True,
            )
            for said in entries
            if reached <= said.offset < upto
        ]  # fmt: skip


def _trusts(trust: Trust | None) -> list[Trust | None]:
    """Whom the worker may have believed, knowing less than we do now."""
    if trust is None:
        return [None]
    keys = {kid: replace(key, compromised_at=None) for kid, key in trust.keys.by_kid.items()}
    return [trust, replace(trust, keys=TrustedKeys(keys)), None]


def _turned(offsets: Offsets) -> Offsets:
    """Policies, context, people."""
    return offsets[0], offsets[2], offsets[1]


def read_directories(
    config: Mapping[str, Any],
    named: Callable[[str], str],
    registry: SchemaIds | None = None,
    trust: Trust | None = None,
) -> DirectoryLog:
    """Reads the topics to their ends. trust: as for DirectoryLog. Raises TopicMissing, ReadStalled, KafkaException."""
    policies, people, context = (
        decoded(read_topic(config, named(topic)), belong, registry)
        for topic, belong in _BELONG.items()
    )
    return DirectoryLog(policies, people, context, trust)


def decoded(
    records: Iterable[Read],
    belong: tuple[type[DirectoryRecord], ...],
    registry: SchemaIds | None = None,
) -> list[Said]:
    """The records that are of the right kind."""
    found: list[Said] = []
    for read in records:
        try:
            record = decode(read.value, read.headers, registry=registry, bytes_max=RECORD_BYTES_MAX)
        except Undecodable:
            continue
        if isinstance(record, belong):
            found.append(Said(record, read.offset, read.appended, read.value or b"", read.headers))
    return found


def _applied(governed: Governed, said: Said) -> Governed:
    try:
        return governed.applied(said)
    except DirectoryRefused:
        return governed

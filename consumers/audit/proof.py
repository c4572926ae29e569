"""The journal at the broker, proven from its first record to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import TopicCollection

from consumers.audit.checkpoints import CheckpointProof
from consumers.audit.directories import (
    CONTEXT,
    PEOPLE,
    POLICIES,
    DirectoryLog,
    Offsets,
    read_directories,
)
from consumers.audit.history import JOURNAL
from consumers.audit.verify import Counts, PartitionProof
from consumers.offsets import ANSWER_WITHIN_S, offsets
from consumers.reading import Progress, connected, partitions_of, read_topic
from consumers.settings import Settings
from consumers.trusting import trust_of
from core.directory import Directory
from core.governing import Trust
from core.journal import genesis
from core.jwk import TrustedKeys

CHECKPOINTS: Final = "audit-checkpoint"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a journal is bound to: the cluster and the topic's own id, not its name."""

    cluster_id: str
    topic_id: str


def journal_identity(settings: Settings) -> Identity:
    """The identity of this deployment's journal. Raises TopicMissing, KafkaException."""
    topic = settings.topic(JOURNAL)
    partitions_of(settings.admin_config(), topic)
    admin = connected(settings.admin_config())
    asked: Any = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_WITHIN_S)
    described = asked[topic].result(timeout=2 * ANSWER_WITHIN_S)
    cluster = admin.list_topics(timeout=ANSWER_WITHIN_S).cluster_id
    return Identity(str(cluster), str(described.topic_id))


def prove_journal(
    settings: Settings,
    *,
    partitions: Sequence[int] | None = None,
    keys: TrustedKeys | None = None,
    grant_keys: TrustedKeys | None = None,
    progress: Callable[[int], Progress] | None = None,
) -> dict[int, Counts]:
    """What was looked at, by partition. Raises JournalFault at the first thing that is wrong.

    grant_keys: who may sign grants and checkpoints. progress: given a partition, where to report how far it
    is. Also raises TopicMissing, ReadStalled, KafkaException.
    """
    config, topic = settings.admin_config(), settings.topic(JOURNAL)
    identity = journal_identity(settings)
    count = partitions_of(config, topic)
    known = _Known(settings, trust_of(settings, keys) if keys is not None else None)
    looked: dict[int, Counts] = {}
    for partition in range(count) if partitions is None else partitions:
        start = genesis(identity.cluster_id, identity.topic_id, partition)
        # Read before the journal: then the journal has all that they cover.
        signed = read_topic(config, settings.topic(CHECKPOINTS), partitions=[partition])
        values = [read.value for read in signed]
        proof = PartitionProof(
            partition,
            start,
            known.at,
            keys=keys,
            grant_keys=grant_keys,
            registry=known.registry,
            cover=CheckpointProof(partition, start, values, keys=grant_keys),
        )
        report = progress(partition) if progress else None
        for read in read_topic(config, topic, partitions=[partition], progress=report):
            proof.check(read)
        proof.finish()
        looked[partition] = proof.counts
    return looked


class _Known:
    """The directories, read again when an entry rests on more than was there before."""

    def __init__(self, settings: Settings, trust: Trust | None) -> None:
        self._settings = settings
        self._trust = trust
        self.registry = settings.kafka_config().registry
        self._ends: Offsets = (-1, -1, -1)
        self._log = DirectoryLog()

    def at(
        self,
        policy_offset: int,
        directory_offset: int,
        review_context_offset: int,
        digest: str | None = None,
    ) -> Directory:
        """See DirectoryLog.at."""
        wanted = (policy_offset, directory_offset, review_context_offset)
        if any(upto > end for upto, end in zip(wanted, self._ends, strict=True)):
            config, named = self._settings.admin_config(), self._settings.topic
            policies, people, context = ((named(t), 0) for t in (POLICIES, PEOPLE, CONTEXT))
            ends = offsets(connected(config), [policies, people, context], "latest")
            self._log = read_directories(config, named, self.registry, self._trust)
            self._ends = (ends[policies], ends[people], ends[context])
        return self._log.at(*wanted, digest)

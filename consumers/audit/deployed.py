"""A deployment as the source of an evidence bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from consumers.audit.export import Source
from consumers.audit.history import JOURNAL
from consumers.audit.proof import CHECKPOINTS, journal_identity
from consumers.reading import Progress, Read, partitions_of, read_topic
from consumers.settings import Settings
from core.jwk import TrustedKeys
from schemas.topics import partition_for


def deployed_source(
    settings: Settings,
    *,
    keys: Sequence[bytes],
    trusted: TrustedKeys,
    grants: TrustedKeys,
    progress: Callable[[int], Progress] | None = None,
) -> Source:
    """The journal at the broker. keys: only the partitions of these; none: all.

    Raises TopicMissing, KafkaException.
    """
    config = settings.admin_config()
    identity = journal_identity(settings)
    count = partitions_of(config, settings.topic(JOURNAL))
    wanted = {partition_for(key, count) for key in keys} or range(count)

    def journal(partition: int) -> Iterable[Read]:
        report = progress(partition) if progress else None
        return read_topic(config, settings.topic(JOURNAL), partitions=[partition], progress=report)

    return Source(
        cluster_id=identity.cluster_id,
        journal_id=identity.topic_id,
        audience=settings.audience,
        balancer_id=settings.balancer_id,
        partitions=tuple(sorted(wanted)),
        journal=journal,
        checkpoints=lambda partition: read_topic(
            config, settings.topic(CHECKPOINTS), partitions=[partition]
        ),
        directory=lambda topic: read_topic(config, settings.topic(topic)),
        trusted=trusted,
        grants=grants,
    )

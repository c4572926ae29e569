"""Where the partitions of a topic begin and end, as the broker says now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is

ANSWER_WITHIN_S: Final = 10.0
"""A broker that is silent for longer is out of reach."""
Place = tuple[str, int]
"""Topic with its prefix, partition."""


def offsets(
    admin: AdminClient, places: Iterable[Place], where: Literal["earliest", "latest"]
) -> dict[Place, int]:
    """The first offset of each place, or the one after the last record.

    Uncommitted records count: an end asked for after a commit lies behind everything committed,
    which the last stable offset does not promise (its markers are written later). Raises
    KafkaException.
    """
    spec: Any = getattr(OffsetSpec, where)()
    asked = admin.list_offsets(
        {TopicPartition(*place): spec for place in places},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_WITHIN_S,
    )
    return {
        (place.topic, place.partition): future.result(timeout=ANSWER_WITHIN_S * 2).offset
        for place, future in asked.items()
    }

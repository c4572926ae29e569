"""Kafka record headers: CloudEvents 1.0 in binary mode, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from schemas.model import Record
from schemas.registry import ce_type_of

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""As read from Kafka: names may repeat, values may be null."""

CE_ID: Final = "ce_id"
CE_TYPE: Final = "ce_type"
CE_SOURCE: Final = "ce_source"
CE_TIME: Final = "ce_time"
CE_SPECVERSION: Final = "ce_specversion"
CONTENT_TYPE: Final = "content-type"
TRACEPARENT: Final = "traceparent"
SIGNATURE: Final = "countersign-signature"
UNSIGNED: Final = "countersign-unsigned"
"""On all that a worker writes while it believes unsigned records (`--insecure-unsigned`)."""

AVRO: Final = "application/avro"
JSON: Final = "application/json"


class DuplicateHeader(ValueError):
    """A header that must be unique stands twice; two readers could believe different ones."""


def header(headers: Headers | None, name: str) -> bytes | None:
    """The value of a header, None if it is absent or null. Raises DuplicateHeader."""
    found = [value for key, value in headers or () if key == name]
    if len(found) > 1:
        raise DuplicateHeader(name)
    return found[0] if found else None


def rfc3339(time: datetime) -> str:
    """The instant as RFC 3339 text in UTC with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def ce_headers(
    record: Record,
    *,
    ce_id: str,
    source: str,
    time: datetime,
    extra: Iterable[tuple[str, bytes]] = (),
    content_type: str = AVRO,
) -> list[tuple[str, bytes]]:
    """The headers to publish a record with; `extra` (traceparent, signature) comes last."""
    return [
        (CE_SPECVERSION, b"1.0"),
        (CE_ID, ce_id.encode()),
        (CE_TYPE, ce_type_of(record).encode()),
        (CE_SOURCE, source.encode()),
        (CE_TIME, rfc3339(time).encode()),
        (CONTENT_TYPE, content_type.encode()),
        *extra,
    ]

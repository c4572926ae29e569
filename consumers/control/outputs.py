"""What the worker appends: events, states, journal entries, dead letters, forwarded records.

Everything in an output follows from its input, so that a step done again gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consumers.control.ports import InputRecord, OutputRecord
from consumers.control.reception import Dead, without_rekeying
from core.context import Event
from core.identifiers import derived_id
from core.jws import b64url
from schemas.codec import OutputFormat, SchemaIds, content_type_of, encode
from schemas.directory import ClockTick, PolicyExceptionChanged
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.headers import SIGNATURE, TRACEPARENT, UNSIGNED, Headers, ce_headers, rfc3339
from schemas.journal import JournalEntry
from schemas.model import Record
from schemas.registry import ce_type_of, topic_of
from schemas.state import ControlPointState
from schemas.topics import INPUT_TOPICS, TOPICS, key_of

SOURCE: Final = "/countersign/control"
Prove = Callable[[dict[str, object]], str]
SEQ: Final = "seq"
"""Header of a state: the journal entry that it follows from, by which a store is caught up."""


Published = (
    HumanDecisionEvent
    | InterruptStatusChanged
    | ToolGateEvent
    | ReviewTaskEvent
    | CommandRefused
    | PolicyExceptionChanged
)
"""The events that others read; the rest stands in the journal only."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How outputs are written: the format that others asked for; our own topics stay Avro.

    prove: signs the claims that a worker wrote a record of `review-context`. audience: the
    deployment that they name. unsigned: whether all is marked as by a worker that believes anyone.
    """

    output: OutputFormat = "avro"
    registry: SchemaIds | None = None
    prove: Prove | None = None
    audience: str = ""
    unsigned: bool = False

    def published(self, events: Sequence[Event], headers: Headers, task: int) -> list[OutputRecord]:
        """The events that have a topic, in their order, with the input's traceparent."""
        trace = [(n, v) for n, v in headers if n == TRACEPARENT and v is not None]
        trace += marks(unsigned=self.unsigned)
        return [
            self._record(event, event.event_id, event.occurred_at, task, trace)
            for event in events
            if isinstance(event, Published)
        ]

    def _record(
        self,
        record: Record,
        record_id: str,
        time: datetime,
        task: int,
        extra: Sequence[tuple[str, bytes]] = (),
    ) -> OutputRecord:
        topic = topic_of(record)
        assert topic is not None
        headers = ce_headers(
            record,
            ce_id=record_id,
            source=SOURCE,
            time=time,
            extra=extra,
            content_type=content_type_of(self.output),
        )
        value = encode(record, output=self.output, registry=self.registry)
        if isinstance(record, PolicyExceptionChanged) and self.prove is not None:
            token = self.prove(context_claims(record, value, self.audience))
            headers.append((SIGNATURE, token.encode()))
        partition = task if TOPICS[topic].partitions == "task" else 0
        return OutputRecord(topic, partition, key_of(record), value, list(headers))


def context_claims(
    record: PolicyExceptionChanged, value: bytes, audience: str
) -> dict[str, object]:
    """What a worker signs of a record of `review-context`. It names no time: a step done again
    gives the same bytes, and what it says stays true."""
    return {
        "iss": SOURCE,
        "aud": audience,
        "tenant_id": record.tenant_id,
        "type": ce_type_of(record),
        "jti": record.event_id,
        "body": b64url(hashlib.sha256(value).digest()),
    }


def marks(*, unsigned: bool) -> list[tuple[str, bytes]]:
    """The headers that say in which mode a worker wrote."""
    return [(UNSIGNED, b"1")] if unsigned else []


def journalled(entry: JournalEntry, *, unsigned: bool = False) -> OutputRecord:
    """A journal entry, keyed as its input."""
    headers = ce_headers(
        entry,
        ce_id=f"{entry.partition}-{entry.seq}",
        source=SOURCE,
        time=entry.context.handled_at,
        extra=marks(unsigned=unsigned),
    )
    return OutputRecord(
        "audit-journal", entry.partition, entry.input.key, encode(entry), list(headers)
    )


def changelog(
    key: bytes, value: bytes | None, state: ControlPointState | None, *, task: int, seq: int
) -> OutputRecord:
    """The state of a control point after entry `seq`; a tombstone where there is none any more."""
    headers: list[tuple[str, bytes | None]] = [(SEQ, str(seq).encode())]
    if state is not None:
        time = state.accepted.occurred_at if state.accepted else state.parked[0].appended_at
        headers += ce_headers(state, ce_id=f"{task}-{seq}", source=SOURCE, time=time)
    return OutputRecord("interrupt-state", task, key, value, headers)


def dead_letter(record: InputRecord, dead: Dead) -> OutputRecord:
    """The record as it came, and where it came from."""
    origin = dead.origin
    headers: list[tuple[str, bytes | None]] = [
        *without_rekeying(record.headers),
        ("dlq_topic", origin.topic.encode()),
        ("dlq_partition", str(origin.partition).encode()),
        ("dlq_offset", str(origin.offset).encode()),
        ("dlq_reason", dead.reason.encode()),
        ("dlq_detail", dead.detail.encode()),
        ("dlq_at", rfc3339(origin.append_time).encode()),
    ]
    return OutputRecord("dead-letter", origin.partition, record.key, record.value, headers)


def forwarded(
    record: InputRecord, partition: int, headers: list[tuple[str, bytes | None]]
) -> OutputRecord:
    """A record on its way to the task that its key belongs to."""
    return OutputRecord("rekeyed", partition, record.key, record.value, headers)


def ticks(task: int, due: datetime, now: datetime) -> list[OutputRecord]:
    """One ClockTick for each input of a task."""
    tick = ClockTick(partition=task, due_at=due)
    value = encode(tick)
    return [
        OutputRecord(
            topic,
            task,
            None,
            value,
            list(
                ce_headers(
                    tick,
                    ce_id=derived_id(
                        f"tick/{topic}/{task}/{due.isoformat()}/{now.isoformat()}", "tick"
                    ),
                    source=SOURCE,
                    time=now,
                )
            ),
        )
        for topic in INPUT_TOPICS
    ]

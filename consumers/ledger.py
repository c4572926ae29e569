"""What was granted, taken and reported, read from the log for the reconciler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from consumers.audit.rejudge import claims_of
from consumers.reading import Read, read_topic
from consumers.reconciling import Consumed, Ledger, Opened, Reported
from core.identifiers import derived_id, input_origin
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.events import CommandRefused, ToolGateEvent
from schemas.execution import NoticeFailed, NoticeSent, ToolExecuted, ToolFailed, ToolInDoubt
from schemas.headers import SIGNATURE
from schemas.model import Record
from schemas.registry import ce_type_of
from schemas.topics import RECORD_BYTES_MAX

EXECUTIONS: Final = "tool-execution"
NOTICES: Final = "notice.sent"
REFUSALS: Final = "command-refused"
GATES: Final = "tool-gate"
_OF_EXECUTION: Final = (ToolExecuted, ToolFailed, ToolInDoubt)
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class LedgerReader:
    """Gathers a ledger, record after record; of one tenant if named.

    `receipt` is told of everything on its topics, since a record is known by the time that its
    partition had reached.
    """

    tenant_id: str | None = None
    registry: SchemaIds | None = None
    _opened: list[Opened] = field(default_factory=list)
    _consumed: list[Consumed] = field(default_factory=list)
    _reported: dict[str, Reported] = field(default_factory=dict)
    _reached: dict[tuple[str, int], datetime] = field(default_factory=dict)

    def receipt(self, topic: str, read: Read) -> None:
        """A record of `tool-execution` or `notice.sent`; topic: its name without the prefix."""
        place = topic, read.partition
        reached = max(read.appended, self._reached.get(place, _NEVER))
        self._reached[place] = reached
        record = self._decoded(read)
        if not isinstance(
            record, ToolExecuted | ToolFailed | ToolInDoubt | NoticeSent | NoticeFailed
        ):
            return
        origin = input_origin(topic, read.partition, read.offset, reached)
        self._reported[derived_id(origin, "refused")] = _reported(record, _signer(read), reached)

    def refusal(self, read: Read) -> None:
        """A record of `command-refused`. It is of the one record that its id is derived from: who
        gives a forged receipt the id of a good one does not hide the good one."""
        record = self._decoded(read)
        if isinstance(record, CommandRefused) and record.event_id in self._reported:
            report = self._reported[record.event_id]
            self._reported[record.event_id] = replace(report, refused=record.code)

    def gate(self, read: Read) -> None:
        """A record of `tool-gate`."""
        event = self._decoded(read)
        if not isinstance(event, ToolGateEvent) or event.grant_id is None:
            return
        name = event.tenant_id, event.decision_package_id, event.grant_id
        if event.gate == "opened":
            self._opened.append(
                Opened(
                    name, event.event_id, event.interrupt_id, event.tool_name, event.action_digest
                )
            )
        elif event.gate == "consumed" and event.attempt_id is not None:
            self._consumed.append(
                Consumed(
                    name, event.event_id, event.attempt_id, event.executor_id, event.execute_by
                )
            )

    def ledger(self) -> Ledger:
        """All that was gathered."""
        reports = sorted(self._reported.values(), key=lambda report: report.appended)
        return Ledger(self._opened, self._consumed, reports)

    def _decoded(self, read: Read) -> Record | None:
        try:
            record = decode(
                read.value or b"", read.headers, registry=self.registry, bytes_max=RECORD_BYTES_MAX
            )
        except Undecodable:
            return None  # a dead letter by now, or garbage: nobody acts on it
        of_tenant = getattr(record, "tenant_id", None)
        return record if self.tenant_id in (None, of_tenant) else None


def read_ledger(
    config: Mapping[str, Any],
    named: Callable[[str], str],
    *,
    tenant_id: str | None = None,
    registry: SchemaIds | None = None,
) -> Ledger:
    """The ledger of a deployment. Raises TopicMissing, ReadStalled, KafkaException.

    Receipts first, gates last: whatever a receipt rests on was in the log before it.
    """
    reader = LedgerReader(tenant_id, registry)
    for topic in (EXECUTIONS, NOTICES):
        for read in read_topic(config, named(topic)):
            reader.receipt(topic, read)
    _each(read_topic(config, named(REFUSALS)), reader.refusal)
    _each(read_topic(config, named(GATES)), reader.gate)
    return reader.ledger()


def _each(records: Iterator[Read], told: Callable[[Read], None]) -> None:
    for read in records:
        told(read)


def _signer(read: Read) -> str | None:
    """Who the signature says it was. Where it is not true the worker refuses the record."""
    token = next((value for name, value in read.headers if name == SIGNATURE), None)
    sub = claims_of((token or b"").decode("ascii", "replace")).get("sub")
    return sub if isinstance(sub, str) else None


def _reported(
    record: ToolExecuted | ToolFailed | ToolInDoubt | NoticeSent | NoticeFailed,
    executor: str | None,
    appended: datetime,
) -> Reported:
    result = None
    if isinstance(record, _OF_EXECUTION):
        result, executor = record.result_digest, record.executor_id
    elif isinstance(record, NoticeSent):
        result = record.provider_message_id
    return Reported(
        grant=(record.tenant_id, record.decision_package_id, record.grant_id),
        receipt_type=ce_type_of(record),
        receipt_id=record.event_id,
        attempt_id=record.attempt_id,
        executor_id=executor,
        action_digest=record.action_digest,
        result=result,
        appended=appended,
    )

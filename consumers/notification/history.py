"""What the log already says about the gates of a partition that was just assigned.

Before anything is taken, the gates are read to their end: one that was closed meanwhile is let be,
and one that an earlier life took is known as such before its `consumed` could be mistaken for an
answer to this life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from consumers.notification.facts import Consumed, meaning
from consumers.notification.ports import Heard, Log, TopicName, Unavailable
from consumers.notification.progress import Progress
from core.authentication import TenantMismatch, Unauthenticated, authenticate
from core.jwk import TrustedKeys
from producers.attempt import BROKER_SKEW_MAX
from producers.executor import Executor
from producers.trusted_keys import KeysUnavailable
from schemas.events import ToolGateEvent
from schemas.execution import Notice, Receipt, ToolDenied
from schemas.registry import ce_type_of

_RECEIPTS: Final[tuple[TopicName, ...]] = ("notice.sent", "tool-execution")


@dataclass(frozen=True, slots=True)
class Survey:
    """What stood below `end` when the partition was assigned.

    open_offsets: gates of ours that were neither closed nor taken by another. consumed: those that
    our attempt took, by grant. receipted: attempts of ours with a receipt.
    """

    end: int
    open_offsets: frozenset[int] = frozenset()
    consumed: Mapping[str, Consumed] = field(default_factory=dict)
    receipted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Opened:
    offset: int
    appended: datetime
    action_digest: str


@dataclass(frozen=True, slots=True)
class Receipts:
    """Looks for receipts that this deployment's executor signed. Nobody else's word ends a job."""

    log: Log
    executor: Executor
    keys: Callable[[], TrustedKeys]
    audience: str

    def of_attempts(self, partition: int, since: datetime) -> Iterator[str]:
        """Attempts with a receipt of ours, opened not before `since`. Raises Unavailable."""
        try:
            keys = self.keys()
        except KeysUnavailable as error:
            raise Unavailable("trusted keys", str(error)) from None
        for topic in _RECEIPTS:
            end = self.log.end(topic, partition)
            start = since - BROKER_SKEW_MAX
            for heard in self.log.history(topic, partition, end=end, since=start):
                record = heard.record
                if not isinstance(record, Notice | Receipt) or isinstance(record, ToolDenied):
                    continue
                if self._is_ours(heard, keys):
                    yield record.attempt_id

    def _is_ours(self, heard: Heard, keys: TrustedKeys) -> bool:
        assert heard.record is not None
        try:
            signer = authenticate(
                heard.record,
                ce_type_of(heard.record),
                heard.value,
                heard.headers,
                keys=keys,
                audience=self.audience,
                append_time=heard.appended,
            )
        except (Unauthenticated, TenantMismatch):
            return False
        return signer.subject == self.executor.executor_id


def survey(
    log: Log, executor: Executor, receipts: Receipts, partition: int, progress: Progress | None
) -> Survey:
    """Reads the gates of a partition from its progress to their present end. Raises Unavailable."""
    end = log.end("tool-gate", partition)
    start = progress.offset if progress else None
    opened: dict[str, _Opened] = {}
    consumed: dict[str, Consumed] = {}
    for heard in log.history("tool-gate", partition, end=end, start=start):
        _note(heard, executor, opened, consumed)
    marks = progress.marks if progress else {}
    asked = [
        gate.appended
        for grant_id, gate in opened.items()
        if grant_id in consumed or marks.get(gate.offset) == "s"
    ]
    return Survey(
        end=end,
        open_offsets=frozenset(gate.offset for gate in opened.values()),
        consumed=consumed,
        receipted=frozenset(receipts.of_attempts(partition, min(asked)) if asked else ()),
    )


def _note(
    heard: Heard,
    executor: Executor,
    opened: dict[str, _Opened],
    consumed: dict[str, Consumed],
) -> None:
    gate = heard.record
    if not isinstance(gate, ToolGateEvent) or gate.grant_id is None:
        return
    if gate.gate == "opened":
        if gate.action_digest is not None and executor.may_take(gate):
            new = _Opened(heard.offset, heard.appended, gate.action_digest)
            opened.setdefault(gate.grant_id, new)
        return
    known = opened.get(gate.grant_id)
    if known is None:
        return
    means = meaning(gate, known.action_digest, executor.executor_id)
    if isinstance(means, Consumed):
        consumed[gate.grant_id] = means
    else:
        del opened[gate.grant_id]

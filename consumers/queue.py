"""The queue and the control points in it, as people read them.

It folds the changelog `interrupt-state` (the log, not Redis): so it needs no key of the worker's,
and shows what was committed. One partition is read for one package, all for the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from consumers.reading import Read, partitions_of, read_topic
from schemas.codec import decode_bytes
from schemas.state import ControlPointState
from schemas.topics import partition_for, record_key
from schemas.vocabulary import RISK_LEVELS

OPEN: Final = frozenset({"pending", "escalated"})
_FAR: Final = datetime.max


class UnknownControlPoint(Exception):
    """Nothing is known under that id; the message names it."""


class Queue:
    """Reads over the control points of a deployment.

    `config` is the librdkafka configuration, `named` adds the deployment's prefix to a topic name.
    """

    def __init__(self, config: Mapping[str, Any], named: Callable[[str], str]) -> None:
        self._config = config
        self._topic = named("interrupt-state")

    def states(self, *, tenant_id: str | None = None) -> list[ControlPointState]:
        """Every control point, of one tenant if named."""
        latest = fold(read_topic(self._config, self._topic))
        return [s for s in latest.values() if tenant_id is None or s.tenant_id == tenant_id]

    def open(self, *, tenant_id: str | None = None) -> list[ControlPointState]:
        """The open ones: highest risk first, then the one due first."""
        return sorted((s for s in self.states(tenant_id=tenant_id) if s.status in OPEN), key=_rank)

    def find(self, tenant_id: str | None, some_id: str) -> ControlPointState:
        """The control point of a decision package id, else of an interrupt id.

        With a tenant the package's own partition is read first. Raises UnknownControlPoint; a
        package id that two tenants have is unknown until the tenant is named.
        """
        if tenant_id is not None:
            key = record_key(tenant_id, some_id)
            partition = partition_for(key, partitions_of(self._config, self._topic))
            found = fold(read_topic(self._config, self._topic, partitions=[partition])).get(key)
            if found is not None:
                return found
        return chosen(self.states(tenant_id=tenant_id), some_id)


def fold(records: Iterator[Read]) -> dict[bytes, ControlPointState]:
    """The last state of each key; a null value ends one. Raises schemas.codec.Undecodable."""
    latest: dict[bytes, bytes] = {}
    for record in records:
        if record.key is None:
            continue
        if record.value is None:
            latest.pop(record.key, None)
        else:
            latest[record.key] = record.value
    return {key: decode_bytes(value, ControlPointState) for key, value in latest.items()}


def chosen(states: list[ControlPointState], some_id: str) -> ControlPointState:
    """The one state that `some_id` names: a package, else an interrupt of one."""
    packages = [s for s in states if s.decision_package_id == some_id]
    found = packages or [s for s in states if any(i.interrupt_id == some_id for i in s.interrupts)]
    if not found:
        raise UnknownControlPoint(f"{some_id}: no control point has this package or interrupt id")
    if len(found) > 1:
        tenants = ", ".join(sorted(state.tenant_id for state in found))
        raise UnknownControlPoint(f"{some_id}: several tenants have it ({tenants}); add --tenant")
    return found[0]


def _rank(state: ControlPointState) -> tuple[int, datetime, str]:
    risk = RISK_LEVELS.index(state.accepted.plan.effective_risk) if state.accepted else 0
    due = state.decide_by.replace(tzinfo=None) if state.decide_by else _FAR
    return -risk, due, state.decision_package_id

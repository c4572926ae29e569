"""The control points, and the queue of their tasks, from the log.

It folds the changelog `interrupt-state`: so it needs no key of the worker's, and shows what was
committed. One partition is read for one package. A list reads them all, so lists are first sought
in the projection (`queue_projection.py`), which has the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from consumers.queue_rows import Row, Wanted, ranked, top
from consumers.reading import Read, partitions_of, read_topic
from schemas.codec import decode_bytes
from schemas.state import ControlPointState
from schemas.topics import partition_for, record_key


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
        latest = self._latest()
        return [s for s in latest.values() if tenant_id is None or s.tenant_id == tenant_id]

    def top(self, wanted: Wanted, limit: int) -> list[Row]:
        """The first tasks that are wanted, at most `limit`: highest priority first, then risk, then
        what is due first."""
        rows = (ranked(key, state) for key, state in self._latest().items())
        return top((row for row in rows if row is not None), wanted, limit)

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

    def _latest(self) -> dict[bytes, ControlPointState]:
        return fold(read_topic(self._config, self._topic))


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

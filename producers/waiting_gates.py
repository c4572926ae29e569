"""The gates that wait to be handled, and what the log says of each meanwhile. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from producers.attempt import Attempt
from producers.executor import Executor
from producers.gate_feed import Assigned, CaughtUp, Happening, Passed, Revoked
from schemas.events import ToolGateEvent
from schemas.execution import Receipt

WAITING_MAX: Final = 2000
"""Open gates kept in memory, each up to 64 KiB of arguments; then no more are read until some of
them are handled."""
_GrantKey = tuple[str, str, str]


@dataclass(slots=True)
class Waiting:
    """An opened gate of ours. attempt: the one that this process makes, if it makes any.

    place: partition and offset; None when the partition was taken from us and a receipt is owed.
    taker: an attempt of this executor, not of this process, that has the grant. holds: ours has.
    lost: the worker said that somebody has it; the log will say who, or it ends at `not_before`.
    """

    gate: ToolGateEvent
    attempt: Attempt
    place: tuple[int, int] | None
    not_before: datetime
    taker: Attempt | None = None
    holds: bool = False
    lost: bool = False
    owed: Receipt | None = None
    owed_why: str = ""

    @property
    def key(self) -> _GrantKey:
        """What names its grant; another tenant may use the same ids."""
        return _key(self.gate)


@dataclass
class WaitingGates:
    """By grant, in the order in which they are to be handled."""

    executor: Executor
    _waiting: dict[_GrantKey, Waiting] = field(default_factory=dict)
    _next: dict[int, int | None] = field(default_factory=dict)
    _caught_up: set[int] = field(default_factory=set)

    def hear(self, happenings: Iterable[Happening], now: datetime) -> list[Waiting]:
        """Notes what happened. Answers those that were closed by somebody else."""
        closed: list[Waiting] = []
        for happening in happenings:
            match happening:
                case Assigned() | Revoked():
                    for partition in happening.partitions:
                        self._let_go(partition)
                    if isinstance(happening, Assigned):
                        self._next |= dict.fromkeys(happening.partitions)
                case CaughtUp():
                    self._caught_up.add(happening.partition)
                case Passed():
                    self._next[happening.partition] = happening.offset + 1
                    closed += self._passed(happening, now)
        return closed

    @property
    def partitions(self) -> tuple[int, ...]:
        """Those that are ours."""
        return tuple(self._next)

    @property
    def caught_up(self) -> bool:
        """Whether there are partitions, and all that stands in them is known."""
        return bool(self._next) and self._next.keys() <= self._caught_up

    @property
    def full(self) -> bool:
        """Whether to read no more now. One that only waits for the log to go on does not count."""
        return sum(not waiting.lost for waiting in self._waiting.values()) >= WAITING_MAX

    def due(self, now: datetime) -> Waiting | None:
        """The next to handle: one of which all is known that the log says, unless it is full."""
        full = self.full
        for waiting in self._waiting.values():
            known = full or waiting.place is None or waiting.place[0] in self._caught_up
            if known and now >= waiting.not_before:
                return waiting
        return None

    def done(self, waiting: Waiting) -> None:
        """It has come to its end."""
        del self._waiting[waiting.key]

    def again(self, waiting: Waiting) -> None:
        """It goes to the end of the row: others get their turn."""
        self._waiting[waiting.key] = self._waiting.pop(waiting.key)

    def offsets(self) -> dict[int, int]:
        """Where to read on after a restart: at the first that is not handled."""
        lowest = {partition: at for partition, at in self._next.items() if at is not None}
        for waiting in self._waiting.values():
            if waiting.place is not None:
                partition, offset = waiting.place
                lowest[partition] = min(offset, lowest.get(partition, offset))
        return lowest

    def _let_go(self, partition: int) -> None:
        """A receipt that is owed is still sent, for it is true; all else begins anew elsewhere."""
        of_it = [w for w in self._waiting.values() if w.place and w.place[0] == partition]
        for waiting in of_it:
            waiting.place = None
            if waiting.owed is None:
                self.done(waiting)
        self._next.pop(partition, None)
        self._caught_up.discard(partition)

    def _passed(self, passed: Passed, now: datetime) -> list[Waiting]:
        gate = passed.gate
        if gate is None or gate.grant_id is None:
            return []
        known = self._waiting.get(_key(gate))
        if gate.gate == "opened":
            place = (passed.partition, passed.offset)
            if known is not None:
                known.place = known.place or place  # it came back to us
            elif gate.action_digest is not None and self.executor.may_take(gate):
                attempt = Attempt(gate, f"att-{uuid4()}", self.executor.executor_id)
                self._waiting[_key(gate)] = Waiting(gate, attempt, place, now)
            return []
        if known is None or known.owed is not None:
            return []
        taker = Attempt(known.gate, gate.attempt_id or "", self.executor.executor_id)
        if not taker.took(gate):
            self.done(known)
            return [known]
        if taker == known.attempt:
            known.holds = True
        else:
            known.taker, known.not_before = taker, now
        return []


def _key(gate: ToolGateEvent) -> _GrantKey:
    assert gate.grant_id is not None
    return gate.tenant_id, gate.decision_package_id, gate.grant_id

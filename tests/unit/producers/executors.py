"""An executor without a broker: gates are fed, takes are answered, receipts are caught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from core.grants import grant_claims
from core.jwk import TrustedKeys, trusted_key
from producers.attempt import Attempt
from producers.connection import BrokerUnreachable, KafkaConfig
from producers.executing import ExecutorLoop, Handle, Handled, Recall
from producers.executor import Executor
from producers.gate_feed import Assigned, CaughtUp, Happening, Passed
from producers.guard import ExecutorGuard
from producers.keys import SigningKey, new_key
from producers.signing import sign_grant
from schemas.canonical import action_digest, canonical_json
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake, Receipt
from schemas.model import Record
from tests import examples as e
from tests.unit.producers.clients import Wire, wired

KEY = new_key()
GRANT_KEY = new_key()


def an_open_gate(number: int = 1, *, key: SigningKey = GRANT_KEY, **args: Any) -> ToolGateEvent:
    """A gate of its own package with its signed grant."""
    args_json = canonical_json(e.notice_args(**args))
    gate = e.a_gate_event(
        event_id=f"opened-{number}",
        decision_package_id=f"pkg-{number}",
        grant_id=f"grant-{number}",
        args_json=args_json,
        action_digest=action_digest(e.TOOL, e.EFFECT, args_json),
    )
    token = sign_grant(grant_claims(gate, e.a_state(), issuer="c"), key)
    return gate.model_copy(update={"grant_jws": token})


def consumed(gate: ToolGateEvent, attempt_id: str, **over: Any) -> ToolGateEvent:
    """The gate after a take."""
    form = {
        "event_id": f"consumed-{gate.grant_id}",
        "gate": "consumed",
        "reason": "taken",
        "grant_jws": None,
        "args_json": None,
        "attempt_id": attempt_id,
        "executor_id": e.EXECUTOR,
        "execute_by": e.at(3600),
    }
    return gate.model_copy(update=form | over)


@dataclass
class Feed:
    """See GateFeed: what the test puts in comes out once."""

    coming: list[Happening] = field(default_factory=list)
    commits: list[dict[int, int]] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    away: bool = False

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """See GateFeed."""
        if self.away:
            raise BrokerUnreachable("away")
        found, self.coming = self.coming, []
        return found

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """See GateFeed."""
        self.commits.append(dict(offsets))
        return True

    def hold(self, partitions: Iterable[int], *, held: bool) -> None:
        """See GateFeed."""
        self.held.append(held)

    def close(self) -> None:
        """See GateFeed."""


@dataclass
class World:
    """One executor's surroundings. `taken`: grant to attempt, as the worker has it."""

    monkeypatch: pytest.MonkeyPatch
    now: datetime = field(default_factory=lambda: e.at(60))
    feed: Feed = field(default_factory=Feed)
    handled: list[Handled] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    stands: frozenset[type[Receipt]] = frozenset()
    mute: bool = False
    refuses: set[type[Record]] = field(default_factory=set)
    _offset: int = 0

    def __post_init__(self) -> None:
        self.wire: Wire = wired(self.monkeypatch, self._answer)
        self.opened: dict[str, ToolGateEvent] = {}

    def guard(self) -> ExecutorGuard:
        """The story's executor."""
        keys = TrustedKeys.of([trusted_key(GRANT_KEY.public_jwk())])
        return ExecutorGuard(KafkaConfig(), e.EXECUTOR, KEY, lambda: keys, clock=lambda: self.now)

    def loop(self, handle: Handle, recall: Recall | None = None) -> ExecutorLoop:
        """A process of the executor, that begins: it is given partition 0."""
        self.feed.coming.append(Assigned((0,)))
        executor = Executor(e.EXECUTOR, KEY, ("notice.*",), frozenset({e.TENANT}))
        return ExecutorLoop(
            self.guard(), executor, handle, self.feed, recall, self.handled.append, self._look
        )

    def hear(self, *gates: ToolGateEvent, to_the_end: bool = True) -> None:
        """The next records of partition 0."""
        for gate in gates:
            if gate.gate == "opened":
                self.opened[str(gate.grant_id)] = gate
            self.feed.coming.append(Passed(0, self._offset, gate))
            self._offset += 1
        if to_the_end:
            self.feed.coming.append(CaughtUp(0))

    def published(self, kind: type[Record]) -> list[Any]:
        """What was published, of exactly one kind."""
        return [record for record, _, _ in self.wire.published if type(record) is kind]

    @property
    def endings(self) -> list[str]:
        """How gates ended."""
        return [handled.ending for handled in self.handled]

    def _look(self, attempt: Attempt, guard: ExecutorGuard) -> frozenset[type[Receipt]]:
        return self.stands

    def _answer(self, record: Record) -> list[Record]:
        if type(record) in self.refuses:
            raise BrokerUnreachable("away")
        if type(record) is not GrantTake or self.mute:
            return []
        first = self.taken.setdefault(record.grant_id, record.attempt_id)
        if first != record.attempt_id:
            return [e.a_refusal(command_id=record.attempt_id, code="GRANT_TAKEN")]
        return [consumed(self.opened[record.grant_id], record.attempt_id)]

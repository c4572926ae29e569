"""An executor in a few lines: `serve` reads the gates, takes, calls your function, and reports.

    def pay(permit: Permit) -> Result:
        reference = bank.pay(permit.args["payee"], permit.args["amount"])
        return Result(detail=f"paid, reference {reference}")

    serve(guard, executor, pay, stop=stop)

Your function runs at most once for a grant, whatever is killed, in however many copies. It raises
`NotDone` when the action certainly did not happen; any other exception is in doubt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Final, Literal

from producers.answers import DeadLettered, NoAnswer
from producers.attempt import Attempt
from producers.connection import BrokerUnreachable, NotAllowed
from producers.executor import Executor
from producers.gate_feed import GateFeed, KafkaGateFeed
from producers.guard import Act, Denied, ExecutorGuard, NotDone, Permit
from producers.reported import receipts_of
from producers.trusted_keys import KeysUnavailable
from producers.waiting_gates import Waiting, WaitingGates
from schemas.events import ToolGateEvent
from schemas.execution import Receipt, ToolExecuted, ToolFailed, ToolInDoubt

TURN_S: Final = 0.2
AGAIN_AFTER: Final = timedelta(seconds=2)
"""Before something that could not be done, because a server is away, is tried again."""
LOG_SAYS_WITHIN: Final = timedelta(minutes=1)
"""How long a gate that somebody has taken waits for the log to say who. It always does, but for a
gate that the worker repeated after its end."""
_LEFT_NO_WORD: Final = "it was taken before, and no word was left of what was done"
_log: Final = logging.getLogger("countersign.executor")
_log.addHandler(logging.NullHandler())

Ending = Literal["executed", "failed", "in_doubt", "denied", "not_ours", "reported_before"]
"""not_ours: closed by somebody else, or the take was refused; that stands in the log."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the receipt is to say of an action that was done."""

    detail: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a gate, for your log. why: what your NotDone said, or words of ours."""

    gate: ToolGateEvent
    ending: Ending
    why: str


Handle = Callable[[Permit], Result | None]
"""Does the action, with the permit's arguments, and returns only when it is done."""
Observe = Callable[[Handled], None]
Recall = Callable[[str], Result | None]
"""What your own books say of a grant: the result if it was done, None if they do not know.

Only for books that were written in one step with the action, such as a database row under the
grant's id. With them a crash between action and receipt ends in a true receipt, not in a doubt."""


def _unobserved(_handled: Handled) -> None:
    pass


@dataclass
class ExecutorLoop:
    """Handles the gates that are for one executor. One thread calls `run_once`.

    A new attempt for each gate in each process: of any number of copies the worker lets one act.
    One that finds a gate taken by an earlier life (or by a copy that still acts) never acts; it
    reports what `recall` knows, or a doubt, which a later receipt of that attempt settles.
    """

    guard: ExecutorGuard
    executor: Executor
    handle: Handle
    feed: GateFeed
    recall: Recall | None = None
    observe: Observe = _unobserved
    look: Callable[[Attempt, ExecutorGuard], frozenset[type[Receipt]]] = receipts_of
    _kept: Mapping[int, int] = field(default_factory=dict)
    _held: bool = False
    _away: bool = False

    def __post_init__(self) -> None:
        self._gates = WaitingGates(self.executor)

    def run_once(self, timeout_s: float) -> None:
        """One turn: 1. hear what there is; 2. handle one gate; 3. keep where to read on.

        In this order a crash anywhere leaves the gate to be heard again.
        """
        self._hear(timeout_s)  # 1.
        waiting = self._gates.due(self.guard.clock())
        if waiting is not None:
            if self._is_handled(waiting):  # 2.
                self._gates.done(waiting)
            else:
                self._gates.again(waiting)
        offsets = self._gates.offsets()
        if offsets and offsets != self._kept and self.feed.commit(offsets):  # 3.
            self._kept = offsets

    @property
    def ready(self) -> bool:
        """Whether it has partitions and knows all that stands in them."""
        return self._gates.caught_up

    def _hear(self, timeout_s: float) -> None:
        now = self.guard.clock()
        try:
            happenings = self.feed.poll(0 if self._gates.due(now) else timeout_s)
        except BrokerUnreachable as error:
            if not self._away:
                _log.warning("kafka is away, waiting: %s", error)
            self._away = True
            return
        if happenings and self._away:
            _log.warning("kafka is back")
            self._away = False
        for closed in self._gates.hear(happenings, now):
            self.observe(Handled(closed.gate, "not_ours", "the gate was closed by another"))
        full = self._gates.full
        if full or self._held:
            self.feed.hold(self._gates.partitions, held=full)
        self._held = full

    def _is_handled(self, waiting: Waiting) -> bool:
        """Whether it has come to its end; False: again later."""
        try:
            if waiting.owed is not None:
                return self._pay(waiting, waiting.owed, waiting.owed_why)
            if waiting.taker is not None:
                return self._taken_before(waiting, waiting.taker)
            if waiting.lost:
                self.observe(Handled(waiting.gate, "not_ours", "GRANT_TAKEN"))
                return True
            return self._take(waiting)
        except (BrokerUnreachable, KeysUnavailable, NoAnswer) as error:
            _log.warning("%s: not yet: %s", waiting.gate.grant_id, error)
        except (DeadLettered, NotAllowed) as error:
            _log.error("%s: refused, tried again: %s", waiting.gate.grant_id, error)
        waiting.not_before = self.guard.clock() + AGAIN_AFTER
        return False

    def _take(self, waiting: Waiting) -> bool:
        answer = self.guard.take(waiting.gate, attempt_id=waiting.attempt.attempt_id)
        if isinstance(answer, Permit):
            return self._act(waiting, answer)
        if answer.code == "NO_ANSWER":
            raise NoAnswer(answer.why)
        if answer.code == "GRANT_TAKEN":
            waiting.lost, waiting.not_before = True, self.guard.clock() + LOG_SAYS_WITHIN
            return False
        return self._denied(waiting, answer)

    def _denied(self, waiting: Waiting, answer: Denied) -> bool:
        why = f"{answer.code}: {answer.why}"
        if answer.taken or waiting.holds:
            # It is this process's attempt, which knows that it did nothing.
            return self._pay(waiting, waiting.attempt.failed(self.guard.clock(), why), why)
        if not answer.on_record:
            self.guard.denied(waiting.gate, answer.why)
        self.observe(Handled(waiting.gate, "not_ours" if answer.on_record else "denied", why))
        return True

    def _act(self, waiting: Waiting, permit: Permit) -> bool:
        act: Act | None = None
        why = "done"
        try:
            with self.guard.acting(permit) as act:
                result = self.handle(permit) or Result()
                act.detail, act.result_digest = result.detail, result.digest
        except NotDone as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - of the executor's own code, or of reporting
            why = type(error).__name__
        assert act is not None
        assert act.receipt is not None, "whatever the action did, a receipt says so"
        if isinstance(act.receipt, ToolExecuted):
            why = "done"
        if act.reported:
            self.observe(Handled(waiting.gate, _ending(act.receipt), why))
            return True
        waiting.owed, waiting.owed_why = act.receipt, why
        raise BrokerUnreachable("the receipt could not be published")

    def _taken_before(self, waiting: Waiting, taker: Attempt) -> bool:
        """Taken by an earlier life, or by a copy. Says what is known; acts never."""
        stand = self.look(taker, self.guard)
        if stand & {ToolExecuted, ToolFailed}:
            self.observe(Handled(waiting.gate, "reported_before", "its receipt stands"))
            return True
        done = self.recall(taker.grant_id) if self.recall is not None else None
        now = self.guard.clock()
        if done is not None:
            receipt = taker.executed(now, result_digest=done.digest, detail=done.detail)
            return self._pay(waiting, receipt, "done before; the receipt was owed")
        if ToolInDoubt in stand:
            self.observe(Handled(waiting.gate, "reported_before", "its doubt stands"))
            return True
        return self._pay(waiting, taker.in_doubt(now, _LEFT_NO_WORD), _LEFT_NO_WORD)

    def _pay(self, waiting: Waiting, receipt: Receipt, why: str) -> bool:
        waiting.owed, waiting.owed_why = receipt, why
        self.guard.report(receipt)
        self.observe(Handled(waiting.gate, _ending(receipt), why))
        return True


def serve(
    guard: ExecutorGuard,
    executor: Executor,
    handle: Handle,
    *,
    stop: Event,
    recall: Recall | None = None,
    observe: Observe = _unobserved,
    group: str | None = None,
) -> None:
    """Handles gates until `stop` is set; then it finishes the one under way and leaves.

    executor: `executor_of(key, trusted keys)`; narrow its tools with `dataclasses.replace`. group:
    the consumer group, one for each kind of executor program; `executor.<executor_id>` by default.
    Raises NotAllowed.
    """
    feed = KafkaGateFeed(guard.config, group or f"executor.{executor.executor_id}")
    loop = ExecutorLoop(guard, executor, handle, feed, recall, observe)
    try:
        while not stop.is_set():
            loop.run_once(TURN_S)
    finally:
        feed.close()


def _ending(receipt: Receipt) -> Ending:
    match receipt:
        case ToolExecuted():
            return "executed"
        case ToolFailed():
            return "failed"
        case _:
            return "in_doubt"

"""The agent's side: ask, wait, take back. Nothing here is ever a yes by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from producers.answers import DEAD_LETTER, Answer, AnswerReader, DeadLettered, NoAnswer
from producers.connection import KafkaConfig
from producers.drafting import new_request
from producers.keys import SigningKey
from producers.publisher import Identity, Publisher
from producers.sealed_records import Sealing
from schemas.events import CommandRefused, InterruptStatusChanged, ToolGateEvent
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.topics import record_key
from schemas.vocabulary import InterruptStatus, Routing

ANSWER_WITHIN_S: Final = 30.0
_STATUS: Final = "interrupt-status"
_GATE: Final = "tool-gate"
_REFUSED: Final = "command-refused"
_Found = InterruptStatusChanged | ToolGateEvent | CommandRefused


class NoOutcome(Exception):
    """Nothing was decided in the time you waited. It is not a yes; wait again with the same ids."""

    def __init__(self, retry_with: str, message: str) -> None:
        super().__init__(f"{message}; try again with {retry_with}")
        self.retry_with = retry_with


class RequestRefused(Exception):
    """The control point does not take the request; `refusal` says what to mend."""

    def __init__(self, refusal: CommandRefused) -> None:
        super().__init__(f"{refusal.code}: {refusal.message}")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an interrupt ended, from the status event with `final`. Ask `.approved`."""

    interrupt_id: str
    decision_package_id: str
    status: InterruptStatus
    outcome: str | None
    reason: str
    routing: Routing | None
    event: InterruptStatusChanged

    @property
    def approved(self) -> bool:
        """True only if people (or a policy that may) decided `approve`, finally."""
        return self.event.final and self.status == "decided" and self.outcome == "approve"

    def __bool__(self) -> bool:
        """Refused: `if outcome:` would be a silent yes to a rejection."""
        raise TypeError("an outcome is neither true nor false; ask outcome.approved")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that stands open. `opened` is None when it had been opened before."""

    interrupt_id: str
    decision_package_id: str
    opened: InterruptStatusChanged | None


class AgentClient:
    """Asks in the name of one agent of one tenant. Not for several threads at once."""

    def __init__(
        self,
        config: KafkaConfig,
        *,
        agent_id: str,
        tenant_id: str,
        key: SigningKey | None,
        sealing: Sealing | None = None,
    ) -> None:
        """key None: unsigned, where the policy allows it. sealing: personal texts are sealed, such
        as by `load().sealing()`."""
        self._config = config
        self._agent_id = agent_id
        self._tenant_id = tenant_id
        self._identity = Identity(key, agent_id) if key else None
        self._sealing = sealing

    def request(self, *, timeout_s: float = ANSWER_WITHIN_S, **what: Any) -> Asked:
        """Asks with the fields of `producers.drafting.new_request`; see `submit` for the rest."""
        request = new_request(agent_id=self._agent_id, tenant_id=self._tenant_id, **what)
        return self.submit(request, timeout_s=timeout_s)

    def submit(self, request: InterruptRequested, *, timeout_s: float = ANSWER_WITHIN_S) -> Asked:
        """Publishes a complete request and waits until it is open.

        The same request again does no harm. Raises RequestRefused, NoOutcome (its `retry_with` is
        the interrupt id), DeadLettered, BrokerUnreachable, NotAllowed; where texts are sealed also
        NotSealed, KeysUnavailable, and then nothing was published.
        """
        if self._sealing is not None:
            request = self._sealing.request(request)
        interrupt_id, package_id = request.interrupt_id, request.package.decision_package_id

        def pick(answer: Answer) -> InterruptStatusChanged | CommandRefused | None:
            match answer.record:
                case InterruptStatusChanged() as status if status.interrupt_id == interrupt_id:
                    return status
                case CommandRefused() as refusal if refusal.command_id == interrupt_id:
                    return refusal
                case _:
                    return None

        match self._ask(request, interrupt_id, package_id, pick, timeout_s):
            case CommandRefused(code="DUPLICATE_COMMAND"):
                return Asked(interrupt_id, package_id, None)
            case CommandRefused() as refusal:
                raise RequestRefused(refusal)
            case InterruptStatusChanged() as opened:
                return Asked(interrupt_id, package_id, opened)
            case other:
                raise AssertionError(f"a request is not answered by {type(other).__name__}")

    def wait(
        self,
        asked: Asked | str,
        *,
        timeout_s: float,
        decision_package_id: str | None = None,
    ) -> Outcome:
        """The final outcome of an interrupt, whenever it was decided. Raises NoOutcome.

        asked: what `request` returned, or an interrupt id; with its decision_package_id one
        partition is read instead of all.
        """
        interrupt_id, package_id = _ids(asked, decision_package_id)

        def pick(answer: Answer) -> InterruptStatusChanged | None:
            record = answer.record
            if not isinstance(record, InterruptStatusChanged) or not record.final:
                return None
            ids = (record.tenant_id, record.interrupt_id)
            return record if ids == (self._tenant_id, interrupt_id) else None

        key = record_key(self._tenant_id, package_id) if package_id else None
        try:
            with AnswerReader(self._config, [_STATUS], key=key, start="beginning") as reader:
                event = reader.wait(pick, timeout_s=timeout_s)
        except NoAnswer:
            raise NoOutcome(interrupt_id, f"no outcome within {timeout_s:g} s") from None
        return Outcome(
            interrupt_id=event.interrupt_id,
            decision_package_id=event.decision_package_id,
            status=event.status,
            outcome=event.outcome,
            reason=event.reason,
            routing=event.routing,
            event=event,
        )

    def cancel(
        self,
        asked: Asked | str,
        *,
        reason: str,
        decision_package_id: str | None = None,
        subject: str | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> InterruptStatusChanged | ToolGateEvent:
        """Takes a request back. Raises RequestRefused (too late, not yours), NoOutcome.

        subject: whom the package is about, as `type:id`; asked for where texts are sealed.

        An open interrupt ends `cancelled`. A decided one keeps its status; its grant, if nobody
        has taken it, is revoked, and that gate event is the answer.
        """
        interrupt_id, package_id = _ids(asked, decision_package_id)
        if package_id is None:
            raise ValueError("to cancel by interrupt id, name its decision_package_id too")
        cancelled = InterruptCancelled(
            interrupt_id=interrupt_id,
            tenant_id=self._tenant_id,
            decision_package_id=package_id,
            reason=reason,
            requested_by=self._agent_id,
        )
        if self._sealing is not None:
            cancelled = self._sealing.cancellation(cancelled, subject)

        def pick(answer: Answer) -> InterruptStatusChanged | ToolGateEvent | CommandRefused | None:
            match answer.record:
                case InterruptStatusChanged() as status if status.interrupt_id == interrupt_id:
                    return status if status.status == "cancelled" else None
                case ToolGateEvent(gate="revoked") as gate if gate.interrupt_id == interrupt_id:
                    return gate
                case CommandRefused() as refusal if refusal.command_id == interrupt_id:
                    return refusal if refusal.refused_type == "interrupt.cancelled" else None
                case _:
                    return None

        found = self._ask(cancelled, interrupt_id, package_id, pick, timeout_s)
        if isinstance(found, CommandRefused):
            raise RequestRefused(found)
        return found

    def _ask(
        self,
        record: InterruptRequested | InterruptCancelled,
        record_id: str,
        package_id: str,
        pick: Callable[[Answer], _Found | None],
        timeout_s: float,
    ) -> _Found:
        key = record_key(self._tenant_id, package_id)
        topics = [_STATUS, _GATE, _REFUSED, DEAD_LETTER]
        with AnswerReader(self._config, topics, key=key) as reader, Publisher(self._config) as out:
            out.publish(record, identity=self._identity, record_id=record_id)
            answers = reader.answers(timeout_s=timeout_s, record_id=record_id)
            fitting = (found for answer in answers if (found := pick(answer)) is not None)
            try:
                return next(fitting)
            except NoAnswer:
                raise NoOutcome(record_id, f"no answer within {timeout_s:g} s") from None


def _ids(asked: Asked | str, package_id: str | None) -> tuple[str, str | None]:
    if isinstance(asked, Asked):
        return asked.interrupt_id, asked.decision_package_id
    return asked, package_id


__all__ = [
    "AgentClient",
    "Asked",
    "DeadLettered",
    "NoOutcome",
    "Outcome",
    "RequestRefused",
]

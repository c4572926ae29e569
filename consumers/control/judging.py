"""One input, from its bytes to everything that must be committed with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from consumers.control.drawing import drawn
from consumers.control.outputs import Writer, changelog, dead_letter, forwarded, journalled
from consumers.control.ports import InputRecord, OutputRecord
from consumers.control.reception import Dead, Misrouted, Origin, Received, Receiver, Tick
from consumers.control.task import Task, journal_input
from consumers.control.view import View
from core.context import Context, Event, Input
from core.directory import Directory
from core.grants import grant_claims
from core.room import first_signer_of, is_limited
from core.step import Step, due_timer, fire, judge
from core.timers import Timer
from schemas.codec import encode
from schemas.events import ReviewTaskEvent, ToolGateEvent
from schemas.journal import JournalContext, JournalInput
from schemas.registry import ce_type_of
from schemas.requests import InterruptRequested
from schemas.state import ControlPointState
from schemas.topics import INPUT_TOPICS

ISSUER: Final = "countersign"
GrantSigner = Callable[[dict[str, object]], str]


@dataclass(frozen=True, slots=True)
class Known:
    """The directories as they were read for this batch, and up to where."""

    directory: Directory = field(default_factory=Directory)
    policy_offset: int = 0
    directory_offset: int = 0
    review_context_offset: int = 0
    directory_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input, or of one clock."""

    origin: Origin
    ce_type: str
    verdict: str
    key: bytes | None
    events: Sequence[Event]
    outputs: Sequence[OutputRecord]
    seq: int
    reason: str = ""
    risk: str = "unknown"


@dataclass(frozen=True, slots=True)
class Judge:
    """What judging rests on in one batch: who is known, who is trusted, how things are written.

    draw_key: the secret that samples are drawn with. open_max: interrupts open at once in a task.
    """

    receiver: Receiver
    known: Known
    writer: Writer
    sign_grant: GrantSigner
    park_ttl: timedelta
    draw_key: bytes
    open_max: int
    unsigned: bool = False

    def judge(
        self, task: Task, record: InputRecord, view: View, now: datetime
    ) -> tuple[Task, Outcome]:
        """Judges one record; the task behind it, and what must be committed."""
        received = self.receiver.receive(record, task.effective_time(record))
        task = task.read(record)
        match received:
            case Received():
                return self._command(task, record, received, view, now)
            case Dead(origin, reason, detail):
                outputs = [dead_letter(record, received)]
                said = f"{reason}: {detail}" if detail else reason
                return self._unjudged(task, record, origin, "dead_letter", outputs, now, said)
            case Misrouted(origin, partition):
                headers = self.receiver.rekeying(record, origin)
                outputs = [forwarded(record, partition, headers)]
                return self._unjudged(task, record, origin, "forwarded", outputs, now, "")
            case Tick(origin):
                return self._unjudged(task, record, origin, "tick", [], now, "")

    def fire(
        self, task: Task, key: bytes, view: View, now: datetime
    ) -> tuple[Task, Outcome] | None:
        """Fires the next clock of a control point, if no record can beat it any more."""
        state, horizon = view.state(key), task.horizon
        if state is None or horizon is None:
            return None
        # The input that was read least far set the horizon; its last record is what we answer to.
        topic = min(INPUT_TOPICS, key=lambda name: task.reached[name])
        origin = Origin(topic, task.partition, task.positions[topic] - 1, horizon)
        context = self._context(origin, key, state.tenant_id, view, now)
        timer = due_timer(state, context)
        if timer is None:
            return None
        # Clocks of several kinds can fire at one origin; each kind draws for itself.
        context = replace(context, draw=drawn(self.draw_key, origin.identity, key, timer.name))
        step = self._signed(fire(state, context))
        source = JournalInput(
            topic=topic,
            partition=task.partition,
            offset=origin.offset,
            append_time=horizon,
            key=key,
        )
        return self._settled(task, step, source, context, origin, key, view, timer=timer)

    def _command(
        self, task: Task, record: InputRecord, received: Received, view: View, now: datetime
    ) -> tuple[Task, Outcome]:
        command, origin = received.command, received.origin
        context = replace(
            self._context(origin, received.key, command.tenant_id, view, now),
            signer=received.signer,
            failure=received.failure,
            unsigned=self.unsigned,
            signature_present=received.signed,
        )
        context = _counted(context, command, view)
        step = self._signed(judge(view.state(received.key), command, context))
        source = _source(record, origin)
        return self._settled(
            task, step, source, context, origin, received.key, view, ce_type=ce_type_of(command),
            record=record,
        )  # fmt: skip

    def _settled(
        self,
        task: Task,
        step: Step,
        source: JournalInput,
        context: Context,
        origin: Origin,
        key: bytes,
        view: View,
        *,
        ce_type: str = "timer",
        record: InputRecord | None = None,
        timer: Timer | None = None,
    ) -> tuple[Task, Outcome]:
        changed = view.put(key, step.state)
        seq = task.seq
        entry, task = task.entry(
            source,
            self._journal_context(context, step, timer.name if timer else None),
            verdict=step.verdict,
            events=[encode(event) for event in step.events],
            state_digest=view.digest(key),
        )
        headers = record.headers if record is not None else ()
        outputs = [
            journalled(entry, unsigned=self.unsigned),
            *self.writer.published(step.events, headers, task.partition),
        ]
        if changed:
            state = changelog(key, view.value(key), step.state, task=task.partition, seq=seq)
            outputs.append(state)
        accepted = step.state.accepted if step.state is not None else None
        return task, Outcome(
            origin=origin,
            ce_type=timer.name if timer else ce_type,
            verdict=step.verdict,
            key=key,
            events=step.events,
            outputs=outputs,
            seq=seq,
            risk=accepted.plan.effective_risk if accepted else "unknown",
        )

    def _unjudged(
        self,
        task: Task,
        record: InputRecord,
        origin: Origin,
        verdict: str,
        outputs: list[OutputRecord],
        now: datetime,
        reason: str,
    ) -> tuple[Task, Outcome]:
        context = JournalContext(
            handled_at=now,
            policy_offset=self.known.policy_offset,
            directory_offset=self.known.directory_offset,
            review_context_offset=self.known.review_context_offset,
            directory_digest=self.known.directory_digest,
        )
        seq = task.seq
        entry, task = task.entry(
            _source(record, origin), context, verdict=verdict, events=[], state_digest=""
        )
        return task, Outcome(
            origin,
            verdict,
            verdict,
            record.key,
            (),
            [journalled(entry, unsigned=self.unsigned), *outputs],
            seq,
            reason,
        )

    def _context(
        self, origin: Origin, key: bytes, tenant_id: str, view: View, now: datetime
    ) -> Context:
        return Context(
            now=origin.append_time,
            handled_at=now,
            origin=origin.identity,
            signer=None,
            failure=None,
            tenant=self.known.directory.tenant(tenant_id),
            park_ttl=self.park_ttl,
            draw=drawn(self.draw_key, origin.identity, key),
            task_full=view.open_count() >= self.open_max,
            partitions=self.receiver.partitions,
        )

    def _journal_context(self, context: Context, step: Step, timer: str | None) -> JournalContext:
        policy = context.tenant.policy
        return JournalContext(
            handled_at=context.handled_at,
            policy_offset=self.known.policy_offset,
            directory_offset=self.known.directory_offset,
            policy_version=policy.policy_version if policy else None,
            kid=context.signer.kid if context.signer else None,
            signer_id=context.signer.subject if context.signer else None,
            sampled=any(_opens_audit(event) for event in step.events),
            timer=timer,
            review_context_offset=self.known.review_context_offset,
            directory_digest=self.known.directory_digest,
            draw=context.draw,
            task_full=context.task_full,
            open_of_tenant=context.open_of_tenant,
            open_of_agent=context.open_of_agent,
            partitions=context.partitions,
        )

    def _signed(self, step: Step) -> Step:
        """The step with its grant signed: once, here, before it is journalled."""
        return Step(
            tuple(self._with_grant(event, step.state) for event in step.events),
            step.state,
            step.verdict,
        )

    def _with_grant(self, event: Event, state: ControlPointState | None) -> Event:
        if not isinstance(event, ToolGateEvent) or event.gate != "opened" or state is None:
            return event
        token = self.sign_grant(grant_claims(event, state, issuer=ISSUER))
        return event.model_copy(update={"grant_jws": token})


def _counted(context: Context, command: Input, view: View) -> Context:
    """What is open of who asks, where the policy limits it: the store is asked only then."""
    if not isinstance(command, InterruptRequested) or context.failure is not None:
        return context
    if not is_limited(context.tenant.policy):
        return context
    of_tenant, of_agent = view.open_of((command.tenant_id, first_signer_of(command, context)))
    return replace(context, open_of_tenant=of_tenant, open_of_agent=of_agent)


def _opens_audit(event: Event) -> bool:
    return isinstance(event, ReviewTaskEvent) and event.change == "audit_opened"


def _source(record: InputRecord, origin: Origin) -> JournalInput:
    return journal_input(
        record,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        append_time=origin.append_time,
    )

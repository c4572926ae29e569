"""The notifier: one turn is hear, judge, keep, act. Nothing is done that was not kept before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from consumers.logs import logger
from consumers.notification.check import check, unreadable
from consumers.notification.facts import Asked, Event, HandedOver, Looked, Reported, Unpublished
from consumers.notification.job import (
    BACKOFF_FIRST,
    BEFORE,
    Action,
    Job,
    Mark,
    Phase,
    advance,
    due,
    not_to_be_sent,
    ripened,
)
from consumers.notification.mailer import Mail, Outcome, Sent, TemporaryFailure
from consumers.notification.notice import as_message
from consumers.notification.partitions import Partitions, about
from consumers.notification.ports import Heard, Unavailable
from consumers.notification.receipts import attempt_of, receipt_of
from consumers.notification.surroundings import Surroundings
from producers.gate_feed import Assigned, Revoked
from producers.trusted_keys import KeysUnavailable


class Notifier:
    """Drives the gates of its partitions to an end. Owned by one thread, which calls `run_once`.

    draining: nothing new is begun; what is on its way is still reported.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._s = surroundings
        self._partitions = Partitions(surroundings)
        self._log = logger()
        self._joined = False
        self.draining = False

    def run_once(self, timeout_s: float) -> None:
        """One turn: 1. hear; 2. judge; 3. keep what must stand; 4. act; 5. slow down if full."""
        s = self._s
        s.health.beat()
        self._hear(timeout_s)  # 1.
        self._judge()  # 2.
        wanted = list(self._wanted())
        kept = self._partitions.keep(_marks(wanted))  # 3.
        for job, action in wanted:  # 4.
            if _is_true_anyway(job) or (kept and self._partitions.find(job.attempt_id)):
                self._act(job, action)
        self._partitions.slow_down()  # 5.
        s.metrics.under_way.set(sum(t.under_way for t in self._partitions.tasks.values()))

    def keep_all(self) -> None:
        """Commits whatever was not worth a commit of its own yet; before leaving the group."""
        self._partitions.keep({}, all_of_it=True)

    @property
    def at_rest(self) -> bool:
        """Whether no mail is on its way and no receipt is owed."""
        owed = (Phase.SENDING, Phase.REPORTING)
        jobs = self._partitions.jobs()
        return not self._partitions.adrift and not any(job.phase in owed for job in jobs)

    def _hear(self, timeout_s: float) -> None:
        s = self._s
        try:
            happenings = s.log.poll(timeout_s)
        except Unavailable as error:
            return s.unavailable(error)
        for happening in happenings:
            match happening:
                case Assigned():
                    self._joined = True
                    self._partitions.assigned(happening.partitions)
                case Revoked():
                    for partition in happening.partitions:
                        self._partitions.let_go(partition)
                case Heard():
                    self._partitions.hear(happening)
        if self._joined:
            s.health.ready("kafka")
        self._partitions.take_over()
        for attempt_id, outcome in s.outbox.done():
            self._mailed(attempt_id, outcome)

    def _mailed(self, attempt_id: str, outcome: Outcome) -> None:
        s = self._s
        s.metrics.tries.labels(type(outcome).__name__).inc()
        if isinstance(outcome, TemporaryFailure) and outcome.ours:
            s.health.not_ready("smtp", outcome.why)
        else:
            s.health.ready("smtp")
        job = self._partitions.find(attempt_id)
        if job is None:
            return
        if not isinstance(outcome, Sent):
            result = type(outcome).__name__
            self._log.warning("try_failed", **about(job), result=result, why=outcome.why)
        self._partitions.put(advance(job, outcome, now=s.clock(), jitter=s.jitter()))

    def _judge(self) -> None:
        """Ends what is over, checks grants and looks for receipts, as far as there is room."""
        for task in self._partitions.tasks.values():
            for job in list(task.jobs.values()):
                now = self._s.clock()
                action = due(job, now)
                if job.phase is Phase.FINISHED:
                    self._partitions.put(job)
                elif self.draining:
                    continue
                elif action is Action.CHECK and (job.remembered or task.has_room):
                    self._check(job)
                elif action is Action.LOOK:
                    self._look(job)
                elif (ripe := ripened(job, now)) is not job:
                    self._partitions.put(ripe)
                elif action is Action.SEND:
                    self._still_readable(job)

    def _check(self, job: Job) -> None:
        s = self._s
        try:
            keys = s.grant_keys()
        except KeysUnavailable as error:
            return s.unavailable(Unavailable("grant keys", str(error)))
        s.health.ready("grant keys")
        try:
            event = check(job, keys=keys, sender=s.sender, now=s.clock(), sealing=s.sealing)
        except KeysUnavailable as error:
            return s.unavailable(Unavailable("subject keys", str(error)))
        s.health.ready("subject keys")
        self._partitions.put(ripened(advance(job, event, now=s.clock()), s.clock()))

    def _still_readable(self, job: Job) -> None:
        """A notice whose words were erased since it was checked is not sent."""
        s = self._s
        try:
            why = unreadable(job, s.sealing)
        except KeysUnavailable as error:
            # It waits for the store as for the mail server: until `execute_by`.
            s.unavailable(Unavailable("subject keys", str(error)))
            return self._partitions.put(replace(job, not_before=s.clock() + BACKOFF_FIRST))
        s.health.ready("subject keys")
        if why is not None:
            self._partitions.put(not_to_be_sent(job, why))

    def _look(self, job: Job) -> None:
        try:
            found = self._is_reported(job)
        except Unavailable as error:
            return self._s.unavailable(error, hinders="receipts")
        self._s.health.ready("receipts")
        self._partitions.put(advance(job, Looked(found), now=self._s.clock()))

    def _is_reported(self, job: Job) -> bool:
        """Whether a receipt of the job's attempt stands. Raises Unavailable."""
        return job.attempt_id in self._s.receipts.of_attempts(job.partition, job.appended)

    def _wanted(self) -> Iterator[tuple[Job, Action]]:
        """What is due and can be done: a mail only when a thread is free to begin it."""
        free, now = self._s.outbox.free, self._s.clock()
        for job in [*self._partitions.jobs(), *self._partitions.adrift.values()]:
            action = due(job, now)
            if action is Action.REPORT:
                yield job, action
            elif self.draining:
                continue
            elif action is Action.TAKE:
                yield job, action
            elif action is Action.SEND and free > 0:
                free -= 1
                yield job, action

    def _act(self, job: Job, action: Action) -> None:
        s = self._s
        try:
            event: Event = self._done(job, action)
        except Unavailable as error:
            s.unavailable(error, hinders="publishing")
            event = Unpublished()
        else:
            s.health.ready("publishing")
        self._partitions.put(advance(job, event, now=s.clock(), jitter=s.jitter()))

    def _done(self, job: Job, action: Action) -> Asked | HandedOver | Reported:
        """Does it. Raises Unavailable: a take or a receipt may be published or not."""
        s = self._s
        if action is Action.SEND:
            s.outbox.hand_over(job.attempt_id, self._mail(job))
            return HandedOver()
        if action is Action.TAKE:
            take = attempt_of(job, s.executor).take()
            s.log.publish(take, record_id=take.attempt_id, traceparent=job.traceparent)
            return Asked()
        if not job.tries or not self._is_reported(job):
            receipt = receipt_of(job, s.executor, sender=s.sender, now=s.clock())
            s.log.publish(receipt, record_id=receipt.event_id, traceparent=job.traceparent)
        return Reported()

    def _mail(self, job: Job) -> Mail:
        assert job.notice is not None, "only a notice that was checked is sent"
        assert job.execute_by is not None, "and only after its own consumed"
        s = self._s
        return Mail(
            sender=s.sender.addr_spec,
            recipient=job.notice.recipient,
            message=as_message(job.notice, grant_id=job.grant_id, sender=s.sender, now=s.clock()),
            send_by=job.execute_by,
        )


def _marks(wanted: list[tuple[Job, Action]]) -> dict[int, dict[int, Mark]]:
    """By partition and offset, the marks that must stand before these things are done.

    Also a partition without a new mark is named: who does not own it any more cannot commit for
    it, and must not speak for it either.
    """
    marks: dict[int, dict[int, Mark]] = {}
    for job, action in wanted:
        if not _is_true_anyway(job):
            of_partition = marks.setdefault(job.partition, {})
            if action in BEFORE:
                of_partition[job.offset] = BEFORE[action]
    return marks


def _is_true_anyway(job: Job) -> bool:
    """A notice that was sent was sent, whoever owns its partition now."""
    return job.report is not None and job.report.kind == "sent"

"""The worker's loop: poll, note who owns what, handle, take over, tick. One thread owns it all.

Nothing is skipped: what cannot be done now is put back (seek) and tried again; a task that cannot
go on is fenced and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from consumers.control.checkpoints import Checkpoints, positions_of
from consumers.control.directories import DirectoryReader
from consumers.control.handle import handle
from consumers.control.judging import Judge, Known
from consumers.control.observing import Observer
from consumers.control.outputs import ticks
from consumers.control.ports import (
    Batch,
    Broker,
    Change,
    Clock,
    InputRecord,
    ProducerLost,
    StateStore,
    StepAborted,
    StoreCorrupt,
    Tag,
    TaskFenced,
    Unavailable,
    WatermarkMismatch,
)
from consumers.control.takeover import Progress, TakenOver, take_over
from consumers.control.task import Task, places_of
from consumers.health import Health
from consumers.metrics import Metrics
from core.governing import Trust
from schemas.codec import RegistryUnavailable

logger: Final = structlog.get_logger("countersign.control")
BATCH_RECORDS_MAX: Final = 200
"""One script a batch at most (guarantee 15); large enough that the transaction is paid once."""
TICK_AGAIN: Final = timedelta(seconds=2)
"""A tick that did not move the horizon (the broker's clock is behind) is sent again after this."""
LOOK_EVERY: Final = timedelta(seconds=1)
"""How long an idle task may not know that its store was emptied."""
OVERDUE_COUNTED_MAX: Final = 1000
"""Beyond it the exact number of overdue clocks says nothing more."""
TAKEOVER_PORTIONS: Final = 8
"""Portions of a takeover between two polls; each waits at most 0.2 s."""

MakeJudge = Callable[[Known], Judge]
"""Raises Unavailable when the trusted keys cannot be read."""


class Stop(Protocol):
    """Whether to stop; a threading.Event."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(slots=True)
class Owned:
    """What the worker knows about a partition it was given."""

    topics: set[str] = field(default_factory=set)
    progress: Progress | None = None
    began: datetime | None = None
    fenced: str | None = None
    ticked: tuple[datetime, datetime] | None = None
    next_due: datetime | None = None
    looked: datetime | None = None
    counts: dict[Tag, int] = field(default_factory=dict)
    overdue: int = 0


class Worker:
    """Handles the tasks that the group gives it, until it is stopped."""

    def __init__(
        self,
        broker: Broker,
        store: StateStore,
        *,
        make_judge: MakeJudge,
        trust: Callable[[], Trust],
        clock: Clock,
        health: Health,
        metrics: Metrics,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """trust: whom to believe about the directories, asked anew for each batch; raises
        Unavailable. checkpoints: None writes none."""
        self._broker = broker
        self._checkpoints = checkpoints
        self._store = store
        self._make_judge = make_judge
        self._trust = trust
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._observer = Observer(metrics)
        self._directories = DirectoryReader(broker, refused=self._directory_refused)
        self._owned: dict[int, Owned] = {}
        self._running: dict[int, Task] = {}
        self._troubled = False
        self._joined = self._left = False

    @property
    def running(self) -> Mapping[int, Task]:
        """The tasks that take records, by partition."""
        return self._running

    @property
    def fenced(self) -> dict[int, str]:
        """The tasks that stopped, and why."""
        return {n: owned.fenced for n, owned in self._owned.items() if owned.fenced}

    def run(self, stop: Stop) -> None:
        """Until told to stop; then leaves the group, so that others take over at once."""
        for part in ("kafka", "redis", "tasks"):
            self._health.not_ready(part, "starting")
        try:
            while not stop.is_set():
                if self.run_once(0.2):
                    stop.wait(0.5)  # a server is away; the next poll keeps the membership
        finally:
            self._broker.close()

    def run_once(self, timeout_s: float) -> bool:
        """One turn. True: a server is away, and it should not be asked again at once."""
        self._health.beat()
        self._troubled = False
        busy = any(owned.progress is not None for owned in self._owned.values())
        try:
            batch = self._broker.poll(
                records_max=BATCH_RECORDS_MAX, timeout_s=0 if busy else timeout_s
            )
        except Unavailable as away:
            self._away(away)
            return True
        self._reassign(batch.changes)
        records = [record for record in batch.records if self._is_next(record)]
        if records or self._overdue():
            self._handle(batch, records)
        else:
            self._metrics.oldest_unprocessed.set(0)
        self._take_over()
        self._look_at_idle()
        self._guarded(self._trust)  # an idle worker, too, says that it could judge nothing
        self._tick()
        self._checkpoint(batch.membership)
        self._report()
        return self._troubled

    def _is_next(self, record: InputRecord) -> bool:
        """Records of tasks that do not run yet come again; those behind us are handled already."""
        task = self._running.get(record.partition)
        return task is not None and record.offset >= task.positions.get(record.topic, 0)

    # 1. Who owns what.

    def _reassign(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.kind == "reset":
                self._check_lost(change)
                continue
            self._joined, self._left = True, change.kind == "revoked"
            for topic, number in sorted(change.places):
                if change.kind == "assigned":
                    self._owned.setdefault(number, Owned()).topics.add(topic)
                else:
                    self._release(number, topic)
            logger.info(
                "partitions", change=change.kind, tasks=sorted({n for _, n in change.places})
            )
        for number, owned in self._owned.items():
            whole = owned.topics == {topic for topic, _ in places_of(number)}
            if whole and owned.began is None:
                self._restart(number)

    def _check_lost(self, change: Change) -> None:
        """Takes a task over again whose unread records are gone; the takeover says which."""
        try:
            firsts = self._broker.first_offsets(change.places)
        except Unavailable as away:
            self._away(away)
            return
        for (topic, number), first in firsts.items():
            task = self._running.get(number)
            if task is not None and task.positions[topic] < first:
                self._restart(number)

    def _release(self, number: int, topic: str) -> None:
        owned = self._owned.get(number)
        if owned is None:
            return
        owned.topics.discard(topic)
        self._stop_task(number)
        owned.began, owned.fenced = None, None
        if not owned.topics:
            del self._owned[number]

    def _restart(self, number: int, *, anew: bool = False) -> None:
        """Takes the task over (again), from the log. anew: the store is not believed."""
        owned = self._owned[number]
        self._stop_task(number)
        owned.began, owned.fenced, owned.ticked = self._clock(), None, None
        owned.next_due, owned.looked = None, None
        self._guarded(lambda: self._broker.pause(places_of(number)))
        owned.progress = take_over(
            number,
            broker=self._broker,
            store=self._store,
            checkpoints=self._checkpoints,
            anew=anew,
        )

    def _stop_task(self, number: int) -> None:
        owned = self._owned[number]
        if owned.progress is not None:
            owned.progress.close()
        owned.progress = None
        self._running.pop(number, None)

    # 2. Handling.

    def _overdue(self) -> bool:
        return any(
            (due := self._owned[number].next_due) is not None
            and task.horizon is not None
            and due < task.horizon
            for number, task in self._running.items()
        )

    def _handle(self, batch: Batch, records: Sequence[InputRecord]) -> None:
        """The whole batch in one transaction; if it will not go, task by task."""
        touched = {record.partition for record in records}
        self._age(records)
        tasks = {
            number: task
            for number, task in self._running.items()
            if number in touched or self._due_now(number, task)
        }
        try:
            judge = self._make_judge(self._directories.refreshed(self._trust()))
            self._step(tasks, records, batch, judge)
        except Unavailable as away:
            self._away(away)
            self._put_back(tasks)
        except RegistryUnavailable as away:
            self._away(Unavailable("registry", str(away)))
            self._put_back(tasks)
        except StepAborted as aborted:
            self._metrics.transactions.labels("aborted").inc()
            logger.warning("step_aborted", reason=str(aborted))
            self._put_back(tasks)
        except ProducerLost as lost:
            self._lost(lost)
        except Exception as error:  # noqa: BLE001 - one task's fault must not stop the others
            if len(tasks) > 1:
                logger.warning("batch_split", reason=type(error).__name__)
                self._one_by_one(tasks, records, batch)
            else:
                self._fail(next(iter(tasks)), error)

    def _one_by_one(
        self, tasks: dict[int, Task], records: Sequence[InputRecord], batch: Batch
    ) -> None:
        for number, task in tasks.items():
            mine = [record for record in records if record.partition == number]
            if number in self._running and self._running[number] is task:
                self._handle(Batch(mine, batch.membership), mine)

    def _step(
        self, tasks: dict[int, Task], records: Sequence[InputRecord], batch: Batch, judge: Judge
    ) -> None:
        now = self._clock()
        moved = dict(tasks)
        try:
            outcomes = handle(
                moved,
                records,
                membership=batch.membership,
                judge=judge,
                broker=self._broker,
                store=self._store,
                now=now,
            )
        except (Unavailable, WatermarkMismatch) as error:
            done = {n: task for n, task in moved.items() if task is not tasks[n]}
            if not done:
                raise
            # Committed, and the store did not hear of it: it is brought up from the log.
            self._metrics.transactions.labels("committed").inc()
            logger.warning("store_behind", tasks=sorted(done), reason=str(error))
            for number in done:
                self._restart(number)
            self._troubled = isinstance(error, Unavailable)
            return
        self._running.update(moved)
        if self._checkpoints is not None:
            self._checkpoints.committed(outcomes, moved, now)
        if outcomes:
            self._metrics.transactions.labels("committed").inc()
        committed = self._clock()
        for outcome in outcomes:
            self._observer.handled(outcome, committed)
        for number in moved:
            self._look(number)

    def _look(self, number: int) -> None:
        """When the task's next clock is due, by a store that must stand where the task does.

        Raises Unavailable. A store that was emptied forgets the clocks, and no record may come.
        """
        loaded, owned = self._store.load(number, []), self._owned[number]
        if loaded.watermark == self._running[number].watermark:
            owned.next_due, owned.looked = loaded.next_due, self._clock()
            owned.counts, owned.overdue = loaded.counts, 0
            if loaded.next_due is not None and loaded.next_due < owned.looked:
                owned.overdue = len(self._store.due(number, owned.looked, OVERDUE_COUNTED_MAX))
        else:
            logger.warning("store_restored", task=number, reason=f"it is at {loaded.watermark}")
            self._restart(number)

    def _look_at_idle(self) -> None:
        now = self._clock()
        try:
            for number in [*self._running]:
                looked = self._owned[number].looked
                if looked is None or not timedelta(0) <= now - looked < LOOK_EVERY:
                    self._look(number)
        except Unavailable as away:
            self._away(away)

    def _fail(self, number: int, error: Exception) -> None:
        match error:
            case StoreCorrupt():
                self._altered(number, str(error))
                self._restart(number, anew=True)
            case WatermarkMismatch():
                logger.warning("store_restored", task=number, reason=str(error))
                self._restart(number)
            case TaskFenced():
                self._fence(number, str(error))
            case _:
                logger.error("task_failed", task=number, exc_info=error)
                self._fence(number, f"{type(error).__name__} while handling a record; see the log")

    def _altered(self, number: int, why: str) -> None:
        """Somebody else writes into the store: nothing was decided by it, and people must look."""
        self._metrics.store_altered.inc()
        logger.error("store_altered", task=number, reason=why)

    def _fence(self, number: int, why: str) -> None:
        """Stops one task until a person has looked; restarting the worker tries again."""
        self._stop_task(number)
        self._owned[number].fenced = why
        self._guarded(lambda: self._broker.pause(places_of(number)))
        logger.error("task_fenced", task=number, reason=why)

    def _lost(self, lost: ProducerLost) -> None:
        """It is not known what became of the step: a new producer, and everything from the log."""
        self._metrics.transactions.labels("lost").inc()
        logger.warning("producer_lost", reason=str(lost))
        if self._guarded(self._broker.renew):
            for number in [*self._running]:
                self._restart(number)

    def _put_back(self, tasks: Mapping[int, Task]) -> None:
        """The next poll brings the same records again."""
        for number in tasks.keys() & self._running.keys():
            task = self._running[number]
            positions = {(topic, number): at for topic, at in task.positions.items()}
            if not self._guarded(lambda seek=positions: self._broker.seek(seek)):  # type: ignore[misc]
                self._restart(number)

    # 3. Takeovers.

    def _take_over(self) -> None:
        for number, owned in self._owned.items():
            for _ in range(TAKEOVER_PORTIONS):
                if owned.progress is None:
                    break
                try:
                    next(owned.progress)
                except StopIteration as finished:
                    owned.progress = None
                    self._taken_over(number, finished.value)
                except Unavailable as away:
                    self._away(away)
                    self._restart(number)
                    return
                except WatermarkMismatch:
                    self._restart(number)
                    break
                except Exception as error:  # noqa: BLE001 - one task's fault
                    owned.progress = None
                    self._fail(number, error)

    def _taken_over(self, number: int, taken: TakenOver) -> None:
        owned, task = self._owned[number], taken.task
        try:
            self._broker.start({(topic, number): at for topic, at in task.positions.items()})
        except Unavailable as away:
            self._away(away)
            self._restart(number)
            return
        self._running[number] = task
        assert owned.began is not None
        took = (self._clock() - owned.began).total_seconds()
        self._metrics.restore.observe(max(took, 0.0))
        if taken.altered is not None:
            self._altered(number, taken.altered)
        for warning in taken.warnings:
            logger.warning("takeover_odd", task=number, detail=warning)
        logger.info("task_taken_over", task=number, seq=task.seq, restored=taken.restored)

    # 4. Time.

    def _due_now(self, number: int, task: Task) -> bool:
        due, horizon = self._owned[number].next_due, task.horizon
        return due is not None and horizon is not None and due < horizon

    def _tick(self) -> None:
        """Where a clock is due and its inputs are idle, moves their time on."""
        now, wanted = self._clock(), dict[int, datetime]()
        for number, task in self._running.items():
            owned = self._owned[number]
            due = owned.next_due
            if due is None or due >= now or self._due_now(number, task):
                continue
            if owned.ticked is not None and now - owned.ticked[1] < TICK_AGAIN:
                continue
            owned.ticked = (due, now)
            wanted[number] = due
        if not wanted:
            return
        try:
            self._broker.append(
                [t for number, due in wanted.items() for t in ticks(number, due, now)]
            )
        except Unavailable as away:
            self._away(away)
        except StepAborted as aborted:
            logger.warning("tick_aborted", reason=str(aborted))
        except ProducerLost as lost:
            self._lost(lost)

    # 5. Checkpoints.

    def _checkpoint(self, membership: object) -> None:
        """Signs what is new in the journals, where enough is or enough time has gone by."""
        if self._checkpoints is None:
            return
        records = self._checkpoints.due(self._running, self._clock())
        if not records:
            return
        try:
            self._broker.commit(records, positions_of(records, self._running), membership)
        except Unavailable as away:
            self._away(away)
        except StepAborted as aborted:
            logger.warning("checkpoint_aborted", reason=str(aborted))
        except ProducerLost as lost:
            self._lost(lost)
        else:
            self._checkpoints.written(records)
            logger.info("checkpoints", tasks=sorted(record.partition for record in records))

    # 6. What others see.

    def _age(self, records: Sequence[InputRecord]) -> None:
        times = [record.append_time for record in records if record.append_time is not None]
        age = (self._clock() - min(times)).total_seconds() if times else 0.0
        self._metrics.oldest_unprocessed.set(max(age, 0.0))

    def _away(self, away: Unavailable) -> None:
        self._troubled = True
        self._health.not_ready(away.part, away.why)
        logger.warning("server_away", part=away.part, reason=away.why)

    def _guarded(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except Unavailable as away:
            self._away(away)
            return False
        return True

    def _report(self) -> None:
        fenced = self.fenced
        running = [self._owned[number] for number in self._running]
        self._observer.standing([owned.counts for owned in running])
        self._metrics.overdue.set(sum(owned.overdue for owned in running))
        self._metrics.fenced.set(len(fenced))
        if not self._troubled:
            for part in ("kafka", "redis", "registry", "keys"):
                self._health.ready(part)
        restoring = sorted(n for n, owned in self._owned.items() if owned.progress is not None)
        if fenced:
            said = "; ".join(f"task {number} is fenced: {why}" for number, why in fenced.items())
            self._health.not_ready("tasks", said)
        elif restoring:
            self._health.not_ready("tasks", f"taking over {restoring}")
        elif not self._joined or (self._left and not self._owned):
            self._health.not_ready("tasks", "waiting for the group to give this worker partitions")
        else:
            self._health.ready("tasks")

    def _directory_refused(self, record: InputRecord, reason: str, why: str) -> None:
        self._metrics.directory_refused.labels(reason).inc()
        logger.warning(
            "directory_record_refused",
            place=f"{record.topic}/{record.partition}/{record.offset}",
            reason=reason,
            detail=why,
        )

"""The partitions that are ours now: taking them over, keeping their progress, letting them go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from consumers.logs import logger
from consumers.notification.history import survey
from consumers.notification.job import Job, Mark, Phase, advance
from consumers.notification.ports import Heard, NotOwner, Unavailable
from consumers.notification.progress import Progress, ProgressUnreadable
from consumers.notification.surroundings import Surroundings
from consumers.notification.task import Task

COMMIT_EVERY: Final = timedelta(seconds=1)
"""How often a mere step forward is committed. A changed mark is committed at once."""
SURVEY_AGAIN_AFTER: Final = timedelta(seconds=2)
"""Before a partition whose past could not be read is tried again."""


class Partitions:
    """Tasks by partition, and what belongs to none any more.

    adrift: jobs whose mail was on its way when their partition was taken from this process. They
    are still reported if they were sent, for that is true; nothing else is done with them.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._s = surroundings
        self.tasks: dict[int, Task] = {}
        self.adrift: dict[str, Job] = {}
        self._unready: dict[int, datetime] = {}
        self._committed_at = surroundings.clock()
        self._log = logger()

    def assigned(self, partitions: tuple[int, ...]) -> None:
        """They are ours; what their past says is read before anything of them is heard."""
        self._unready |= dict.fromkeys(partitions, self._s.clock())
        self.take_over()

    def take_over(self) -> None:
        """Begins, or tries again to begin, with the partitions whose past is not known yet."""
        for partition, at in list(self._unready.items()):
            if self._s.clock() >= at:
                self._unready[partition] = self._s.clock() + SURVEY_AGAIN_AFTER
                self._take_over(partition)
        self._s.metrics.partitions.set(len(self.tasks))

    def let_go(self, partition: int) -> None:
        """It is not ours any more."""
        self._unready.pop(partition, None)
        self._s.health.ready(f"partition {partition}")
        task = self.tasks.pop(partition, None)
        if task is None:
            return
        self.adrift |= {job.attempt_id: job for job in task.jobs.values() if _is_out(job)}
        self._s.metrics.partitions.set(len(self.tasks))
        self._log.info("partition_left", partition=partition, under_way=task.under_way)

    def hear(self, heard: Heard) -> None:
        """A record of a partition. Of one that is not begun, nothing is heard."""
        task = self.tasks.get(heard.partition)
        if task is None:
            return
        if heard.record is None:
            place = {"partition": heard.partition, "offset": heard.offset}
            self._log.warning("not_a_record", topic=heard.topic, **place)
        for job, event in task.hear(heard, self.adrift):
            self.put(advance(job, event, now=self._s.clock()))

    def jobs(self) -> list[Job]:
        """All jobs of our partitions."""
        return [job for task in self.tasks.values() for job in task.jobs.values()]

    def find(self, attempt_id: str) -> Job | None:
        """The job of an attempt, adrift or not."""
        mine = (job for job in self.jobs() if job.attempt_id == attempt_id)
        return next(mine, None) or self.adrift.get(attempt_id)

    def put(self, job: Job) -> None:
        """The job as it is now. One that is finished is forgotten, with a line and a count."""
        if job.attempt_id in self.adrift:
            self.adrift[job.attempt_id] = job
            if not _is_out(job):
                del self.adrift[job.attempt_id]
        else:
            task = self.tasks.get(job.partition)
            if task is None:
                return
            task.jobs[job.offset] = job
            if job.phase is Phase.FINISHED:
                task.forget(job)
        if job.phase is Phase.FINISHED:
            self._s.metrics.notices.labels(job.ending).inc()
            doubtful = job.ending in ("notice_in_doubt", "notice_denied", "notice_failed")
            tell = self._log.warning if doubtful else self._log.info
            tell(job.ending, **about(job), **({"why": job.report.why} if job.report else {}))

    def keep(self, before: Mapping[int, Mapping[int, Mark]], *, all_of_it: bool = False) -> bool:
        """Commits what stands, and the marks of what is to be done next, by partition and offset.

        Partitions in `before` are committed even if nothing changed: the commit is the fence.
        True: the group has it, so those things may be done.
        """
        late = all_of_it or self._s.clock() >= self._committed_at + COMMIT_EVERY
        news: dict[int, Progress] = {}
        for partition, task in self.tasks.items():
            progress = task.progress(before.get(partition, {}))
            fence = partition in before
            if progress and (fence or _is_news(progress, task.kept, late=late)):
                news[partition] = progress
        if not news:
            return True
        try:
            self._s.log.commit(news)
        except NotOwner as error:
            self._log.warning("partitions_lost", why=str(error), partitions=len(self.tasks))
            for partition in list(self.tasks):
                self.let_go(partition)
            return False
        except Unavailable as error:
            self._s.unavailable(error, hinders="committing")
            return False
        for partition, progress in news.items():
            self.tasks[partition].kept = progress
        self._committed_at = self._s.clock()
        self._s.health.ready("committing")
        return True

    def slow_down(self) -> None:
        """Reads no more gates of a partition that is full."""
        for partition, task in self.tasks.items():
            if task.is_full != task.paused:
                task.paused = task.is_full
                (self._s.log.pause if task.paused else self._s.log.resume)(partition)

    def _take_over(self, partition: int) -> None:
        s, part = self._s, f"partition {partition}"
        try:
            kept = s.log.committed(partition)
            past = survey(s.log, s.executor, s.receipts, partition, kept)
        except ProgressUnreadable as error:
            return s.unavailable(Unavailable(part, str(error)))
        except Unavailable as error:
            return s.unavailable(error, hinders=part)
        s.health.ready(part)
        self.tasks[partition] = Task(partition, s.executor, kept, past)
        del self._unready[partition]
        s.log.resume(partition)
        self._log.info(
            "partition_taken",
            partition=partition,
            offset=kept.offset if kept else None,
            under_way=len(kept.marks) if kept else 0,
        )


def about(job: Job) -> dict[str, Any]:
    """What a log line says of a job: ids only."""
    return {
        "grant_id": job.grant_id,
        "attempt_id": job.attempt_id,
        "partition": job.partition,
        "offset": job.offset,
        "sends": job.sends,
    }


def _is_out(job: Job) -> bool:
    """Whether the mail may be out, or is and was not reported."""
    sent = job.phase is Phase.REPORTING and job.report is not None and job.report.kind == "sent"
    return sent or job.phase is Phase.SENDING


def _is_news(progress: Progress, kept: Progress | None, *, late: bool) -> bool:
    if kept is None:
        return late or bool(progress.marks)
    return progress.marks != kept.marks or (late and progress.offset != kept.offset)

"""The gates of one partition that are under way, and where it stands. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from consumers.notification.facts import Event, Refused, meaning
from consumers.notification.history import Survey
from consumers.notification.job import Job, Mark, Phase, opened
from consumers.notification.ports import Heard
from consumers.notification.progress import GATES_UNDER_WAY_MAX, Progress
from producers.attempt import stable_attempt_id
from producers.executor import Executor
from schemas.events import CommandRefused, ToolGateEvent
from schemas.headers import TRACEPARENT, DuplicateHeader, Headers, header

BACKLOG_MAX: Final = 32
"""Gates read and not begun, before the partition is paused; each may be 256 KiB."""
_TAKE: Final = "grant.take"


class Task:
    """A partition of ours: its jobs by gate offset. See Notifier for what is done with them.

    kept: what was committed last. adrift: jobs of this process whose mail is on its way although
    their partition was taken from it; one that comes back goes on.
    """

    def __init__(
        self, partition: int, executor: Executor, kept: Progress | None, survey: Survey
    ) -> None:
        self.partition = partition
        self.kept = kept
        self.jobs: dict[int, Job] = {}
        self.paused = False
        self._executor = executor
        self._survey = survey
        self._next: int | None = kept.offset if kept else None
        self._found: Mapping[int, Mark] = dict(kept.marks) if kept else {}

    def hear(self, heard: Heard, adrift: dict[str, Job]) -> list[tuple[Job, Event]]:
        """Notes a record of this partition; what it means for jobs that are under way."""
        if heard.topic == "command-refused":
            return self._refusal(heard.record)
        self._next = max(self._next or 0, heard.offset + 1)
        gate = heard.record
        if not isinstance(gate, ToolGateEvent) or gate.grant_id is None:
            return []
        if gate.gate == "opened":
            self._open(heard, gate, gate.grant_id, adrift)
            return []
        return [
            (job, meaning(gate, job.gate.action_digest or "", self._executor.executor_id))
            for job in self.jobs.values()
            if job.grant_id == gate.grant_id
        ]

    def forget(self, job: Job) -> None:
        """The job is finished: its gate is behind us."""
        del self.jobs[job.offset]

    def progress(self, before: Mapping[int, Mark]) -> Progress | None:
        """What is to be committed, with the marks that must stand before actions are done.

        Marks that an earlier life left stay until their gate was read again. None: nothing is
        known of the partition yet.
        """
        unread: dict[int, Mark] = {
            at: mark for at, mark in self._found.items() if at >= (self._next or 0)
        }
        marks: dict[int, Mark] = {job.offset: job.mark for job in self.jobs.values() if job.mark}
        if self._next is None:
            return None
        lowest = min([self._next, *self.jobs, *unread])
        marks.update(unread)
        marks.update(before)
        return Progress(lowest, marks)

    @property
    def under_way(self) -> int:
        """Jobs that were begun."""
        return sum(job.phase is not Phase.NEW for job in self.jobs.values())

    @property
    def has_room(self) -> bool:
        """Whether another gate may be begun: what is under way must fit into the metadata."""
        return self.under_way < GATES_UNDER_WAY_MAX

    @property
    def is_full(self) -> bool:
        """Whether to read no more gates now. Never while an answer is awaited on their topic."""
        waiting = any(job.phase is Phase.ASKED for job in self.jobs.values())
        return not waiting and len(self.jobs) - self.under_way >= BACKLOG_MAX

    def _open(
        self, heard: Heard, gate: ToolGateEvent, grant_id: str, adrift: dict[str, Job]
    ) -> None:
        if not self._executor.may_take(gate) or gate.action_digest is None:
            return
        at = heard.offset
        if at < self._survey.end and at not in self._survey.open_offsets:
            return  # it has been closed since
        if any(job.grant_id == grant_id for job in self.jobs.values()):
            return  # the worker repeated itself
        attempt_id = stable_attempt_id(grant_id, self._executor.executor_id)
        remembered = self._found.get(at)
        if remembered == "s" and attempt_id in adrift:
            self.jobs[at] = replace(adrift.pop(attempt_id), partition=self.partition, offset=at)
            return
        fresh = Job(
            gate=gate,
            grant_id=grant_id,
            attempt_id=attempt_id,
            partition=self.partition,
            offset=at,
            appended=heard.appended,
            traceparent=_traceparent(heard.headers),
        )
        self.jobs[at] = opened(
            fresh,
            remembered=remembered,
            consumed=self._survey.consumed.get(grant_id),
            receipted=attempt_id in self._survey.receipted,
        )

    def _refusal(self, refused: object) -> list[tuple[Job, Event]]:
        if not isinstance(refused, CommandRefused) or refused.refused_type != _TAKE:
            return []
        return [
            (job, Refused(refused.code))
            for job in self.jobs.values()
            if job.attempt_id == refused.command_id
        ]


def _traceparent(headers: Headers) -> bytes | None:
    try:
        return header(headers, TRACEPARENT)
    except DuplicateHeader:
        return None

"""One opened gate on its way to one mail: what happened, and what is to be done next. Pure.

    NEW ──fit──▶ TAKING ──asked──▶ ASKED ──own consumed──▶ READY ⇄ SENDING ──▶ REPORTING ──▶ FINISHED
     └─unfit──────────────────────────────────────────────────────────────────▶┘

Beside the phase stands the mark, which is kept in Kafka: "t" from before the take is published,
"s" from before a try is handed to the mail server until it is known what became of it. So whoever
finds "t" may go on, and whoever finds "s" may not: the mail may be out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal, assert_never

from consumers.notification.facts import (
    Asked,
    Closed,
    Consumed,
    Event,
    Fit,
    HandedOver,
    Looked,
    Refused,
    Reported,
    Unfit,
    Unpublished,
)
from consumers.notification.mailer import (
    Ambiguous,
    Outcome,
    PermanentFailure,
    Sent,
    TemporaryFailure,
)
from consumers.notification.notice import Notice
from schemas.events import ToolGateEvent

BACKOFF_FIRST: Final = timedelta(seconds=1)
BACKOFF_MAX: Final = timedelta(seconds=60)
"""A server that is away for minutes is asked once a minute."""

Mark = Literal["t", "s"]
Phase = Enum(
    "Phase", ["NEW", "TAKING", "ASKED", "CHECKING", "READY", "SENDING", "REPORTING", "FINISHED"]
)
Kind = Literal["sent", "failed", "not_done", "in_doubt", "denied"]
"""NoticeSent, NoticeFailed, ToolFailed, ToolInDoubt, ToolDenied."""


@dataclass(frozen=True, slots=True)
class Report:
    """The receipt to publish. detail: for the record. why: for the log, without the mail's words."""

    kind: Kind
    detail: str = ""
    why: str = ""


class Action(Enum):
    """What to do next. `marks`: what must stand in Kafka before it is done."""

    CHECK = "verify the grant and the arguments"
    TAKE = "publish the take"
    LOOK = "look for receipts of this attempt"
    SEND = "hand the mail over"
    REPORT = "publish the receipt"


BEFORE: Final[dict[Action, Mark]] = {Action.TAKE: "t", Action.SEND: "s"}
"""The mark that is committed before an action is done."""


@dataclass(frozen=True, slots=True)
class Job:
    """One opened gate of ours. Immutable; `advance` gives the next one.

    remembered: the mark that an earlier life left. takes: how many takes of this life may be in
    Kafka. tries: of the present phase, for the backoff. sends: tries to send in this life.
    """

    gate: ToolGateEvent
    grant_id: str
    attempt_id: str
    partition: int
    offset: int
    appended: datetime
    phase: Phase = Phase.NEW
    mark: Mark | None = None
    remembered: Mark | None = None
    notice: Notice | None = None
    execute_by: datetime | None = None
    takes: int = 0
    tries: int = 0
    sends: int = 0
    not_before: datetime | None = None
    last_failure: str = ""
    report: Report | None = None
    ending: str = ""
    traceparent: bytes | None = None


def opened(
    fresh: Job, *, remembered: Mark | None, consumed: Consumed | None, receipted: bool
) -> Job:
    """The job of a gate as it is found: with what earlier lives left, and what the log says.

    receipted: a receipt of this attempt stands already.
    """
    job = replace(
        fresh,
        mark=remembered,
        remembered=remembered,
        execute_by=consumed.execute_by if consumed else None,
    )
    if receipted:
        return _finished(job, "reported_before")
    if remembered == "s":
        return _in_doubt(job, "the service stopped between sending and recording")
    if consumed is not None and remembered is None:
        return _taken_before(job)
    return job


def advance(job: Job, event: Event, *, now: datetime, jitter: float = 0.0) -> Job:
    """The job after an event. What does not concern its phase changes nothing.

    jitter: 0 to 1, how much of a backoff's second half is waited.
    """
    match event:
        case Fit() | Unfit():
            return _checked(job, event) if job.phase is Phase.NEW else job
        case Asked() | Unpublished() | Reported() | HandedOver():
            return _done(job, event, now, jitter)
        case Consumed() | Closed() | Refused() | Looked():
            return _answered(job, event)
        case Sent() | TemporaryFailure() | PermanentFailure() | Ambiguous():
            return _mailed(job, event, now, jitter) if job.phase is Phase.SENDING else job
        case _:
            assert_never(event)


def ripened(job: Job, now: datetime) -> Job:
    """The job at this moment: a notice that could not be sent by `execute_by` has failed."""
    if job.phase is Phase.READY and job.execute_by is not None and now >= job.execute_by:
        last = f"; last: {job.last_failure}" if job.last_failure else ""
        report = Report("failed", f"not sent by {job.execute_by.isoformat()}{last}", "too_late")
        return _reporting(job, report)
    return job


def not_to_be_sent(job: Job, why: str) -> Job:
    """A notice that must not be sent any more has failed, before anything was sent of it."""
    return _reporting(job, Report("failed", why, why)) if job.phase is Phase.READY else job


def due(job: Job, now: datetime) -> Action | None:
    """What is to be done with the job now, if anything."""
    if job.not_before is not None and now < job.not_before:
        return None
    match job.phase:
        case Phase.NEW:
            return Action.CHECK
        case Phase.TAKING:
            return Action.TAKE
        case Phase.CHECKING:
            return Action.LOOK
        case Phase.READY:
            return Action.SEND
        case Phase.REPORTING:
            return Action.REPORT
        case Phase.ASKED | Phase.SENDING | Phase.FINISHED:
            return None
        case _:
            assert_never(job.phase)


def backoff(tries: int, jitter: float) -> timedelta:
    """How long to wait after the given number of failures: doubling, its second half by chance."""
    full = min(BACKOFF_FIRST * float(2 ** min(tries - 1, 16)), BACKOFF_MAX)
    return full * (0.5 + jitter / 2)


def _checked(job: Job, event: Fit | Unfit) -> Job:
    if isinstance(event, Unfit):
        # A taken grant that is not believed any more was certainly not acted on.
        taken = job.remembered is not None and job.execute_by is not None
        report = Report("not_done" if taken else "denied", event.reason, event.reason)
        return _reporting(job, report)
    phase = Phase.READY if job.execute_by is not None else Phase.TAKING
    return replace(job, phase=phase, notice=event.notice)


def _done(
    job: Job, event: Asked | Unpublished | Reported | HandedOver, now: datetime, jitter: float
) -> Job:
    match event, job.phase:
        case Asked(), Phase.TAKING:
            asked = replace(job, phase=Phase.ASKED, mark="t", takes=job.takes + 1)
            return replace(asked, tries=0, not_before=None)
        case HandedOver(), Phase.READY:
            return replace(job, phase=Phase.SENDING, mark="s", sends=job.sends + 1, not_before=None)
        case Reported(), Phase.REPORTING:
            assert job.report is not None
            return _finished(job, _ENDINGS[job.report.kind])
        case Unpublished(), Phase.TAKING:
            tried = replace(job, mark="t", takes=job.takes + 1, tries=job.tries + 1)
            return replace(tried, not_before=now + backoff(tried.tries, jitter))
        case Unpublished(), Phase.REPORTING:
            tried = replace(job, tries=job.tries + 1)
            return replace(tried, not_before=now + backoff(tried.tries, jitter))
        case _:
            return job


def _answered(job: Job, event: Consumed | Closed | Refused | Looked) -> Job:
    match event, job.phase:
        case Consumed(), Phase.NEW if job.remembered:
            return replace(job, execute_by=event.execute_by)
        case Consumed(), Phase.TAKING | Phase.ASKED if job.takes or job.remembered:
            ready = replace(job, phase=Phase.READY, execute_by=event.execute_by)
            return replace(ready, tries=0, not_before=None)
        case Consumed(), Phase.NEW | Phase.TAKING:
            # Our attempt took it, and this life did not ask: look what became of it.
            return replace(job, phase=Phase.CHECKING, not_before=None)
        case Closed(), Phase.NEW | Phase.TAKING | Phase.ASKED:
            return _finished(job, f"gate_{event.how}")
        case Refused("DUPLICATE_COMMAND"), Phase.TAKING | Phase.ASKED:
            # Ours, or an earlier life's that left "t": its consumed is on the gate topic too.
            if job.remembered or job.takes != 1 or job.phase is Phase.TAKING:
                return job
            return replace(job, phase=Phase.CHECKING, not_before=None)
        case Refused(), Phase.TAKING | Phase.ASKED if job.takes or job.remembered:
            return _finished(job, f"take_refused_{event.code.lower()}")
        case Looked(), Phase.CHECKING:
            return _finished(job, "reported_before") if event.found else _taken_before(job)
        case _:
            return job


def _mailed(job: Job, outcome: Outcome, now: datetime, jitter: float) -> Job:
    match outcome:
        case Sent():
            return _reporting(job, Report("sent"))
        case TemporaryFailure():
            tries = job.tries + 1
            return replace(
                job,
                phase=Phase.READY,
                mark="t",
                tries=tries,
                not_before=now + backoff(tries, jitter),
                last_failure=outcome.said or outcome.why,
            )
        case PermanentFailure():
            report = Report("failed", outcome.said or outcome.why, outcome.why)
            return replace(_reporting(job, report), mark="t")
        case Ambiguous():
            return _in_doubt(job, outcome.why)
        case _:
            assert_never(outcome)


def _reporting(job: Job, report: Report) -> Job:
    return replace(job, phase=Phase.REPORTING, report=report, tries=0, not_before=None)


def _in_doubt(job: Job, why: str) -> Job:
    return _reporting(job, Report("in_doubt", f"it is not known whether it was sent: {why}", why))


def _taken_before(job: Job) -> Job:
    return _in_doubt(job, "this executor took the grant before, and left no word of what it did")


def _finished(job: Job, ending: str) -> Job:
    return replace(job, phase=Phase.FINISHED, ending=ending)


_ENDINGS: Final[dict[Kind, str]] = {
    "sent": "notice_sent",
    "failed": "notice_failed",
    "not_done": "notice_not_sent",
    "in_doubt": "notice_in_doubt",
    "denied": "notice_denied",
}

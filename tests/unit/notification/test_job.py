"""The state machine of one gate: every phase with every event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

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
from consumers.notification.job import (
    BACKOFF_MAX,
    Action,
    Job,
    Mark,
    Phase,
    Report,
    advance,
    backoff,
    due,
    opened,
    ripened,
)
from consumers.notification.mailer import Ambiguous, PermanentFailure, Sent, TemporaryFailure
from consumers.notification.notice import Notice
from tests.examples import ATTEMPT_ID, GRANT_ID, NOW, a_gate_event, at

EXECUTE_BY = at(3600)
NOTICE = Notice("EN-1", "a@b.example", "s", "b")
FRESH = Job(
    gate=a_gate_event(),
    grant_id=GRANT_ID,
    attempt_id=ATTEMPT_ID,
    partition=0,
    offset=17,
    appended=NOW,
)
EVENTS: Final[dict[str, Event]] = {
    "fit": Fit(NOTICE),
    "unfit": Unfit("no"),
    "asked": Asked(),
    "consumed": Consumed(EXECUTE_BY),
    "closed": Closed("revoked"),
    "duplicate": Refused("DUPLICATE_COMMAND"),
    "refused": Refused("GRANT_TAKEN"),
    "found": Looked(found=True),
    "not_found": Looked(found=False),
    "handed_over": HandedOver(),
    "reported": Reported(),
    "unpublished": Unpublished(),
    "sent": Sent(),
    "temporary": TemporaryFailure("451", "451 later"),
    "permanent": PermanentFailure("550", "550 no"),
    "ambiguous": Ambiguous("cut"),
}
CHANGES: Final[dict[tuple[Phase, str], tuple[Phase, Mark | None]]] = {
    (Phase.NEW, "fit"): (Phase.TAKING, None),
    (Phase.NEW, "unfit"): (Phase.REPORTING, None),
    (Phase.NEW, "consumed"): (Phase.CHECKING, None),
    (Phase.NEW, "closed"): (Phase.FINISHED, None),
    (Phase.TAKING, "asked"): (Phase.ASKED, "t"),
    (Phase.TAKING, "unpublished"): (Phase.TAKING, "t"),
    (Phase.TAKING, "consumed"): (Phase.CHECKING, None),
    (Phase.TAKING, "closed"): (Phase.FINISHED, None),
    (Phase.ASKED, "consumed"): (Phase.READY, "t"),
    (Phase.ASKED, "closed"): (Phase.FINISHED, "t"),
    (Phase.ASKED, "duplicate"): (Phase.CHECKING, "t"),
    (Phase.ASKED, "refused"): (Phase.FINISHED, "t"),
    (Phase.CHECKING, "found"): (Phase.FINISHED, "t"),
    (Phase.CHECKING, "not_found"): (Phase.REPORTING, "t"),
    (Phase.READY, "handed_over"): (Phase.SENDING, "s"),
    (Phase.SENDING, "sent"): (Phase.REPORTING, "s"),
    (Phase.SENDING, "temporary"): (Phase.READY, "t"),
    (Phase.SENDING, "permanent"): (Phase.REPORTING, "t"),
    (Phase.SENDING, "ambiguous"): (Phase.REPORTING, "s"),
    (Phase.REPORTING, "reported"): (Phase.FINISHED, "s"),
    (Phase.REPORTING, "unpublished"): (Phase.REPORTING, "s"),
}
"""Phase and mark after an event. What is not here changes nothing."""


def in_phase(phase: Phase) -> Job:
    """The job as this life brings it into a phase."""
    asked = replace(FRESH, phase=phase, notice=NOTICE, mark="t", takes=1)
    match phase:
        case Phase.NEW | Phase.TAKING:
            return replace(FRESH, phase=phase)
        case Phase.READY:
            return replace(asked, execute_by=EXECUTE_BY)
        case Phase.SENDING:
            return replace(asked, execute_by=EXECUTE_BY, mark="s", sends=1)
        case Phase.REPORTING:
            return replace(asked, execute_by=EXECUTE_BY, mark="s", report=Report("sent"))
        case _:
            return asked


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", EVENTS)
def test_every_phase_with_every_event(phase: Phase, event: str) -> None:
    """An event leads where the table says, and anything else leaves the job as it was."""
    job = in_phase(phase)

    after = advance(job, EVENTS[event], now=NOW)

    if (phase, event) in CHANGES:
        assert (after.phase, after.mark) == CHANGES[phase, event]
    else:
        assert after == job


@pytest.mark.parametrize(
    ("phase", "action"),
    [
        (Phase.NEW, Action.CHECK),
        (Phase.TAKING, Action.TAKE),
        (Phase.ASKED, None),
        (Phase.CHECKING, Action.LOOK),
        (Phase.READY, Action.SEND),
        (Phase.SENDING, None),
        (Phase.REPORTING, Action.REPORT),
        (Phase.FINISHED, None),
    ],
)
def test_what_is_due_in_a_phase(phase: Phase, action: Action | None) -> None:
    """Each phase has one next action, or waits."""
    assert due(in_phase(phase), NOW) == action


@pytest.mark.parametrize("phase", [Phase.SENDING, Phase.TAKING, Phase.REPORTING])
def test_what_failed_is_not_due_before_its_time(phase: Phase) -> None:
    """After a failure the same thing waits; the wait doubles, and ends."""
    event = EVENTS["temporary" if phase is Phase.SENDING else "unpublished"]
    job = advance(in_phase(phase), event, now=NOW, jitter=1.0)

    assert due(job, at(0.999)) is None
    assert due(job, at(1)) is not None


def test_backoff_doubles_to_a_limit_and_is_spread() -> None:
    """1 s, 2 s, 4 s … 60 s, each between half and all of it."""
    assert [backoff(n, 1.0).total_seconds() for n in (1, 2, 3, 6, 7, 500)] == [1, 2, 4, 32, 60, 60]
    assert backoff(3, 0.0) == timedelta(seconds=2)
    assert backoff(10_000, 1.0) == BACKOFF_MAX


def test_a_success_begins_the_waiting_anew() -> None:
    """Failures of the take do not slow the sending."""
    tried = advance(in_phase(Phase.TAKING), Unpublished(), now=NOW)
    asked = advance(tried, Asked(), now=NOW)

    assert (asked.tries, asked.not_before, asked.takes) == (0, None, 2)


def test_execute_by_ends_the_tries() -> None:
    """At execute_by a notice that could not be sent has failed, and says why last."""
    job = advance(in_phase(Phase.SENDING), EVENTS["temporary"], now=NOW)

    assert ripened(job, EXECUTE_BY - timedelta(microseconds=1)) == job
    late = ripened(job, EXECUTE_BY)
    assert late.phase is Phase.REPORTING
    assert late.report is not None
    assert late.report.kind == "failed"
    assert "451 later" in late.report.detail
    assert due(late, EXECUTE_BY) is Action.REPORT


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.READY])
def test_execute_by_ends_nothing_else(phase: Phase) -> None:
    """A try that is on its way is not called failed: its outcome will tell."""
    job = replace(in_phase(phase), execute_by=EXECUTE_BY)

    assert ripened(job, EXECUTE_BY) == job


@pytest.mark.parametrize(
    ("event", "kind"),
    [("sent", "sent"), ("permanent", "failed"), ("ambiguous", "in_doubt")],
)
def test_what_a_try_ends_in(event: str, kind: str) -> None:
    """Sent, failed for good, or in doubt."""
    report = advance(in_phase(Phase.SENDING), EVENTS[event], now=NOW).report

    assert report is not None
    assert report.kind == kind


def test_what_cannot_be_a_notice_is_denied() -> None:
    """It is never taken."""
    report = advance(FRESH, Unfit("body is missing"), now=NOW).report

    assert report == Report("denied", "body is missing", "body is missing")


# --- what earlier lives left


def test_a_gate_that_nobody_began_is_new() -> None:
    """It is checked and taken."""
    assert opened(FRESH, remembered=None, consumed=None, receipted=False) == FRESH


def test_t_goes_on() -> None:
    """A taken gate with nothing handed over is taken again, and sent on its consumed."""
    job = opened(FRESH, remembered="t", consumed=None, receipted=False)
    assert due(job, NOW) is Action.CHECK
    job = advance(job, Fit(NOTICE), now=NOW)
    assert due(job, NOW) is Action.TAKE
    job = advance(job, Asked(), now=NOW)
    job = advance(job, Refused("DUPLICATE_COMMAND"), now=NOW)
    assert due(job, NOW) is None, "a duplicate is no permission: the consumed is"
    job = advance(job, Consumed(EXECUTE_BY), now=NOW)

    assert due(job, NOW) is Action.SEND


def test_t_whose_consumed_is_known_needs_no_take() -> None:
    """The log said already that this attempt took it."""
    job = opened(FRESH, remembered="t", consumed=Consumed(EXECUTE_BY), receipted=False)

    assert due(advance(job, Fit(NOTICE), now=NOW), NOW) is Action.SEND


def test_t_whose_consumed_comes_before_the_check() -> None:
    """Its order beside the check does not matter."""
    job = opened(FRESH, remembered="t", consumed=None, receipted=False)
    job = advance(job, Consumed(EXECUTE_BY), now=NOW)

    assert due(advance(job, Fit(NOTICE), now=NOW), NOW) is Action.SEND


def test_t_that_was_consumed_and_is_not_believed_any_more_was_not_done() -> None:
    """Its taken grant is reported as not acted on, not merely as denied."""
    job = opened(FRESH, remembered="t", consumed=Consumed(EXECUTE_BY), receipted=False)
    report = advance(job, Unfit("the key was withdrawn"), now=NOW).report

    assert report is not None
    assert report.kind == "not_done"


@pytest.mark.parametrize("consumed", [None, Consumed(EXECUTE_BY)])
def test_s_is_in_doubt(consumed: Consumed | None) -> None:
    """The mail may be out: a human is asked, and nothing is sent."""
    job = opened(FRESH, remembered="s", consumed=consumed, receipted=False)

    assert due(job, NOW) is Action.REPORT
    assert job.report is not None
    assert job.report.kind == "in_doubt"


@pytest.mark.parametrize("remembered", [None, "t", "s"])
def test_a_receipt_that_stands_ends_it(remembered: Mark | None) -> None:
    """What was reported is finished, whatever else is known."""
    job = opened(FRESH, remembered=remembered, consumed=Consumed(EXECUTE_BY), receipted=True)

    assert job.phase is Phase.FINISHED


def test_taken_by_an_earlier_life_that_left_no_mark() -> None:
    """Its consumed stands in the log and nobody knows what was done: in doubt."""
    job = opened(FRESH, remembered=None, consumed=Consumed(EXECUTE_BY), receipted=False)

    assert job.report is not None
    assert job.report.kind == "in_doubt"


def test_a_duplicate_of_a_take_that_may_stand_twice_is_ours() -> None:
    """A take that was published again after no answer is refused as a duplicate; that is fine."""
    job = advance(in_phase(Phase.TAKING), Unpublished(), now=NOW)
    job = advance(job, Asked(), now=NOW)

    assert advance(job, Refused("DUPLICATE_COMMAND"), now=NOW) == job


def test_a_consumed_of_a_take_that_may_stand_counts() -> None:
    """The broker did not say whether it has the take; the worker has answered it."""
    job = advance(in_phase(Phase.TAKING), Unpublished(), now=NOW)

    assert advance(job, Consumed(EXECUTE_BY), now=NOW).phase is Phase.READY

"""What each tale comes to: statuses, gate, refusals and the life of the review task."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from tests.stories.tales import TALES


class Told(NamedTuple):
    """The end of a tale."""

    statuses: str
    gates: str = ""
    refusals: str = ""
    task: str = "created closed"


EXPECTED: Final = {
    "approved_and_sent": Told(
        "pending approve", "opened consumed", "DUPLICATE_COMMAND", "created presented closed"
    ),
    "rejected": Told("pending reject", "denied", "NOT_OPEN NOT_REOPENABLE"),
    "revised_to_version_two": Told(
        "pending revise pending approve",
        "opened",
        "STALE_PACKAGE_VERSION",
        "created closed created closed",
    ),
    "quorum_of_two_teams": Told("pending approve", "opened"),
    "overridden_by_two": Told(
        "pending override",
        "opened",
        "SEPARATION_OF_DUTIES",
        "created closed audit_opened audit_closed",
    ),
    "window_without_objection": Told(
        "pending approve", "opened consumed", "", "created sla_warning sla_warning closed"
    ),
    "objected_after_opening": Told(
        "pending approve",
        "opened revoked",
        "GRANT_REVOKED",
        "created sla_warning sla_warning closed",
    ),
    "escalated_to_expiry": Told(
        "pending escalated expired",
        "denied",
        "TOO_LATE",
        "created sla_warning sla_warning escalated sla_warning sla_warning closed",
    ),
    "deferred_until_met": Told(
        "pending pending approve",
        "opened",
        "DECISION_NOT_ALLOWED",
        "created deferred commented resumed closed",
    ),
    "decided_for_another": Told("pending approve", "opened", "DUPLICATE_APPROVER"),
    "excepted_evidence": Told(
        "pending approve pending escalated",
        "opened expired",
        "PACKAGE_INCOMPLETE",
        "created closed created sla_warning sla_warning escalated",
    ),
    "memory_kept": Told("pending approve", "opened consumed"),
    "reported_without_take": Told(
        "pending approve",
        "opened consumed",
        "NOT_TAKEN",
        "created closed difference in_doubt closed",
    ),
    "cancelled_by_its_agent": Told("pending approve", "opened revoked", "GRANT_REVOKED"),
    "decided_before_asked": Told("pending approve", "opened", "UNKNOWN_PACKAGE"),
    "without_people": Told(
        "pending approve", "opened consumed", "", "created closed audit_opened audit_closed"
    ),
    "worked_on": Told(
        "pending approve",
        "opened revoked",
        "NOT_ASSIGNEE CONFLICT_OF_INTEREST",
        "created claimed released assigned recused closed",
    ),
    "replanned_by_policy": Told(
        "pending approve", "opened", "ACTION_DIGEST_MISMATCH", "created replanned closed"
    ),
}


@pytest.mark.parametrize("name", TALES)
def test_a_tale_comes_to_its_end(name: str) -> None:
    """Every step of the tale has the effect, and the refusals, that the rules give it."""
    stage = TALES[name]()

    told = Told(
        " ".join(stage.statuses()),
        " ".join(stage.gates()),
        " ".join(stage.codes()),
        " ".join(stage.changes()),
    )

    assert told == EXPECTED[name]

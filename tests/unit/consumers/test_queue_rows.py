"""What the queue shows of a control point, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.queue_rows import (
    SCORE_MAX,
    SEPARATOR,
    Kind,
    Ranked,
    Row,
    RowUnreadable,
    Wanted,
    in_order,
    ranked,
    row_of,
)
from core.identifiers import review_task_id
from schemas.headers import rfc3339
from schemas.state import ControlPointState, Slot
from schemas.topics import record_key
from tests import examples as e
from tests.examples.tasks import a_deferred, a_doubtful, an_audited, an_open


def placed(state: ControlPointState) -> Ranked:
    """The control point's place in the queue; it must have one."""
    found = ranked(record_key(state.tenant_id, state.decision_package_id), state)
    assert found is not None
    return found


def row(state: ControlPointState) -> Row:
    """Its row, as it comes back from the projection."""
    return row_of(placed(state).form)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (an_open("p"), "review"),
        (an_open("p", status="escalated"), "review"),
        (a_deferred("p"), "deferred"),
        (a_doubtful("p"), "in_doubt"),
        (an_audited("p"), "audit"),
        (a_doubtful("p", audit=an_audited("p").audit), "in_doubt"),
        (an_audited("p", closed=True), None),
        (an_open("p", status="expired"), None),
        (e.a_state(), None),
    ],
)
def test_a_control_point_asks_for_one_thing_or_for_nothing(
    state: ControlPointState, kind: Kind | None
) -> None:
    """A decision, else what became of its grant, else a verdict."""
    found = ranked(b"k", state)

    assert kind == (row_of(found.form).kind if found else None)


def test_a_row_says_what_a_list_shows() -> None:
    """Who is asked, who holds it and until when."""
    state = an_open(
        "p", assigned_to=e.REVIEWER, lease_until=e.at(60), plan={"priority": 3}, title="A notice"
    )

    form = row(state).form()

    assert form == {
        "kind": "review", "tenant_id": e.TENANT, "decision_package_id": "p",
        "interrupt_id": "p-v1", "review_task_id": review_task_id(e.TENANT, "p", "p-v1"),
        "package_version": 1, "title": "A notice", "status": "pending", "outcome": None,
        "gate": "closed", "risk_level": "high", "priority": 3, "mode": "in_the_loop",
        "authority_transition": "draft_to_send", "required_role": "senior_reviewer",
        "roles": ["senior_reviewer"], "assigned_to": e.REVIEWER,
        "lease_until": rfc3339(e.at(60)),
        "decide_by": rfc3339(e.at(3600)), "deferred_until": None,
        "created_at": rfc3339(e.NOW),
    }  # fmt: skip


def test_an_audit_says_nothing_of_the_decision() -> None:
    """Approved or rejected, in time or escalated, held by whomever: the row is the same."""
    rejected = an_audited("p", ladder_step=1, required_role="head_of_enforcement")
    approved = an_audited("p", outcome="approve", gate="open", assigned_to=e.REVIEWER,
                          lease_until=e.at(60), decide_by=e.at(7))  # fmt: skip

    assert placed(rejected) == placed(approved)
    assert row(rejected).review_task_id == "audit-p"
    assert row(rejected).status is None


def test_priority_goes_before_risk_and_risk_before_the_due_time() -> None:
    """Equal ones stand by their key; what is never due comes last."""
    states = [
        an_open("b-same", risk="low", decide_by=e.at(60)),
        an_open("a-same", risk="low", decide_by=e.at(60)),
        an_open("never", risk="low", decide_by=None),
        an_open("soon", risk="high", decide_by=e.at(60)),
        an_open("sooner", risk="high", decide_by=e.at(59.999)),
        an_open("critical", risk="critical", decide_by=e.at(9000)),
        an_open("first", risk="low", plan={"priority": 9, "effective_risk": "low"}),
        an_open("second", risk="critical", plan={"priority": 8}),
    ]

    found = in_order(placed(state) for state in states)

    assert [row_of(one.form).decision_package_id for one in found] == [
        "first", "second", "critical", "sooner", "soon", "a-same", "b-same", "never",
    ]  # fmt: skip


@pytest.mark.parametrize("due", [None, datetime.max.replace(tzinfo=UTC), datetime.min])
@pytest.mark.parametrize("priority", [0, 9])
@pytest.mark.parametrize("risk", ["low", "critical"])
def test_a_score_is_exact_in_a_double(due: datetime | None, priority: int, risk: str) -> None:
    """At all ends of what it is packed from."""
    if due is not None:
        due = due.replace(tzinfo=UTC)
    state = an_open("p", decide_by=due, plan={"priority": priority, "effective_risk": risk})

    score = placed(state).score

    assert 0 <= score <= SCORE_MAX
    assert int(float(score)) == score


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, True),
        ({"kind": "audit"}, False),
        ({"tenant_id": e.TENANT}, True),
        ({"tenant_id": e.TENANT[:-1]}, False),
        ({"role": "reviewer"}, False),
        ({"role": "senior_reviewer"}, True),
        ({"role": "head_of_enforcement"}, True),
        ({"role": "senior"}, False),
        ({"assignee": e.REVIEWER}, True),
        ({"assignee": ""}, False),
        ({"risk_level": "high"}, True),
        ({"risk_level": "critical"}, False),
        ({"due_before": e.at(3600)}, False),
        ({"due_before": e.at(3600.001)}, True),
        ({"tenant_id": e.TENANT, "role": "reviewer", "risk_level": "high"}, False),
    ],
)
def test_a_row_is_found_by_what_it_is_labelled_with(wanted: dict[str, Any], found: bool) -> None:
    """A slot is found by every role that meets it; all that is asked must hold."""
    state = an_open("p", assigned_to=e.REVIEWER)

    assert found == Wanted(**wanted).matches(placed(state))


def test_what_is_never_due_is_not_due_before_any_time() -> None:
    """It has no due time to compare."""
    assert not Wanted(due_before=e.at(10**9)).matches(placed(an_open("p", decide_by=None)))


@pytest.mark.parametrize("make", [a_doubtful, an_audited])
def test_a_task_that_asks_for_no_role_is_found_by_any(make: Any) -> None:
    """In doubt and audit are for whoever has the scope."""
    state = make("p")

    assert Wanted(kind=row(state).kind, role="reviewer").matches(placed(state))


def test_a_role_outside_the_order_is_found_by_itself_alone() -> None:
    """As the quorum has it."""
    slots = [Slot(role="legal", scope="notice:approve")]
    state = an_open("p", plan={"slots": slots})

    found = [Wanted(role=r).matches(placed(state)) for r in ("legal", "head_of_enforcement")]

    assert found == [True, False]


def test_a_role_cannot_pose_as_another_label() -> None:
    """A policy may name a role with any line."""
    role = f"r{SEPARATOR}kind=audit{SEPARATOR}"
    state = an_open("p", plan={"slots": [Slot(role=role, scope="notice:approve")]})

    assert not Wanted(kind="audit").matches(placed(state))
    assert Wanted(role=role).matches(placed(state))
    assert row(state).roles == [role]


@pytest.mark.parametrize("form", [b"", b"{}", b"{", b"\xff"])
def test_what_no_worker_wrote_is_not_read(form: bytes) -> None:
    """Named, so that the reader can go to the log."""
    with pytest.raises(RowUnreadable):
        row_of(form)

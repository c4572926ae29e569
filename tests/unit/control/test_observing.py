"""What whole stories leave behind in the metrics: names that others graph, and never a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumers.control.loop import Worker
from consumers.health import Health
from consumers.metrics import Metrics
from tests import examples as e
from tests.fakes.memory_broker import MemoryBroker
from tests.stories.stage import AUDITOR, DAY, HEAD, HOUR, MONITOR, OTHER_SENIOR, SENIOR, Stage


class Watched(Stage):
    """A stage whose worker is watched."""

    def __init__(self, **over: Any) -> None:
        super().__init__(**over)
        self.world.cluster.members.clear()
        self.registry = CollectorRegistry()
        self.worker = Worker(
            MemoryBroker(self.world.cluster),
            self.world.store,
            make_judge=self.world.judge,
            trust=self.world.trust,
            clock=self.world.clock,
            health=Health(stalled_after_s=60),
            metrics=Metrics(self.registry),
        )

    def value(self, name: str, **labels: str) -> float | None:
        """A metric's value; None: it was never counted."""
        return self.registry.get_sample_value(f"countersign_{name}", labels)


def test_what_clocks_do_is_counted_by_what_followed() -> None:
    """Warnings, an escalation, a window that nobody used, a grant that ended."""
    stage = Watched()
    stage.request()
    stage.later(DAY + 1)
    window = Watched(mode="on_the_loop", objection_window="1h")
    window.request()
    window.later(HOUR + 1)
    window.later(3 * DAY)

    assert stage.value("timeouts_total", action="sla_warning") == 2
    assert stage.value("timeouts_total", action="escalated") == 1
    assert [stage.value("sla_warnings_total", percent=percent) for percent in ("50", "80")] == [
        1,
        1,
    ]
    assert window.value("timeouts_total", action="window") == 1
    assert window.value("timeouts_total", action="approve") is None
    assert window.value("timeouts_total", action="grant_expired") == 1


def test_leases_and_deferrals_that_end_are_counted() -> None:
    """By their clocks, not when a person ends them."""
    stage = Watched()
    stage.request()
    stage.command(e.a_task_command(**stage.ids()))
    stage.command(e.a_task_command(**stage.ids(), action="release"))
    by_hand = stage.value("timeouts_total", action="released")
    stage.command(e.a_task_command(**stage.ids()))
    stage.later(HOUR)
    stage.decide(SENIOR, "defer", defer_until=stage.world.clock() + timedelta(hours=2))
    stage.later(2 * HOUR + 1)

    assert by_hand is None
    assert stage.value("timeouts_total", action="released") == 1
    assert stage.value("timeouts_total", action="resumed") == 1


def test_differences_of_receipts_are_counted_by_kind() -> None:
    """And what is in doubt now."""
    stage = Watched()
    stage.request()
    stage.decide(SENIOR, "approve")
    stage.receipt(e.an_executed)
    stage.take()
    stage.receipt(e.an_executed, event_id="r-2", action_digest="bb" * 32)
    stage.receipt(e.a_failed, event_id="r-3")
    stage.receipt(e.an_executed, event_id="r-4")
    unknown = e.an_executed(event_id="r-5", grant_id="grant-of-nobody")
    stage.execution(unknown)
    stage.execution(e.a_take(grant_id="grant-of-nobody", attempt_id="a-9"))

    def kind(name: str) -> float | None:
        return stage.value("reconciler_differences", kind=name)

    assert [kind(name) for name in ("without_take", "other_action", "contradiction")] == [1, 1, 1]
    assert kind("without_grant") == 1
    assert kind("in_doubt") is not None


def test_audits_and_exceptions_are_counted() -> None:
    """By verdict and by change; the decision is counted under its name too."""
    stage = Watched(audit_sample=1.0)
    stage.request()
    stage.command(
        e.an_exception(**stage.ids(), expires_at=stage.world.clock() + timedelta(minutes=10))
    )
    stage.later(660)
    stage.decide(SENIOR, "approve")
    stage.command(e.a_verdict(**stage.ids(), reviewer_id=AUDITOR, verdict="disagree"))

    assert stage.value("audits_total", verdict="disagree") == 1
    assert stage.value("decisions_total", decision="audit_verdict", risk_level="high") == 1
    assert stage.value("exceptions_total", change="granted") == 1
    assert stage.value("exceptions_total", change="expired") == 1
    assert stage.value("timeouts_total", action="exception_expired") == 1


@pytest.mark.parametrize("mode", ["in_the_loop", "on_the_loop"])
def test_no_metric_names_a_person_a_package_or_a_tenant(mode: str) -> None:
    """Labels stay few, and reviewers are not ranked on a dashboard."""
    stage = Watched(mode=mode, objection_window="1h", audit_sample=1.0)
    stage.request()
    stage.command(e.a_task_command(**stage.ids(), action="comment", comment="Hm."))
    stage.decide(OTHER_SENIOR, "escalate")
    stage.decide(HEAD, "approve")
    stage.decide(MONITOR, "object")

    labels = {
        value
        for family in stage.registry.collect()
        for sample in family.samples
        for value in sample.labels.values()
    }

    named = {SENIOR, OTHER_SENIOR, HEAD, MONITOR, e.TENANT, e.PACKAGE_ID, e.INTERRUPT_ID, e.AGENT}
    assert labels
    assert not labels & named

"""What the balancer counts. Never a reviewer, package or tenant as a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The balancer's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.assigns = Counter(
            "countersign_balancer_assigns",
            "Assign commands sent. Far more than tasks: their answers do not come back.",
            registry=registry,
        )
        self.refusals = Counter(
            "countersign_balancer_refusals",
            "Assign commands refused, by code. UNAUTHENTICATED: the key; others now and then: races.",
            ["code"],
            registry=registry,
        )
        self.unassigned = Gauge(
            "countersign_balancer_unassigned",
            "Tasks that were looked at in vain: nobody_eligible (add people, or room), not_entitled (give "
            "the balancer a scope of their subject).",
            ["reason"],
            registry=registry,
        )
        self.under_way = Gauge(
            "countersign_balancer_under_way",
            "Assign commands that wait for their outcome. Does not fall: see the workers.",
            registry=registry,
        )
        self.caps = Counter(
            "countersign_reviewer_caps",
            "Caps written: a reviewer reached decisions_per_hour_max. Many: too few reviewers.",
            registry=registry,
        )
        self.unreadable = Counter(
            "countersign_balancer_unreadable",
            "Records that took no effect, by topic; the log says why.",
            ["topic"],
            registry=registry,
        )

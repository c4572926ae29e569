"""What the notifier counts. Never a recipient, tenant or run as a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The notifier's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.notices = Counter(
            "countersign_notices",
            "Opened gates that came to an end, by how. notice_in_doubt: a human must look.",
            ["outcome"],
            registry=registry,
        )
        self.tries = Counter(
            "countersign_notice_tries",
            "Tries to send, by result. Temporary ones that go on: look at the mail server.",
            ["result"],
            registry=registry,
        )
        self.under_way = Gauge(
            "countersign_notices_under_way",
            "Gates taken or being taken, and not reported yet. Does not fall: see /readyz.",
            registry=registry,
        )
        self.partitions = Gauge(
            "countersign_notifier_partitions",
            "Partitions that this process owns. The sum over all processes is the topic's count.",
            registry=registry,
        )

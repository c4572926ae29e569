"""All metrics: name, meaning, unit, and what a bad value asks of the operator.

Never a reviewer, package, run or tenant as a label.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_WAIT_S: Final = (5, 15, 60, 300, 900, 3600, 4 * 3600, 8 * 3600, 86400, 3 * 86400, 7 * 86400)
_HANDLE_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_REDIS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 2)


class Metrics:
    """The control worker's metrics on a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"countersign_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"countersign_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"countersign_{name}", meaning, buckets=buckets, registry=registry)

        self.records = counter(
            "records_total", "Input records by what became of them.", "topic", "outcome"
        )
        self.refusals = counter(
            "refusals_total", "Refusals by code; a jump: a sender is broken or hostile.", "code"
        )
        self.decisions = counter("decisions_total", "Decisions recorded.", "decision", "risk_level")
        self.open = gauge(
            "interrupts_open", "Open interrupts of this worker's tasks.", "risk_level"
        )
        self.overdue = gauge(
            "interrupts_overdue",
            "Clocks that ran out and have not fired yet; growing: the worker or the broker is behind.",
        )
        self.timeouts = counter(
            "timeouts_total",
            "Clocks that ran out, by what followed; window: nobody objected and a gate opened.",
            "action",
        )
        self.sla_warnings = counter(
            "sla_warnings_total",
            "Decisions that have used up so many per cent of their time; many: too few reviewers.",
            "percent",
        )
        self.audits = counter(
            "audits_total", "Audited decisions by verdict; defects: see who may decide.", "verdict"
        )
        self.exceptions = counter(
            "exceptions_total",
            "Policy exceptions granted, revoked, expired; many: the policy does not fit.",
            "change",
        )
        self.gates = counter("gates_total", "Gate changes.", "gate")
        self.grants_open = gauge("grants_open", "Open gates of this worker's tasks.")
        self.grants_in_doubt = gauge(
            "grants_in_doubt", "Taken and unreported; a human must look at each."
        )
        self.decision_wait = histogram(
            "decision_wait_seconds", "From the request to the final decision.", _WAIT_S
        )
        self.handle = histogram(
            "handle_seconds", "From an input's append to its commit.", _HANDLE_S
        )
        self.transactions = counter(
            "transactions_total",
            "Transactions: committed, aborted (normal at a rebalance), lost (the producer too).",
            "result",
        )
        self.oldest_unprocessed = gauge(
            "oldest_unprocessed_seconds", "Age of the oldest record of the batch in hand; 0: idle."
        )
        self.dead_letters = counter(
            "dead_letters_total", "Records that could not be read; see `dlq list`.", "reason"
        )
        self.directory_refused = counter(
            "directory_refused_total",
            "Records of the directories that take no effect, by reason, again each time they are "
            "read; unsigned, signature, dual_control, replayed, proof: somebody may write who must "
            "not; content, undecodable: mend the file and apply it again.",
            "reason",
        )
        self.misrouted = counter(
            "misrouted_total",
            "Records on another partition than their key's; set their producer's partitioner to "
            "murmur2_random.",
        )
        self.fenced = gauge(
            "tasks_fenced", "Tasks that stopped; `/readyz` and the log name each with its mend."
        )
        self.restore = histogram(
            "restore_seconds", "Taking over a task.", (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)
        )
        self.store_altered = counter(
            "store_altered_total",
            "Values in Redis that no worker wrote, or not last; the part was filled anew from the "
            "log and nothing was decided by them. More than 0: somebody else writes to Redis.",
        )
        self.redis = histogram("redis_seconds", "A round trip to Redis.", _REDIS_S)
        self.reconciler = gauge(
            "reconciler_differences",
            "Grants and receipts that do not agree: in_doubt (now), and since the start without_grant, "
            "without_take, other_action, contradiction; `countersign reconcile` names each.",
            "kind",
        )
        self.unsigned_mode = gauge(
            "unsigned_mode", "1: anyone may decide (--insecure-unsigned); never in production."
        )
        self.build = gauge("build_info", "1; the release that runs.", "version")
        self.build.labels(_version()).set(1)


def _version() -> str:
    try:
        return version("countersign")
    except PackageNotFoundError:
        return "unknown"

"""What a handled record leaves behind for operators: metrics and one log line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from consumers.control.judging import Outcome
from consumers.control.ports import Tag
from consumers.control.view import OPEN_TAGS
from consumers.metrics import Metrics
from core.context import Event
from schemas.directory import PolicyExceptionChanged
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ReviewTaskEvent,
    ToolGateEvent,
)

logger: Final = structlog.get_logger("countersign.control")
_TAKE: Final = "grant.take"
_BY_CLOCK: Final = frozenset({"sla_warning", "released", "resumed", "in_doubt"})
"""Changes of the review task that a clock brings about."""


class Observer:
    """Turns outcomes into metrics and log lines. No package text, comment or token is shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def handled(self, outcome: Outcome, now: datetime) -> None:
        """One input or clock was committed."""
        metrics = self._metrics
        if outcome.verdict == "fired":
            for action in filter(None, map(_by_clock, outcome.events)):
                metrics.timeouts.labels(action).inc()
        else:
            metrics.records.labels(outcome.origin.topic, outcome.verdict).inc()
            metrics.handle.observe(max((now - outcome.origin.append_time).total_seconds(), 0.0))
        if outcome.verdict == "dead_letter":
            metrics.dead_letters.labels(outcome.reason.partition(":")[0]).inc()
        if outcome.verdict == "forwarded":
            metrics.misrouted.inc()
        for event in outcome.events:
            self._counted(event, outcome.risk)
        self._log(outcome)

    def standing(self, counts: Sequence[Mapping[Tag, int]]) -> None:
        """How the control points of the tasks stand now, one mapping a task."""
        total: Counter[Tag] = Counter()
        for count in counts:
            total.update(count)
        for risk, tag in OPEN_TAGS.items():
            self._metrics.open.labels(risk).set(total[tag])
        self._metrics.grants_open.set(total["grant_open"])
        self._metrics.grants_in_doubt.set(total["grant_in_doubt"])
        self._metrics.reconciler.labels("in_doubt").set(total["grant_in_doubt"])

    def _counted(self, event: Event, risk: str) -> None:
        metrics = self._metrics
        match event:
            case CommandRefused():
                metrics.refusals.labels(event.code).inc()
                if event.code == "UNKNOWN_GRANT" and event.refused_type != _TAKE:
                    metrics.reconciler.labels("without_grant").inc()
            case ToolGateEvent():
                metrics.gates.labels(event.gate).inc()
            case InterruptStatusChanged() if event.final:
                wait = (event.occurred_at - event.created_at).total_seconds()
                metrics.decision_wait.observe(max(wait, 0.0))
            case HumanDecisionEvent():
                metrics.decisions.labels(event.decision, risk).inc()
                if event.verdict is not None:
                    metrics.audits.labels(event.verdict).inc()
            case ReviewTaskEvent() if event.difference is not None:
                metrics.reconciler.labels(event.difference).inc()
            case ReviewTaskEvent() if event.sla_percent is not None:
                metrics.sla_warnings.labels(str(event.sla_percent)).inc()
            case PolicyExceptionChanged():
                metrics.exceptions.labels(event.change).inc()
            case _:
                pass

    def _log(self, outcome: Outcome) -> None:
        codes = [e.code for e in outcome.events if isinstance(e, CommandRefused)]
        said: dict[str, object] = {
            "verdict": outcome.verdict,
            "type": outcome.ce_type,
            "origin": str(outcome.origin),
            "seq": outcome.seq,
        }
        if outcome.key is not None:
            said["key"] = outcome.key.decode(errors="replace")[:260]
        if codes:
            said["codes"] = ",".join(codes)
        if outcome.reason:
            said["reason"] = outcome.reason
        if outcome.verdict == "forwarded":
            said["mend"] = "set the producer's partitioner to murmur2_random"
            logger.warning("handled", **said)
        elif outcome.verdict == "tick":
            logger.debug("handled", **said)
        else:
            logger.info("handled", **said)


def _by_clock(event: Event) -> str | None:
    """What a clock that ran out did, in one word; None: the event only goes with another."""
    match event:
        case InterruptStatusChanged(outcome="approve"):
            return "window"  # no other clock opens a gate: nobody objected in time
        case InterruptStatusChanged() if event.deferred_until is not None:
            return "deferred"
        case InterruptStatusChanged():
            return event.outcome or event.status
        case ReviewTaskEvent() if event.change in _BY_CLOCK:
            return event.change
        case ToolGateEvent(gate="expired"):
            return "grant_expired"
        case PolicyExceptionChanged():
            return "exception_expired"
        case _:
            return None

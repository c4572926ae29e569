"""First figures: cycles a second with a backlog, and the latency of a decision at a fixed rate.

    python -m tests.benchmark.first_figures [--cycles 2000] [--rate 50] [--seconds 20]

A cycle is a signed request and a signed approval: two records in, a decision, a status, a gate, two
task events, two journal entries and two states out. Times are append times of the broker, so no
other clock has a say. Printed as JSON. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from consumers.reading import Read
from deploy.dev_stack.local import isolated
from schemas.events import HumanDecisionEvent
from tests import examples as e
from tests.support.deployment import Deployment, deployed
from tests.support.eventually import eventually


def _send(deployment: Deployment, numbers: range, rate: float | None) -> None:
    """Requests first, then approvals, at a rate from intended send times (open loop)."""
    pause = Event()
    with deployment.publishing() as send:
        for n in numbers:
            package = e.a_package(decision_package_id=f"pkg-{n}")
            request = e.a_request(interrupt_id=f"int-{n}", package=package)
            send(request, e.AGENT, request.interrupt_id)
        began = monotonic()
        for at, n in enumerate(numbers):
            if rate is not None:
                pause.wait(max(began + at / rate - monotonic(), 0))
            command = e.a_decision(
                command_id=f"cmd-{n}", idempotency_key=f"key-{n}", decision_package_id=f"pkg-{n}"
            )
            send(command, e.REVIEWER, command.command_id)


def _decisions(deployment: Deployment) -> dict[str, Read]:
    from schemas.codec import decode

    found = {}
    for read in deployment.reads("human.decision_recorded"):
        record = decode(read.value, read.headers)
        assert isinstance(record, HumanDecisionEvent)
        found[record.command_id] = read
    return found


def _wait(deployment: Deployment, count: int) -> None:
    topic = "human.decision_recorded"
    eventually(lambda: len(deployment.reads(topic)) >= count, 600, what="all decisions")


def _quantile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(int(len(values) * share), len(values) - 1)], 1)


def measure(cycles: int, rate: float, seconds: float) -> dict[str, Any]:
    """The figures; times in milliseconds, throughput in cycles a second."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(isolated(directory / "servers"))
        (directory / "deployment").mkdir()
        deployment = stack.enter_context(
            deployed(servers.bootstrap_servers, servers.redis_url, directory / "deployment")
        )
        _send(deployment, range(cycles), None)
        deployment.worker(wait=False)
        _wait(deployment, cycles)
        entries = deployment.reads("audit-journal")
        span = (max(r.appended for r in entries) - min(r.appended for r in entries)).total_seconds()
        timed = range(cycles, cycles + int(rate * seconds))
        _send(deployment, timed, rate)
        _wait(deployment, cycles + len(timed))
        decisions = _decisions(deployment)
        commands = {
            dict(r.headers)["ce_id"]: r.appended for r in deployment.reads("decision-command")
        }
        latencies = [
            (decisions[f"cmd-{n}"].appended - commands[f"cmd-{n}".encode()]).total_seconds() * 1000
            for n in timed
        ]
    return {
        "cycles": cycles,
        "cycles_per_s": round(cycles / span, 1),
        "rate_per_s": rate,
        "decisions": len(latencies),
        "command_append_to_decision_append_ms": {
            "p50": _quantile(latencies, 0.5),
            "p99": _quantile(latencies, 0.99),
            "max": round(max(latencies), 1),
        },
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.cycles, asked.rate, asked.seconds), indent=2))


if __name__ == "__main__":
    main()

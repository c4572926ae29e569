"""What one tenant's flood costs another: from its request to `interrupt.opened`, with and without.

    python -m tests.benchmark.flood [--requests 10000] [--seconds 30] [--limit 1000] [--rate 0]

One worker, one broker. The other tenant asks once a second, first in peace, then while the flood is
in the log; both with the limit on what a tenant has open and without, each in a deployment of its
own, in one run. Times are append times of the broker, so no other clock has a say. `to_quiet` sets a
quantile beside the same one in peace, so that a slow machine can be told from a slow answer; of one
request a second, p99 is the slowest. Printed as JSON. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final

from confluent_kafka import Producer

from consumers.reading import Read
from deploy.dev_stack.local import Isolated, isolated
from producers.connection import KafkaConfig, logger
from producers.publisher import Published, Publisher, producer_settings
from schemas.codec import decode
from schemas.events import CommandRefused, InterruptStatusChanged
from schemas.headers import header
from schemas.model import Record
from schemas.requests import InterruptRequested
from tests import examples as e
from tests.support.deployment import Deployment, deployed

OTHER_TENANT: Final = "globex"
OTHER_AGENT: Final = "agent:globex"
ANSWERED_WITHIN_S: Final = 900.0
LOOK_EVERY_S: Final = 5.0
"""Reading all answers costs the broker something; so seldom, and only once nothing is sent."""
Prepared = tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]


class _Preparer(Publisher):
    """Keeps what it would publish, so that signing does not slow the flood down."""

    def __init__(self, config: KafkaConfig) -> None:
        super().__init__(config)
        self.prepared: list[Prepared] = []

    def publish_raw(
        self, topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
    ) -> Published:
        self.prepared.append((topic, key, value, headers))
        return Published(topic, -1, -1)


def _request(tenant_id: str, agent: str, name: str) -> InterruptRequested:
    package = e.a_package(
        decision_package_id=name, tenant_id=tenant_id, proposed_by=agent, drafted_by=agent
    )
    return e.a_request(
        interrupt_id=f"int-{name}", tenant_id=tenant_id, requested_by=agent, package=package
    )


def _prepared(deployment: Deployment, requests: int) -> list[Prepared]:
    with _Preparer(deployment.kafka) as out:
        for n in range(requests):
            request = _request(e.TENANT, e.AGENT, f"flood-{n}")
            out.publish(
                request, identity=deployment.identity(e.AGENT), record_id=request.interrupt_id
            )
        return out.prepared


def _asked(deployment: Deployment, phase: str, seconds: int, flood: _Flood | None) -> None:
    """The other tenant's requests, once a second from intended send times (open loop)."""
    pause = Event()
    with deployment.publishing() as send:
        began = monotonic()
        for n in range(seconds):
            due = began + n
            while (left := due - monotonic()) > 0:
                if flood is not None:
                    flood.send(monotonic() - began)
                pause.wait(min(left, 0.05))
            request = _request(OTHER_TENANT, OTHER_AGENT, f"{phase}-{n}")
            send(request, OTHER_AGENT, request.interrupt_id)
            if flood is not None:
                flood.send(monotonic() - began)


class _Flood:
    """Prepared requests, sent as fast as the broker takes them, or at a rate."""

    def __init__(self, config: KafkaConfig, prepared: Sequence[Prepared], rate: float) -> None:
        self._producer = Producer(producer_settings(config), logger=logger)
        self._left = list(reversed(prepared))
        self._sent = 0
        self._rate = rate

    def send(self, seconds: float) -> None:
        """As many as are due by then."""
        while self._left and (not self._rate or self._sent < seconds * self._rate):
            topic, key, value, headers = self._left.pop()
            self._producer.produce(topic, value=value, key=key, headers=list(headers))
            self._sent += 1
        self._producer.poll(0)

    def finish(self) -> None:
        """Waits until all have landed."""
        while self._left:
            self.send(float("inf"))
        self._producer.flush(60)


def _answers(deployment: Deployment) -> dict[str, tuple[Read, Record]]:
    """By interrupt: its first answer."""
    found: dict[str, tuple[Read, Record]] = {}
    for topic in ("interrupt-status", "command-refused"):
        for read in deployment.reads(topic):
            record = decode(read.value, read.headers)
            if isinstance(record, InterruptStatusChanged):
                found.setdefault(record.interrupt_id, (read, record))
            elif isinstance(record, CommandRefused):
                found.setdefault(record.command_id, (read, record))
    return found


def _all_answered(deployment: Deployment, wanted: int) -> dict[str, tuple[Read, Record]]:
    pause, deadline = Event(), monotonic() + ANSWERED_WITHIN_S
    while len(found := _answers(deployment)) < wanted:
        if monotonic() > deadline:
            raise TimeoutError(f"{len(found)} of {wanted} answers after {ANSWERED_WITHIN_S:g} s")
        pause.wait(LOOK_EVERY_S)
    return found


def _delays_ms(
    answers: dict[str, tuple[Read, Record]], sent: dict[str, datetime], phase: str
) -> list[float]:
    return [
        (answers[name][0].appended - at).total_seconds() * 1000
        for name, at in sent.items()
        if name.startswith(f"int-{phase}-")
    ]


def _policies(deployment: Deployment, limit: int | None) -> None:
    for tenant_id, agent in ((e.TENANT, e.AGENT), (OTHER_TENANT, OTHER_AGENT)):
        form = e.a_policy_form(tenant_id=tenant_id)
        if limit is not None:
            form["defaults"] = form.get("defaults", {}) | {"open_max": limit}
        deployment.publish_policy(form)
        deployment.publish_people(
            e.an_agent(agent_id=agent, tenant_id=tenant_id),
            e.a_reviewer(tenant_id=tenant_id, active_until=None),
        )


def _phases(
    servers: Isolated,
    directory: Path,
    *,
    requests: int,
    seconds: int,
    limit: int | None,
    rate: float,
) -> dict[str, Any]:
    """One deployment: quiet, then flooded."""
    directory.mkdir()
    with deployed(
        servers.bootstrap_servers, servers.redis_url, directory, people=False
    ) as deployment:
        deployment.add_key(OTHER_AGENT, agent_id=OTHER_AGENT, tenant_id=OTHER_TENANT)
        _policies(deployment, limit)
        deployment.worker()
        _asked(deployment, "warm", 3, None)
        _asked(deployment, "quiet", seconds, None)
        flood = _Flood(deployment.kafka, _prepared(deployment, requests), rate)
        _asked(deployment, "flooded", seconds, flood)
        flood.finish()
        answers = _all_answered(deployment, 3 + 2 * seconds + requests)
        sent = {
            (header(read.headers, "ce_id") or b"").decode(): read.appended
            for read in deployment.reads("interrupt-requested")
            if dict(read.headers).get("ce_type") != b"clock.tick"
        }
    flooded = {name: at for name, at in sent.items() if name.startswith("int-flood-")}
    spent = max(answers[name][0].appended for name in flooded) - min(flooded.values())
    refused = sum(isinstance(answers[name][1], CommandRefused) for name in flooded)
    quiet, during = (_delays_ms(answers, sent, phase) for phase in ("quiet", "flooded"))
    return {
        "open_max": limit,
        "flood": {
            "opened": requests - refused,
            "refused": refused,
            "answered_within_s": round(spent.total_seconds(), 1),
            "answered_per_s": round(requests / max(spent.total_seconds(), 0.001), 1),
        },
        "quiet_ms": _quantiles(quiet),
        "flooded_ms": _quantiles(during),
        "to_quiet": {
            name: round(value / max(_quantiles(quiet)[name], 0.1), 1)
            for name, value in _quantiles(during).items()
        },
    }


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        name: round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def measure(requests: int, seconds: int, limit: int, rate: float) -> dict[str, Any]:
    """The figures, in milliseconds unless said otherwise."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(isolated(directory / "servers"))
        phases = {
            name: _phases(
                servers, directory / name, requests=requests, seconds=seconds, limit=some, rate=rate
            )
            for name, some in (("limits_off", None), ("limits_on", limit))
        }
    return {"requests": requests, "rate_per_s": rate or "all at once", **phases}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--limit", type=int, default=1000, help="open_max of both tenants")
    parser.add_argument("--rate", type=float, default=0, help="of the flood, a second; 0: at once")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.requests, asked.seconds, asked.limit, asked.rate), indent=2))


if __name__ == "__main__":
    main()

"""How long the first 50 of 10 000 open tasks take, as a reader gets them from Redis.

    python -m tests.benchmark.queue_listing [--tasks 10000] [--partitions 12] [--times 200]

Fills a Redis of its own as workers do, then lists with and without filters. Each figure also stands
as a ratio to the same round trips with a bare ZRANGE of 50 of each part, measured in the same run,
so that a slow machine can be told from a slow list. `script` is the time for which Redis serves
nobody else because of one page, as it counts it itself. Printed as JSON. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import redis

from consumers.control.ports import StateStore, Stored, Watermark
from consumers.control.store import RedisStore, redis_key
from consumers.control.view import stored
from consumers.queue_projection import QueueProjection, RedisQueue
from consumers.queue_rows import Wanted
from deploy.dev_stack.local import redis_in
from schemas.codec import encode
from schemas.topics import partition_for, record_key
from schemas.vocabulary import RISK_LEVELS
from tests import examples as e
from tests.examples.tasks import an_open

PREFIX: Final = "bench."
LIMIT: Final = 50
PORTION: Final = 200
WANTED: Final = {
    "unfiltered": Wanted(),
    "unheld_of_a_role": Wanted(role="senior_reviewer", assignee=""),
    "of_a_risk": Wanted(risk_level="low"),
    "of_a_tenant": Wanted(tenant_id="tenant-7"),
    "due_before": Wanted(due_before=e.at(600)),
    "held_by_one": Wanted(assignee="r.3"),
    "all_looked_through_for_none": Wanted(role="nobody"),
}


def _changes(tasks: int) -> Iterator[tuple[bytes, Stored]]:
    """Open tasks of ten tenants, a tenth of them held, due within a day."""
    draw = random.Random(1)
    for n in range(tasks):
        state = an_open(
            f"pkg-{n}",
            tenant_id=f"tenant-{draw.randrange(10)}",
            decide_by=e.at(draw.random() * 86_400),
            assigned_to=f"r.{draw.randrange(100)}" if draw.random() < 0.1 else None,
            plan={"effective_risk": draw.choice(RISK_LEVELS), "priority": draw.choice((0, 0, 5))},
        )
        key = record_key(state.tenant_id, state.decision_package_id)
        yield key, stored(encode(state), state)


def _fill(store: StateStore, tasks: int, partitions: int) -> dict[str, float]:
    """Restores every task; how long the store took for a portion of it, with and without rows."""
    parts: list[dict[bytes, Stored]] = [{} for _ in range(partitions)]
    for key, change in _changes(tasks):
        parts[partition_for(key, partitions)][key] = change
    took: dict[str, list[float]] = {"with_rows": [], "without_rows": []}
    for number, part in enumerate(parts):
        portions = [
            dict(list(part.items())[at : at + PORTION]) for at in range(0, len(part), PORTION)
        ]
        bare = [{k: Stored(c.value, c.due, c.tags) for k, c in p.items()} for p in portions]
        for name, some in (("without_rows", bare), ("with_rows", portions)):
            token = store.begin_restore(number)
            for portion in some:
                began = perf_counter()
                store.restore(number, token, portion)
                if len(portion) == PORTION:
                    took[name].append(perf_counter() - began)
            store.end_restore(number, token, Watermark("journal", 0))
    return {name: _ms(_quantile(times, 0.5)) for name, times in took.items() if times}


def _timed(call: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = perf_counter()
        call()
        found.append(perf_counter() - began)
    return found


def _baseline(server: Any, partitions: int) -> Callable[[], object]:
    """What no list can do without: the first 50 ranks of each part, in one round trip."""

    def ask() -> object:
        trip = server.pipeline(transaction=False)
        for number in range(partitions):
            trip.zrange(redis_key(PREFIX, number, "queue"), 0, LIMIT - 1, withscores=True)
        return trip.execute()

    return ask


def _figures(server: Any, queue: QueueProjection, partitions: int, times: int) -> dict[str, Any]:
    base = _timed(_baseline(server, partitions), times)
    ping = _timed(server.ping, times)
    lists = {}
    for name, wanted in WANTED.items():
        server.config_resetstat()
        took = _timed(lambda wanted=wanted: queue.top(wanted, LIMIT), times)  # type: ignore[misc]  # bound at once
        scripts = server.info("commandstats")["cmdstat_eval"]
        slowest = server.info("latencystats")["latency_percentiles_usec_eval"]
        lists[name] = {
            "rows": len(queue.top(wanted, LIMIT)),
            "p50_ms": _ms(_quantile(took, 0.5)),
            "p99_ms": _ms(_quantile(took, 0.99)),
            "p50_to_baseline": round(_quantile(took, 0.5) / _quantile(base, 0.5), 1),
            "scripts": scripts["calls"] // times,
            "script_mean_ms": round(scripts["usec_per_call"] / 1000, 3),
            "script_p99_ms": round(slowest["p99"] / 1000, 3),
        }
    return {
        "ping_p50_ms": _ms(_quantile(ping, 0.5)),
        "baseline_p50_ms": _ms(_quantile(base, 0.5)),
        "lists": lists,
    }


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def measure(tasks: int, partitions: int, times: int) -> dict[str, Any]:
    """The figures, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        own = redis_in(Path(directory))
        own.tethered = True
        own.start()
        try:
            with (
                closing(RedisStore(own.url, prefix=PREFIX, mac_key=b"k" * 32)) as store,
                closing(RedisQueue(own.url, prefix=PREFIX)) as source,
                closing(redis.Redis.from_url(own.url)) as server,
            ):
                portion = _fill(store, tasks, partitions)
                rows = sum(
                    len(value)
                    for number in range(partitions)
                    for value in server.hvals(redis_key(PREFIX, number, "rows"))
                )
                queue = QueueProjection(source, partitions)
                return {
                    "tasks": tasks,
                    "partitions": partitions,
                    "row_bytes": rows // tasks,
                    f"write_{PORTION}_p50_ms": portion,
                    **_figures(server, queue, partitions, times),
                }
        finally:
            own.kill()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--times", type=int, default=200)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.tasks, asked.partitions, asked.times), indent=2))


if __name__ == "__main__":
    main()

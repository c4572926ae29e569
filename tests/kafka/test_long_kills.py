"""Longer than a commit may take: workers killed again and again under load, Redis emptied."""

from __future__ import annotations

import random
from pathlib import Path
from threading import Event

import pytest
import redis

from core.journal import verify_link
from deploy.dev_stack.local_redis import LocalRedis
from schemas.codec import encode
from schemas.events import CommandRefused, HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from schemas.journal import JournalEntry
from tests import examples as e
from tests.kafka.test_worker import SESSION, a_decision_on, a_request_of
from tests.support.deployment import OTHER_REVIEWER, deployed
from tests.support.eventually import eventually
from tests.support.servers import TestServers

PACKAGES = 300
KILLS = 6


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_doubled_while_workers_die(
    servers: TestServers, own_redis: LocalRedis, tmp_path: Path, seed: int
) -> None:
    """Two workers, six kills and FLUSHALLs between: one decision a package, an unbroken chain."""
    drawn, pause = random.Random(seed), Event()
    with deployed(servers.bootstrap_servers, own_redis.url, tmp_path) as made:
        workers = [made.worker(wait=False, **SESSION) for _ in range(2)]
        client = redis.Redis.from_url(own_redis.url)
        with made.publishing() as send:
            for number in range(PACKAGES):
                request = a_request_of(number)
                send(request, e.AGENT, request.interrupt_id)
                for by, decision in ((e.REVIEWER, "approve"), (OTHER_REVIEWER, "reject")):
                    command = a_decision_on(number, by, decision)
                    send(command, by, command.command_id)
                if number % (PACKAGES // KILLS) == PACKAGES // KILLS - 1:
                    doomed = drawn.choice(workers)
                    pause.wait(drawn.uniform(0.0, 3.0))
                    doomed.kill()
                    client.flushall()
                    doomed.start(wait=False)

        def answered() -> bool:
            answers = ("human.decision_recorded", "command-refused")
            return sum(len(made.reads(topic)) for topic in answers) >= 2 * PACKAGES

        eventually(answered, 240)
        client.close()
        wanted = sorted(f"pkg-{number}" for number in range(PACKAGES))
        decided = made.records("human.decision_recorded", HumanDecisionEvent)
        refused = made.records("command-refused", CommandRefused)
        finals = [s for s in made.records("interrupt-status", InterruptStatusChanged) if s.final]
        gates = made.records("tool-gate", ToolGateEvent)

        assert sorted(d.decision_package_id for d in decided) == wanted
        assert sorted(r.decision_package_id for r in refused) == wanted
        assert sorted(s.decision_package_id for s in finals) == wanted
        assert sorted(g.decision_package_id for g in gates) == wanted
        entries: dict[int, list[JournalEntry]] = {}
        for entry in made.records("audit-journal", JournalEntry):
            entries.setdefault(entry.partition, []).append(entry)
        for chain in entries.values():
            before = chain[0].prev_hash
            for seq, entry in enumerate(chain):
                verify_link(entry, encode(entry), seq=seq, prev_hash=before)
                before = entry.hash

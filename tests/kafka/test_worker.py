"""The control worker as a real process on real Kafka and real Redis."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Final

import fastavro
import fastavro.schema
import pytest
import redis

import schemas
from consumers.reading import Read
from deploy.dev_stack.local import Isolated
from deploy.dev_stack.local_redis import LocalRedis
from producers.agent import RequestRefused
from schemas.commands import HumanDecisionCommand
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    ToolGateEvent,
)
from schemas.execution import GrantTake
from schemas.journal import JournalEntry
from schemas.requests import InterruptRequested
from tests import examples as e
from tests.support.deployment import OTHER_REVIEWER, Deployment, deployed
from tests.support.eventually import eventually
from tests.support.servers import TestServers

SESSION: Final = {"KAFKA_SESSION_TIMEOUT_MS": "6000"}


def a_request_of(number: int, **package: Any) -> InterruptRequested:
    """One of many requests."""
    return e.a_request(
        interrupt_id=f"int-{number}",
        package=e.a_package(decision_package_id=f"pkg-{number}", **package),
    )


def a_decision_on(number: int, by: str, decision: str) -> HumanDecisionCommand:
    """A reviewer's decision on one of many."""
    return e.a_decision(
        command_id=f"cmd-{number}-{by}-{decision}",
        idempotency_key=f"key-{number}-{by}-{decision}",
        decision_package_id=f"pkg-{number}",
        reviewer_id=by,
        decision=decision,
        action_digest=None,
    )


def statuses(deployment: Deployment) -> list[str]:
    """The statuses published so far."""
    return [s.status for s in deployment.records("interrupt-status", InterruptStatusChanged)]


def test_an_approval_opens_the_gate_in_the_transaction_of_its_decision(
    deployment: Deployment,
) -> None:
    """Both are seen at once, with the journal entry that explains them."""
    deployment.worker()
    agent, reviewer = deployment.agent(), deployment.reviewer()
    request = e.a_request()

    asked = agent.submit(request)
    answer = reviewer.decide(e.PACKAGE_ID, "approve", version=1, comment="read")

    assert isinstance(answer, HumanDecisionEvent) and answer.final
    assert agent.wait(asked, timeout_s=10).approved
    (gate,) = deployment.records("tool-gate", ToolGateEvent)
    assert gate.decision_event_ids == [answer.event_id]
    entry = deployment.records("audit-journal", JournalEntry)[-1]
    ids = [event_id for event_id in (answer.event_id, gate.event_id)]
    assert all(any(i.encode() in event for event in entry.events) for i in ids)


def test_every_avro_record_decodes_with_the_published_schemas_alone(
    deployment: Deployment,
) -> None:
    """Nothing but schemas/avro/ and fastavro is needed to read what stands on the topics."""
    deployment.worker()
    deployment.agent().submit(e.a_request())
    deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")
    by_fingerprint = {}
    for path in (Path(schemas.__file__).parent / "avro").glob("*.avsc"):
        schema = fastavro.parse_schema(json.loads(path.read_text()))
        text = fastavro.schema.to_parsing_canonical_form(schema)
        by_fingerprint[bytes.fromhex(fastavro.schema.fingerprint(text, "CRC-64-AVRO"))] = schema
    topics = (
        "interrupt-requested", "decision-command", "human.decision_recorded", "tool-gate",
        "interrupt-status", "review-task", "audit-journal", "interrupt-state", "control-policy",
        "reviewer-directory",
    )  # fmt: skip

    found = [read for topic in topics for read in deployment.reads(topic)]

    assert {read.topic.removeprefix(deployment.settings.topic_prefix) for read in found} == {
        *topics
    }
    for read in found:
        value = read.value or b""
        body = io.BytesIO(value[10:])
        assert value[:2] == b"\xc3\x01"
        fastavro.schemaless_reader(body, by_fingerprint[value[2:10]], None)
        assert body.read() == b""


def test_garbage_is_dead_lettered_and_the_next_good_record_is_handled(
    deployment: Deployment,
) -> None:
    """With its reason and its place; a null value and a null key too."""
    worker = deployment.worker()
    from producers.publisher import Publisher

    with Publisher(deployment.kafka) as out:
        topic = deployment.topic("decision-command")
        for key, value in ((b"acme/pkg", b"garbage"), (b"acme/pkg", b""), (None, b"{}")):
            out.publish_raw(topic, key, value, [("ce_type", b"human.decision_command")])
        out.publish_raw(topic, b"acme/pkg", b"x" * 300_000, [("ce_type", b"no.such")])
    deployment.agent().submit(e.a_request())

    def letters() -> list[Read]:
        found = deployment.reads("dead-letter")
        return found if len(found) == 4 else []

    reasons = sorted(dict(read.headers)["dlq_reason"] or b"" for read in eventually(letters))
    assert reasons == [b"unknown_encoding"] * 3 + [b"value_too_large"]
    assert "countersign_dead_letters_total" in worker.metrics()


def test_a_decision_on_an_idle_partition_expires_by_the_workers_own_ticks(
    servers: TestServers, tmp_path: Path
) -> None:
    """Nothing else arrives; escalated, then expired, and the late decision is refused."""
    form = e.a_policy_form()
    form["defaults"] |= {
        "decide_within": "2s",
        "escalation": [{"role": "head_of_enforcement", "within": "2s"}],
    }
    with deployed(servers.bootstrap_servers, servers.redis_url, tmp_path, people=False) as made:
        made.publish_policy(form)
        made.publish_people()
        made.worker()
        asked = made.agent().submit(e.a_request())

        outcome = made.agent().wait(asked, timeout_s=30)
        late = made.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="late")

        assert (outcome.status, outcome.approved) == ("expired", False)
        assert statuses(made) == ["pending", "escalated", "expired"]
        assert isinstance(late, CommandRefused) and late.code == "TOO_LATE"
        assert [g.gate for g in made.records("tool-gate", ToolGateEvent)] == ["denied"]


def test_a_refused_request_says_what_to_mend(deployment: Deployment) -> None:
    """The agent is told the code and the field."""
    deployment.worker()

    with pytest.raises(RequestRefused) as refused:
        deployment.agent().submit(e.a_request(package=e.a_package(evidence_refs=[])))

    assert refused.value.refusal.code == "PACKAGE_INCOMPLETE"
    assert "evidence_refs" in refused.value.refusal.message


STEPS: Final = ("begin", "produce", "send_positions", "commit", "committed", "apply", "applied")


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_of_a_decision_is_as_if_it_had_not_been(
    deployment: Deployment, step: str
) -> None:
    """Killed right there, started again: one decision, one gate, one grant, an unbroken chain."""
    agent = deployment.agent()
    deployment.publish(e.a_request(), by=e.AGENT, record_id=e.INTERRUPT_ID)
    decision = e.a_decision()
    deployment.publish(decision, by=e.REVIEWER, record_id=decision.command_id)
    doomed = deployment.service(
        step, "1", module="tests.kafka.crashing_worker", wait=False, **SESSION
    )
    assert doomed.wait_ended() == -9

    deployment.worker(wait=False, **SESSION)

    outcome = agent.wait(e.INTERRUPT_ID, timeout_s=60, decision_package_id=e.PACKAGE_ID)
    assert outcome.approved
    assert statuses(deployment) == ["pending", "decided"]
    decisions = deployment.records("human.decision_recorded", HumanDecisionEvent)
    assert [d.command_id for d in decisions] == [decision.command_id]
    assert [g.gate for g in deployment.records("tool-gate", ToolGateEvent)] == ["opened"]
    entries = deployment.records("audit-journal", JournalEntry)
    assert [entry.seq for entry in entries] == list(range(len(entries)))


def test_an_emptied_redis_gives_the_same_answers(
    servers: TestServers, own_redis: LocalRedis, tmp_path: Path
) -> None:
    """FLUSHALL between a request, its approval, a repeat of it and a take."""
    with deployed(servers.bootstrap_servers, own_redis.url, tmp_path) as made:
        made.worker()
        client = redis.Redis.from_url(own_redis.url)
        made.agent().submit(e.a_request())
        client.flushall()
        first = made.reviewer().decide(
            e.PACKAGE_ID, "approve", version=1, comment="read", idempotency_key="once"
        )
        client.flushall()
        again = made.reviewer().decide(
            e.PACKAGE_ID, "approve", version=1, comment="read", idempotency_key="once"
        )
        client.flushall()
        client.close()

        assert isinstance(first, HumanDecisionEvent)
        assert isinstance(again, CommandRefused)
        assert (again.code, again.first_event_id) == ("DUPLICATE_COMMAND", first.event_id)


def test_a_redis_that_is_away_is_waited_for(
    servers: TestServers, own_redis: LocalRedis, tmp_path: Path
) -> None:
    """/readyz names it; nothing is skipped; it goes on by itself."""
    with deployed(servers.bootstrap_servers, own_redis.url, tmp_path) as made:
        worker = made.worker()
        made.agent().submit(e.a_request())
        own_redis.kill()
        decision = e.a_decision()
        made.publish(decision, by=e.REVIEWER, record_id=decision.command_id)
        said = eventually(lambda: "redis" in worker.get("/readyz")[1])
        assert statuses(made) == ["pending"]
        own_redis.start()

        outcome = made.agent().wait(e.INTERRUPT_ID, timeout_s=30)

        assert said and outcome.approved
        eventually(worker.ready)


def test_a_broker_that_is_away_is_waited_for(own_servers: Isolated, tmp_path: Path) -> None:
    """/readyz names it, an idle worker's too; it goes on by itself, with what it had."""
    with deployed(own_servers.bootstrap_servers, own_servers.redis_url, tmp_path) as made:
        worker = made.worker()
        made.agent().submit(e.a_request())
        own_servers.kill_broker()
        eventually(lambda: "kafka" in worker.get("/readyz")[1], 40)
        assert worker.get("/livez")[0] == 200
        own_servers.start_broker()
        eventually(worker.ready, 60)

        answer = made.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")

        assert isinstance(answer, HumanDecisionEvent)
        assert statuses(made) == ["pending", "decided"]


def test_a_worker_that_is_told_to_stop_hands_over_at_once(deployment: Deployment) -> None:
    """SIGTERM: exit 0, out of the group; the next one goes on without waiting for a time-out."""
    first = deployment.worker()
    deployment.agent().submit(e.a_request())
    first.stop()

    deployment.worker()
    answer = deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")

    assert isinstance(answer, HumanDecisionEvent)


def test_of_opposite_decisions_sent_at_once_one_is_recorded_and_one_refused(
    deployment: Deployment,
) -> None:
    """Two workers, 200 packages, an approve and a reject each."""
    deployment.worker(wait=False)
    deployment.worker(wait=False)
    count = 200
    with deployment.publishing() as send:
        for number in range(count):
            request = a_request_of(number)
            send(request, e.AGENT, request.interrupt_id)
            pair = [(e.REVIEWER, "approve"), (OTHER_REVIEWER, "reject")]
            for by, decision in pair if number % 2 else reversed(pair):
                command = a_decision_on(number, by, decision)
                send(command, by, command.command_id)

    def answered() -> bool:
        return (
            len(deployment.records("human.decision_recorded"))
            + len(deployment.records("command-refused"))
            >= 2 * count
        )

    eventually(answered, 90)
    recorded = deployment.records("human.decision_recorded", HumanDecisionEvent)
    refused = deployment.records("command-refused", CommandRefused)
    assert sorted(r.decision_package_id for r in recorded) == sorted(
        f"pkg-{n}" for n in range(count)
    )
    assert sorted(r.decision_package_id for r in refused) == sorted(
        f"pkg-{n}" for n in range(count)
    )
    assert {r.code for r in refused} == {"NOT_OPEN"}
    finals = [
        s.interrupt_id
        for s in deployment.records("interrupt-status", InterruptStatusChanged)
        if s.final
    ]
    assert len(finals) == len(set(finals)) == count


def test_only_one_of_two_takes_is_answered_with_consumed(deployment: Deployment) -> None:
    """Takes of two attempts, sent together."""
    deployment.worker()
    deployment.agent().submit(e.a_request())
    deployment.reviewer().decide(e.PACKAGE_ID, "approve", version=1, comment="read")
    (gate,) = deployment.records("tool-gate", ToolGateEvent)
    for attempt in ("attempt-1", "attempt-2"):
        take = GrantTake(
            grant_id=gate.grant_id or "",
            attempt_id=attempt,
            executor_id=e.EXECUTOR,
            tenant_id=e.TENANT,
            decision_package_id=e.PACKAGE_ID,
        )
        deployment.publish(take, by=e.EXECUTOR, record_id=attempt)

    def both() -> bool:
        return len(deployment.records("command-refused")) == 1

    eventually(both)
    gates = deployment.records("tool-gate", ToolGateEvent)
    assert [g.gate for g in gates] == ["opened", "consumed"]
    (refusal,) = deployment.records("command-refused", CommandRefused)
    assert {gates[1].attempt_id, refusal.command_id} == {"attempt-1", "attempt-2"}
    assert refusal.code == "GRANT_TAKEN"

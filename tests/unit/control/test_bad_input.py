"""What cannot be read is dead-lettered with its reason; the next good record is handled."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from consumers.control.judging import Judge, Known
from consumers.control.reception import Dead
from schemas.codec import encode
from schemas.events import CommandRefused, HumanDecisionEvent, InterruptStatusChanged
from schemas.headers import ce_headers
from schemas.topics import key_of, partition_for
from tests import examples as e
from tests.unit.control.world import World, settle

REQUEST = e.a_request()
KEY = key_of(REQUEST) or b""
HEADERS = list(ce_headers(REQUEST, ce_id="int-1", source="/test", time=e.NOW))
JSON_HEADERS = [(n, b"application/json" if n == "content-type" else v) for n, v in HEADERS]
GOOD = encode(REQUEST)


def nested(depth: int) -> bytes:
    """JSON nested so deep."""
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("key", "value", "headers", "reason"),
    [
        (KEY, b"garbage", HEADERS, "unknown_encoding"),
        (KEY, b"\xc3\x01" + b"\x00" * 30, HEADERS, "unknown_fingerprint"),
        (KEY, GOOD[:-3], HEADERS, "malformed_avro"),
        (KEY, GOOD + b"\x00", HEADERS, "malformed_avro"),
        (KEY, b'{"tenant_id":"a","tenant_id":"b"}', JSON_HEADERS, "malformed_json"),
        (KEY, nested(200), JSON_HEADERS, "malformed_json"),
        (KEY, b'{"confidence": NaN}', JSON_HEADERS, "malformed_json"),
        (None, GOOD, HEADERS, "null_key"),
        (KEY, None, HEADERS, "null_value"),
        (b"acme/other", GOOD, HEADERS, "key_mismatch"),
        (KEY, GOOD, [], "no_ce_type"),
        (KEY, b"x" * (256 * 1024 + 1), HEADERS, "value_too_large"),
        (KEY, GOOD, [*HEADERS, ("ce_type", b"clock.tick")], "duplicate_header"),
        (KEY, GOOD, [(n, b"no.such" if n == "ce_type" else v) for n, v in HEADERS],
         "unknown_ce_type"),
    ],
)  # fmt: skip
def test_unreadable_records_are_dead_lettered(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], reason: str
) -> None:
    """With the reason, the value unchanged, and the place it came from."""
    world = World()
    worker = world.worker()
    partition = partition_for(KEY, 2)
    world.cluster.append("interrupt-requested", partition, key, value, list(headers))
    world.request()

    settle(worker)

    (letter,) = world.dead()
    said = dict(letter.headers)
    assert (said["dlq_reason"], letter.value, letter.key) == (reason.encode(), value, key)
    assert (said["dlq_topic"], said["dlq_offset"]) == (b"interrupt-requested", b"0")
    assert [s.status for s in world.all(InterruptStatusChanged)] == ["pending"]
    assert [j.verdict for j in world.journal()] == ["dead_letter", "recorded"]


def test_a_record_on_another_input_topic_is_dead_lettered() -> None:
    """A command does not belong on the topic of requests."""
    world = World()
    worker = world.worker()
    command = e.a_decision()
    headers = ce_headers(command, ce_id=command.command_id, source="/test", time=e.NOW)
    world.cluster.append(
        "interrupt-requested", partition_for(KEY, 2), KEY, encode(command), list(headers)
    )

    settle(worker)

    assert dict(world.dead()[0].headers)["dlq_reason"] == b"wrong_topic"


def test_a_plain_json_request_is_read() -> None:
    """JSON of the same record, where the headers say so."""
    world = World(unsigned=True)
    worker = world.worker()
    value = json.dumps(json.loads(REQUEST.model_dump_json())).encode()
    world.cluster.append(
        "interrupt-requested", partition_for(KEY, 2), KEY, value, list(JSON_HEADERS)
    )

    settle(worker)

    assert [s.status for s in world.all(InterruptStatusChanged)] == ["pending"]


def test_a_record_on_the_wrong_partition_is_forwarded_once_and_judged_by_its_origin() -> None:
    """Its append time and coordinates are those of the first topic; its signature still holds."""
    world = World()
    worker = world.worker()
    right = partition_for(KEY, 2)
    world.send(REQUEST, e.AGENT, REQUEST.interrupt_id, partition=1 - right)

    settle(worker)

    (status,) = world.all(InterruptStatusChanged)
    assert status.status == "pending"
    entries = [j for j in world.journal() if j.verdict == "recorded"]
    assert (entries[0].partition, entries[0].input.topic, entries[0].input.partition) == (
        right,
        "interrupt-requested",
        1 - right,
    )


def test_a_stranger_cannot_forward() -> None:
    """Only the worker writes `rekeyed`: without its proof a record is dead-lettered."""
    world = World()
    worker = world.worker()
    world.cluster.append("rekeyed", partition_for(KEY, 2), KEY, GOOD, [
        *HEADERS, ("rekeyed_topic", b"interrupt-requested"), ("rekeyed_partition", b"0"),
        ("rekeyed_offset", b"0"), ("rekeyed_append_time_us", b"1"), ("rekeyed_proof", b"00"),
    ])  # fmt: skip

    settle(worker)

    assert dict(world.dead()[0].headers)["dlq_reason"] == b"rekeyed_not_ours"


@pytest.mark.parametrize(
    "altered",
    [
        {"countersign-signature": b"x.y.z"},
        {"countersign-signature": None},
        {"ce_id": b"another"},
        {"rekeyed_offset": b"7"},
        {"rekeyed_append_time_us": b"1772442000000001"},
        {"rekeyed_partition": b"7"},
        {"rekeyed_topic": b"decision-command"},
    ],
    ids=" ".join,
)
def test_what_was_forwarded_cannot_be_altered(altered: dict[str, bytes | None]) -> None:
    """The proof is over the whole record: neither its headers nor its first place can be changed."""
    world = World()
    worker = world.worker()
    right = partition_for(KEY, 2)
    world.send(REQUEST, e.AGENT, REQUEST.interrupt_id, partition=1 - right)
    settle(worker)
    [forwarded] = [r for r in world.cluster.records("rekeyed") if r.key == KEY]
    headers = [(name, altered.get(name, value)) for name, value in forwarded.headers]
    world.cluster.append("rekeyed", right, KEY, forwarded.value, headers)
    settle(worker)

    assert headers != list(forwarded.headers)
    assert [dict(letter.headers)["dlq_reason"] for letter in world.dead()] == [b"rekeyed_not_ours"]
    assert len(world.all(InterruptStatusChanged)) == 1
    assert world.all(CommandRefused) == []


def test_headers_that_only_the_worker_gives_are_not_carried_on() -> None:
    """A sender's own are taken off when a record is forwarded."""
    world = World()
    worker = world.worker()
    right = partition_for(KEY, 2)
    offset = world.send(REQUEST, e.AGENT, REQUEST.interrupt_id, partition=1 - right)
    [record] = world.cluster.records("interrupt-requested")
    world.cluster.log["interrupt-requested", 1 - right][offset] = replace(
        record, headers=(*record.headers, ("rekeyed_offset", b"7"), ("rekeyed_proof", b"00"))
    )
    settle(worker)

    assert [status.status for status in world.all(InterruptStatusChanged)] == ["pending"]
    assert world.dead() == []


def test_a_topic_with_producers_times_is_not_believed() -> None:
    """Only the broker's append time counts."""
    world = World()
    world.cluster.append_time = False
    worker = world.worker()
    world.request()

    settle(worker)

    assert dict(world.dead()[0].headers)["dlq_reason"] == b"not_log_append_time"


def test_a_fault_of_ours_stops_one_task_and_the_others_go_on() -> None:
    """The record that we did not foresee is not skipped; its task is fenced and named."""
    world = World()
    poisoned = partition_for(KEY, 2)

    class Faulty(Judge):
        def judge(self, task, record, view, now):  # type: ignore[no-untyped-def]
            if task.partition == poisoned:
                raise RuntimeError("bug")
            return super().judge(task, record, view, now)

    def make(known: Known) -> Judge:
        plain = world.judge(known)
        return Faulty(**{part.name: getattr(plain, part.name) for part in fields(plain)})

    world.make_judge = make
    worker = world.worker()
    world.request()
    world.cluster.append("decision-command", 1 - poisoned, b"k", b"garbage", [])

    settle(worker)

    assert list(worker.fenced) == [poisoned]
    assert list(worker.running) == [1 - poisoned]
    assert len(world.dead()) == 1


def test_unread_input_lost_to_retention_stops_the_task() -> None:
    """The journal's next offset is gone from the topic: named, not skipped."""
    world = World()
    settle(world.worker())
    world.request()
    settle(world.worker())
    partition = world.journal()[0].partition
    world.cluster.members.clear()
    world.cluster.deleted["interrupt-requested", partition] = 5

    worker = world.worker()
    settle(worker)

    assert "deleted before they were read" in worker.fenced[partition]


def test_a_command_is_answered_under_its_own_tenant_only() -> None:
    """Validly signed for another tenant: TENANT_MISMATCH."""
    world = World()
    worker = world.worker()
    command = e.a_decision(tenant_id="other")
    world.send(command, e.REVIEWER, command.command_id, tenant_id=e.TENANT)

    settle(worker)

    assert [r.code for r in world.all(CommandRefused)] == ["TENANT_MISMATCH"]
    assert world.all(HumanDecisionEvent) == []


def test_dead_is_a_value() -> None:
    """A reason is a slug, its detail for people."""
    assert Dead.__match_args__ == ("origin", "reason", "detail")

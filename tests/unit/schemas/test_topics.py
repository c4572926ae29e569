"""Topics, keys, partitions and record types."""

from __future__ import annotations

import pytest

from schemas.headers import (
    DuplicateHeader,
    ce_headers,
    header,
)
from schemas.model import Record
from schemas.registry import INPUT_TYPES, RECORDS, ce_type_of, models_of, topic_of
from schemas.topics import INPUT_TOPICS, TOPICS, key_of, murmur2, partition_for, record_key
from tests import examples
from tests.examples import a_decision, a_gate_event, a_request, a_status, a_task_event, a_tick, at


@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_is_that_of_the_java_client(text: str, signed: int) -> None:
    """The hash has the values that Kafka's own test states."""
    assert murmur2(text.encode()) == signed % 2**32


def test_a_partition_takes_the_positive_part_of_the_hash() -> None:
    """A negative hash loses its sign bit, as toPositive in Kafka does, and not its magnitude."""
    assert partition_for(b"21", 12) == (-973932308 & 0x7FFFFFFF) % 12


@pytest.mark.parametrize(
    ("over", "ce_type"),
    [
        ({"status": "pending"}, "interrupt.opened"),
        ({"status": "escalated"}, "interrupt.escalated"),
        ({"status": "pending", "deferred_until": at(60)}, "interrupt.deferred"),
        ({"status": "escalated", "deferred_until": at(60)}, "interrupt.deferred"),
        ({"status": "decided", "final": True}, "interrupt.decided"),
        ({"status": "expired", "final": True}, "interrupt.expired"),
        ({"status": "cancelled", "final": True}, "interrupt.cancelled"),
    ],
)
def test_a_status_names_its_event(over: dict[str, object], ce_type: str) -> None:
    """A status change is published under the change it is."""
    assert ce_type_of(a_status(**over)) == ce_type


def test_gate_and_task_events_carry_their_change_in_their_type() -> None:
    """The type says which way the gate went and what became of the task."""
    assert ce_type_of(a_gate_event(gate="revoked")) == "tool_gate.revoked"
    assert ce_type_of(a_task_event(change="claimed")) == "review_task.claimed"
    assert models_of("review_task.claimed") == (type(a_task_event()),)
    assert models_of("tool_gate.ajar") == ()


def test_every_input_type_leads_back_to_itself() -> None:
    """The record that a type names is published under that type."""
    for ce_type, model in INPUT_TYPES.items():
        assert ce_type_of(model.model_construct()) == ce_type


def test_every_record_has_a_topic_or_stands_in_the_journal_only() -> None:
    """No record is forgotten in the topics table, and every topic in it exists."""
    nowhere = {name for name, model in RECORDS.items() if topic_of(model) is None}

    assert nowhere == {
        "ClockTick",
        "CommandParked",
        "CommandUnparked",
        "KeyAnswered",
        "PackageAccepted",
        "PackageReplanned",
        "ReceiptRecorded",
    }
    on_topics = [name for spec in TOPICS.values() for name in spec.records]
    assert sorted(on_topics) == sorted(RECORDS.keys() - nowhere)


def test_inputs_are_partitioned_by_task() -> None:
    """What a task reads has as many partitions as there are tasks and the package's key."""
    for name in INPUT_TOPICS:
        assert TOPICS[name].partitions == "task"
        assert TOPICS[name].key == "package"


def test_topics_keep_what_the_contract_says() -> None:
    """The broker's clock stamps records, what any producer appends can be kept whole, and the audit
    is never deleted or compacted."""
    for spec in TOPICS.values():
        assert spec.config["message.timestamp.type"] == "LogAppendTime"
        wrapping = spec.name in ("audit-journal", "rekeyed", "dead-letter")
        assert spec.config["max.message.bytes"] == ("8388608" if wrapping else "4194304")
    journal = TOPICS["audit-journal"].config
    assert (journal["cleanup.policy"], journal["retention.ms"]) == ("delete", "-1")
    assert TOPICS["interrupt-state"].config["cleanup.policy"] == "compact"


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (a_request(), b"acme/pkg-2041"),
        (a_decision(), b"acme/pkg-2041"),
        (examples.a_policy_document(), b"acme"),
        (examples.a_reviewer(), b"acme/r.okafor"),
        (examples.an_agent(), b"acme/agent:drafter"),
        (a_tick(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Record) else "",
)
def test_records_are_keyed_by_what_they_are_about(record: Record, key: bytes | None) -> None:
    """Everything about a package shares its key."""
    assert key_of(record) == key
    assert record_key("acme", "pkg-2041") == b"acme/pkg-2041"


def test_headers_are_cloud_events_in_binary_mode() -> None:
    """A record is published with id, type, source, time and content type, then the extras."""
    headers = ce_headers(
        a_decision(), ce_id="cmd-1", source="/r", time=at(0.5), extra=[("traceparent", b"00-1")]
    )

    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"cmd-1"),
        ("ce_type", b"human.decision_command"),
        ("ce_source", b"/r"),
        ("ce_time", b"2026-03-02T09:00:00.500000Z"),
        ("content-type", b"application/avro"),
        ("traceparent", b"00-1"),
    ]
    assert header(headers, "ce_id") == b"cmd-1"
    assert header(headers, "absent") is None


def test_a_header_that_stands_twice_is_refused() -> None:
    """Two readers could each believe another one of them."""
    with pytest.raises(DuplicateHeader):
        header([("ce_type", b"a"), ("ce_type", b"a")], "ce_type")

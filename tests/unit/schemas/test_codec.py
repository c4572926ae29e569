"""The codec: what it writes, what it reads, what it refuses and how it says so."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from schemas.avro_files import current
from schemas.codec import (
    VALUE_BYTES_MAX,
    Undecodable,
    decode,
    decode_any,
    decode_bytes,
    encode,
)
from schemas.commands import HumanDecisionCommand, ReviewTaskCommand
from schemas.events import InterruptStatusChanged
from schemas.execution import GrantTake, ToolExecuted
from schemas.model import Record
from schemas.registry import ce_type_of
from schemas.requests import InterruptCancelled, InterruptRequested
from tests.examples import a_cancellation, a_decision, a_request, a_status, a_take, at
from tests.unit.schemas.cases import EXAMPLES, INPUTS

AVRO = "application/avro"
JSON = "application/json"


class Registry:
    """A schema registry in memory; remembers under which names schemas were registered."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.names: list[tuple[str, str]] = []

    def schema_id(self, topic: str, schema_name: str, schema: str) -> int:
        self.names.append((topic, schema_name))
        self.schemas.append(schema)
        return len(self.schemas) - 1

    def schema(self, schema_id: int) -> str | None:
        return self.schemas[schema_id] if schema_id < len(self.schemas) else None


def headers(ce_type: str | None, content_type: str | None = AVRO) -> list[tuple[str, bytes]]:
    named = [("ce_type", ce_type), ("content-type", content_type)]
    return [(name, value.encode()) for name, value in named if value is not None]


def json_of(record: Record, **over: Any) -> bytes:
    return json.dumps(record.model_dump(mode="json") | over).encode()


def refusal(value: bytes | None, *args: Any, registry: Registry | None = None) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(value, headers(*args), registry=registry)
    return caught.value


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_records_survive_the_single_object_encoding(record: Record) -> None:
    """What is written as a single object is read back equal, and the bytes are always the same."""
    value = encode(record)

    assert value[:10] == b"\xc3\x01" + current(type(record)).fingerprint
    assert decode(value, headers(ce_type_of(record))) == record
    assert decode(value, headers(ce_type_of(record), None)) == record
    assert encode(record) == value


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_records_survive_json(record: Record) -> None:
    """The JSON form is read back equal when the headers say that it is JSON."""
    value = encode(record, output="json")

    assert decode(value, headers(ce_type_of(record), JSON)) == record
    assert decode(value, headers(ce_type_of(record), "Application/JSON; charset=utf-8")) == record
    assert refusal(value, ce_type_of(record), AVRO).reason == "unknown_encoding"


@pytest.mark.parametrize("record", INPUTS, ids=lambda record: type(record).__name__)
def test_records_survive_confluent_framing(record: Record) -> None:
    """With a registry the value carries the schema's id, registered by topic and record name."""
    registry = Registry()

    value = encode(record, registry=registry)

    assert decode(value, headers(ce_type_of(record)), registry=registry) == record
    if registry.names:
        assert value[:5] == b"\0\0\0\0\0"
        assert registry.names[0][1] == f"countersign.{type(record).__name__}"
    else:
        assert value[:2] == b"\xc3\x01"  # a tick has no topic of its own


def test_confluent_framing_without_a_registry_names_the_setting() -> None:
    """The reason says what is missing, since the value itself may be good."""
    error = refusal(encode(a_take(), registry=Registry()), "grant.take")

    assert error.reason == "no_registry"
    assert "COUNTERSIGN_SCHEMA_REGISTRY_URL" in error.detail


def test_registered_schemas_of_others_are_not_followed() -> None:
    """Anyone may register a schema; only the shapes we released are read."""
    registry = Registry()
    value = encode(a_take(), registry=registry)
    body = value[5:]
    foreign = '{"type":"record","name":"GrantTake","fields":[{"name":"a","type":"string"}]}'
    registry.schemas += [foreign, "{", '{"type":"record","name":"X","fields":"no"}']

    def framed(schema_id: int) -> bytes:
        return b"\0" + struct.pack(">I", schema_id) + body

    def reason(value: bytes) -> str:
        return refusal(value, "grant.take", registry=registry).reason

    assert reason(framed(1)) == "unknown_fingerprint"
    assert reason(framed(2)) == "unknown_schema_id"
    assert reason(framed(3)) == "unknown_schema_id"
    assert reason(framed(4)) == "unknown_schema_id"
    assert reason(b"\0\0\0") == "truncated"


def test_a_cancelled_interrupt_is_told_from_the_cancellation() -> None:
    """`interrupt.cancelled` names the command going in and the status coming out."""
    status = a_status(status="cancelled", final=True)

    assert ce_type_of(status) == ce_type_of(a_cancellation()) == "interrupt.cancelled"
    for form in ("avro", "json"):
        kind = headers("interrupt.cancelled", JSON if form == "json" else AVRO)
        assert isinstance(decode(encode(status, output=form), kind), InterruptStatusChanged)
        assert isinstance(decode(encode(a_cancellation(), output=form), kind), InterruptCancelled)


def test_absent_json_fields_are_empty_or_null() -> None:
    """A sender in JSON leaves out what it has nothing to say about."""
    form = json.loads(json_of(a_request()))
    for name in ("known_uncertainties", "memory", "rationale", "does_not_authorize"):
        del form["package"][name]
    del form["expires_at"]

    record = decode(json.dumps(form).encode(), headers("interrupt.requested", JSON))

    assert isinstance(record, InterruptRequested)
    assert record.package.known_uncertainties == []
    assert record.package.rationale == ""
    assert record.expires_at is None


def test_times_in_json_may_have_any_offset() -> None:
    """RFC 3339 text of any zone is the same instant in UTC."""
    value = json_of(a_request(), expires_at="2026-03-02T11:30:00.25+02:00")

    record = decode(value, headers("interrupt.requested", JSON))

    assert isinstance(record, InterruptRequested)
    assert record.expires_at == at(1800.25)


TAKE = encode(a_take())
DECISION = encode(a_decision())


@pytest.mark.parametrize(
    ("value", "ce_type", "content_type", "reason"),
    [
        (None, "grant.take", AVRO, "null_value"),
        (TAKE, None, AVRO, "no_ce_type"),
        (TAKE, "", AVRO, "no_ce_type"),
        (TAKE, "grant.taken", AVRO, "unknown_ce_type"),
        (TAKE, "human.decision_command", AVRO, "ce_type_mismatch"),
        (encode(a_status()), "interrupt.escalated", AVRO, "ce_type_mismatch"),
        (b"", "grant.take", AVRO, "unknown_encoding"),
        (b"garbage", "grant.take", AVRO, "unknown_encoding"),
        (b"\xc3\x01\x00", "grant.take", AVRO, "unknown_encoding"),
        (b"\xc3\x01" + bytes(8) + TAKE[10:], "grant.take", AVRO, "unknown_fingerprint"),
        (TAKE + b"\0", "grant.take", AVRO, "malformed_avro"),
        (TAKE[:10], "grant.take", AVRO, "malformed_avro"),
        (TAKE[:-1], "grant.take", AVRO, "malformed_avro"),
        (b"x" * (VALUE_BYTES_MAX + 1), "grant.take", AVRO, "value_too_large"),
        (b"[]", "grant.take", JSON, "malformed_json"),
        (b"{", "grant.take", JSON, "malformed_json"),
        (b"\xff\xfe{}", "grant.take", JSON, "malformed_json"),
        (b"[" * 200_000, "grant.take", JSON, "malformed_json"),
        (b"{}", "grant.take", JSON, "invalid_field"),
    ],
)
def test_what_is_no_record_is_refused_with_its_reason(
    value: bytes | None, ce_type: str | None, content_type: str, reason: str
) -> None:
    """Each way of being no record has its own stable reason."""
    assert refusal(value, ce_type, content_type).reason == reason


def test_every_cut_of_a_record_is_refused() -> None:
    """However a value is truncated, it is not read."""
    for end in range(len(DECISION)):
        refusal(DECISION[:end], "human.decision_command")


def test_equal_json_keys_are_refused() -> None:
    """The last of two equal keys would win silently: reject, then approve."""
    text = json_of(a_decision(decision="reject"))
    doubled = text[:-1] + b', "decision": "approve"}'

    assert refusal(doubled, "human.decision_command", JSON).reason == "malformed_json"


@pytest.mark.parametrize("confidence", ["NaN", "Infinity", "1e999"])
def test_json_numbers_that_are_none_are_refused(confidence: str) -> None:
    """NaN and infinities are not JSON."""
    text = json_of(a_request()).replace(b"0.74", confidence.encode())

    assert refusal(text, "interrupt.requested", JSON).reason == "malformed_json"


def test_not_a_number_is_refused_in_avro_too() -> None:
    """A NaN among the bytes of a double is found by the model."""
    value = encode(a_request()).replace(struct.pack("<d", 0.74), struct.pack("<d", float("nan")))

    error = refusal(value, "interrupt.requested")

    assert (error.reason, error.detail.split(":")[0]) == ("invalid_field", "package.confidence")


@pytest.mark.parametrize(
    ("over", "reason", "place"),
    [
        ({"decision": "secret-word"}, "invalid_field", "decision"),
        ({"tenant_id": "secret-word/x"}, "invalid_field", "tenant_id"),
        ({"comment": "secret-word" * 10_000}, "invalid_field", "comment"),
        ({"expected_package_version": "1"}, "invalid_field", "expected_package_version"),
        ({"expected_package_version": True}, "invalid_field", "expected_package_version"),
        ({"expected_package_version": 1.5}, "invalid_field", "expected_package_version"),
        ({"defer_until": "secret-word"}, "invalid_field", "defer_until"),
        ({"defer_until": "2026-03-02T09:00:00"}, "invalid_field", "defer_until"),
        ({"defer_until": "0001-01-01T00:00:00+14:00"}, "invalid_field", "defer_until"),
        ({"secret-word": 1}, "unknown_field", "the record"),
    ],
)
def test_a_wrong_field_is_named_without_its_text(
    over: dict[str, Any], reason: str, place: str
) -> None:
    """The reason names the field; what stood in it, or a name made up by the sender, it does not
    repeat."""
    error = refusal(json_of(a_decision(), **over), "human.decision_command", JSON)

    assert error.reason == reason
    assert error.detail.startswith(place)
    assert "secret-word" not in str(error)


def test_a_doubled_type_header_is_refused() -> None:
    """Which of the two is meant cannot be known."""
    with pytest.raises(Undecodable) as caught:
        decode(TAKE, [*headers("grant.take"), *headers("grant.take")])

    assert caught.value.reason == "duplicate_header"


def test_a_type_header_that_is_no_text_is_refused() -> None:
    """Header bytes that are not UTF-8 name nothing."""
    with pytest.raises(Undecodable) as caught:
        decode(TAKE, [("ce_type", b"\xff")])

    assert caught.value.reason == "header_not_utf8"


def test_our_own_bytes_are_read_as_the_record_they_must_be() -> None:
    """State and journal are read without headers, by fingerprint, as one record and no other."""
    value = encode(a_take())

    assert decode_any(value) == a_take()
    assert decode_bytes(value, GrantTake) == a_take()
    for other in (ToolExecuted, HumanDecisionCommand, ReviewTaskCommand):
        with pytest.raises(Undecodable):
            decode_bytes(value, other)

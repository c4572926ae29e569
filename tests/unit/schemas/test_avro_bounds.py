"""Hostile Avro: what fastavro would accept or allocate is refused before it is reached."""

from __future__ import annotations

import tracemalloc
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_bounds import check_shape, compile_walk
from schemas.avro_files import current
from schemas.codec import Undecodable, decode, encode
from schemas.commands import HumanDecisionCommand
from schemas.model import Record
from schemas.registry import ce_type_of
from tests.examples import a_decision, a_request
from tests.unit.schemas.cases import INPUTS

HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # zigzag of 2**63 - 1
LEAST = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # zigzag of -2**63


def _record(*types: Any) -> Any:
    fields = [{"name": f"f{index}", "type": kind} for index, kind in enumerate(types)]
    return fastavro.parse_schema({"type": "record", "name": "R", "fields": fields})


STRINGS = {"type": "array", "items": "string"}
LONGS = {"type": "map", "values": "long"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (["null", "string"], b"\x01\x02a"),  # index -1
        (["null", "string"], b"\x04"),  # index 2
        (["null", "string"], LEAST),
        ("boolean", b"\x02"),
        ("boolean", b""),
        ("long", b"\x80" * 10 + b"\x01"),
        ("long", b"\xff" * 9 + b"\x7f"),  # more than 64 bits
        ("long", b"\x80"),
        ("double", b"\0" * 7),
        ("string", HUGE),
        ("string", LEAST),
        ("string", b"\x01"),
        ("bytes", b"\x06ab"),
        (STRINGS, HUGE),
        (STRINGS, LEAST + HUGE),
        (STRINGS, b"\x01\x7f\x02a\x00"),  # one item, a block size that lies
        (STRINGS, b"\x02\x02a"),  # no end
        (LONGS, HUGE),
        (LONGS, LEAST + b"\x02"),
        ("long", b"\x02\x00"),  # trailing byte
    ],
)
def test_bytes_that_lie_are_refused(kind: Any, body: bytes) -> None:
    """Indexes, lengths, counts and block sizes are held against the bytes that are there."""
    with pytest.raises(ValueError):
        check_shape(compile_walk(_record(kind)), body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (["null", "string"], b"\x00"),
        (["null", "string"], b"\x02\x02a"),
        (STRINGS, b"\x03\x08\x02a\x02b\x00"),  # two items with the block's size: legal Avro
        (STRINGS, b"\x02\x02a\x02\x02b\x00"),  # two blocks
        (LONGS, b"\x02\x02k\x0e\x00"),
        ("long", HUGE),
        ("long", LEAST),
    ],
)
def test_every_legal_form_passes(kind: Any, body: bytes) -> None:
    """Other writers may block arrays as they like; fastavro reads what passes."""
    check_shape(compile_walk(_record(kind)), body)


def test_a_recursive_schema_is_refused() -> None:
    """A record that contains itself has no bound on its depth."""
    node = fastavro.parse_schema(
        {
            "type": "record",
            "name": "Node",
            "fields": [{"name": "next", "type": ["null", "Node"]}],
        }
    )

    with pytest.raises(ValueError, match="recursive"):
        compile_walk(node)


def test_a_huge_count_allocates_nothing() -> None:
    """A few bytes that announce a gigantic list are refused without memory for it."""
    value = encode(a_request())
    evidence_refs = b"\x04\x20lab:2026-02-18/3"
    assert evidence_refs in value
    hostile = value.replace(evidence_refs, HUGE + evidence_refs[1:])
    decode(value, [("ce_type", b"interrupt.requested")])  # the schemas are read once, and stay
    tracemalloc.start()

    with pytest.raises(Undecodable):
        decode(hostile, [("ce_type", b"interrupt.requested")])

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("record", INPUTS, ids=lambda record: type(record).__name__)
def test_the_walk_agrees_with_the_writer(record: Record) -> None:
    """What we write passes, and with one byte more or less it does not."""
    body = encode(record)[10:]
    walk = current(type(record)).walk

    check_shape(walk, body)
    for wrong in (body + b"\0", body[:-1]):
        with pytest.raises(ValueError):
            check_shape(walk, wrong)


@given(st.sampled_from(INPUTS), st.binary(max_size=200), st.data())
def test_no_bytes_do_anything_but_decode_or_be_refused(
    record: Any, noise: bytes, data: st.DataObject
) -> None:
    """Whatever is spliced into a record, the answer is a record or Undecodable."""
    value = encode(record)
    at = data.draw(st.integers(10, len(value)))
    cut = data.draw(st.integers(0, 8))
    spliced = value[:at] + noise + value[at + cut :]

    try:
        decoded = decode(spliced, [("ce_type", ce_type_of(record).encode())])
    except Undecodable:
        return

    assert type(decoded) is type(record)


@given(st.binary(max_size=300))
def test_no_json_does_anything_but_decode_or_be_refused(noise: bytes) -> None:
    """The same for JSON."""
    text = encode(a_decision(), output="json")
    spliced = text[:40] + noise + text[40:]

    try:
        decoded = decode(
            spliced,
            [("ce_type", b"human.decision_command"), ("content-type", b"application/json")],
        )
    except Undecodable:
        return

    assert isinstance(decoded, HumanDecisionCommand)

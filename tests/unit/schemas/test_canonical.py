"""Canonical JSON and digests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.avro_schema import fingerprint
from schemas.canonical import (
    JSON_DEPTH_MAX,
    action_digest,
    canonical_json,
    is_canonical,
    parse_json_strict,
    record_digest,
    record_json,
    sha256_hex,
)
from tests.examples import a_decision, a_package

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["canonical"], ids=lambda vector: vector["name"])
def test_canonical_text_is_that_of_rfc_8785(vector: dict[str, Any]) -> None:
    """A value has the text that RFC 8785 gives it."""
    value = parse_json_strict(vector["text"])

    assert canonical_json(value) == vector["canonical"]
    assert is_canonical(vector["canonical"])


@pytest.mark.parametrize("vector", VECTORS["action_digest"])
def test_an_action_has_one_digest(vector: dict[str, Any]) -> None:
    """The digest of an action is SHA-256 over the canonical text of its three parts."""
    text = vector["canonical"]

    assert sha256_hex(text.encode()) == vector["digest"]
    action = json.loads(text)
    digest = action_digest(
        action["tool_name"], action["effect_type"], canonical_json(action["args"])
    )
    assert digest == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["fingerprint"])
def test_fingerprints_are_those_of_the_avro_specification(vector: dict[str, Any]) -> None:
    """The CRC-64-AVRO of the primitive schemas is the published one, least byte first."""
    schema = vector["schema"]

    assert fingerprint(json.dumps(schema))[::-1].hex() == vector["crc_64_avro"]


@pytest.mark.parametrize(
    "text",
    [
        '{"decision":"reject","decision":"approve"}',
        '[{"a":{"b":1,"b":1}}]',
        '{"a":1,"\\u0061":2}',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "9007199254740992",
        "-9007199254740992",
        "1" * 5000,
        '"\\ud800"',
        '{"\\uDC00":1}',
        "[" * (JSON_DEPTH_MAX + 1) + "]" * (JSON_DEPTH_MAX + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ufeff{}",
        "{} {}",
        "",
        "{'a':1}",
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_text_with_two_readings_is_refused(text: str) -> None:
    """What two JSON readers could understand differently is not read at all."""
    with pytest.raises(ValueError):
        parse_json_strict(text)
    with pytest.raises(ValueError):
        parse_json_strict(text.encode())
    assert not is_canonical(text)


def test_depth_counts_brackets_outside_of_strings_only() -> None:
    """Brackets in strings do not nest, escaped quotes do not end strings."""
    text = json.dumps({"a": '"' + "[" * 100, "b": ["\\", "{" * 100]})

    assert parse_json_strict(text) == json.loads(text)


@pytest.mark.parametrize(
    "text", ['{"b":1,"a":2}', '{"a": 1}', "1.0", '"\\u0061"', "1e2", '{"a":1}\n']
)
def test_another_text_of_the_same_value_is_not_canonical(text: str) -> None:
    """Only the one text is canonical, though others mean the same."""
    assert parse_json_strict(text) is not None
    assert not is_canonical(text)


def test_surrogate_pairs_are_text() -> None:
    """An escaped pair is one character beyond the basic plane."""
    assert parse_json_strict('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_the_json_form_has_every_field() -> None:
    """Nulls and empty lists are part of the form, so two programs digest the same text."""
    form = record_json(a_decision(comment=None))

    assert form["comment"] is None
    assert form["evidence_requested"] == []
    assert record_digest(a_decision()) == sha256_hex(
        canonical_json(record_json(a_decision())).encode()
    )


def test_the_same_payload_leaves_the_command_id_out() -> None:
    """A command sent again under a new id has the same payload, with another comment it has not."""
    first, again = a_decision(command_id="cmd-1"), a_decision(command_id="cmd-2")
    without = frozenset({"command_id"})

    assert record_digest(first) != record_digest(again)
    assert record_digest(first, without=without) == record_digest(again, without=without)
    other = a_decision(comment="other")
    assert record_digest(first, without=without) != record_digest(other, without=without)


def test_package_digests_see_every_change() -> None:
    """A change of one word of the package changes its digest."""
    assert record_digest(a_package()) != record_digest(a_package(title="Another"))

"""`decode`, `schemas export`, and the rows of `tail` and `dlq list`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest

from consumers.reading import Read
from countersign.commands.reading import dead_letter_row, row_of
from schemas.codec import encode
from schemas.headers import ce_headers
from schemas.registry import RECORDS
from tests import examples as e
from tests.unit.countersign.command import Command


def a_read(value: bytes | None, headers: Any = (), key: bytes | None = b"acme/pkg-1") -> Read:
    """A record as it stands in the log."""
    return Read("interrupt-status", 3, 17, e.NOW, key, value, headers)


def test_avro_names_itself(command: Command) -> None:
    """Single-object encoding carries its schema's fingerprint."""
    Path("v.bin").write_bytes(encode(e.a_decision()))

    ran = command("decode", "v.bin")

    assert (ran.code, ran.json["command_id"]) == (0, "cmd-1")


@pytest.mark.parametrize("name", ["human.decision_command", "HumanDecisionCommand"])
def test_json_is_named_by_type(command: Command, name: str) -> None:
    """By its ce_type or by its record name."""
    Path("v.json").write_bytes(encode(e.a_decision(), output="json"))

    ran = command("decode", "v.json", "--type", name)

    assert (ran.code, ran.json["decision"]) == (0, "approve")


def test_a_name_with_several_ce_types_is_found(command: Command) -> None:
    """A status is interrupt.opened, interrupt.decided, …"""
    Path("v.json").write_bytes(
        encode(e.a_status(status="decided", outcome="approve", final=True), output="json")
    )

    assert command("decode", "v.json", "--type", "InterruptStatusChanged").code == 0


def test_standard_input_is_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-`, also without an argument."""
    value = io.TextIOWrapper(io.BytesIO(encode(e.a_take())))
    monkeypatch.setattr(sys, "stdin", value)

    assert command("decode").json["grant_id"] == e.GRANT_ID


@pytest.mark.parametrize(
    ("value", "options", "code", "words"),
    [
        (b"{}", [], 1, "name it with --type"),
        (b"\xc3\x01garbage!", [], 1, "unknown_fingerprint"),
        (b'{"decision": "approve", "decision": "reject"}', ["--type", "human.decision_command"], 1,
         "unique keys"),
        (b"{}", ["--type", "nonsense"], 2, "no such record"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_told(
    command: Command, value: bytes, options: list[str], code: int, words: str
) -> None:
    """One line, no traceback."""
    Path("v").write_bytes(value)

    ran = command("decode", "v", *options)

    assert (ran.code, words in ran.err) == (code, True), ran.err


def test_every_schema_is_exported_and_stands_alone(command: Command) -> None:
    """One file a record; each parses without the others."""
    ran = command("schemas", "export", "out", "--json")

    files = {path.stem: json.loads(path.read_text()) for path in Path("out").iterdir()}
    assert ran.code == 0
    assert files.keys() == RECORDS.keys()
    for schema in files.values():
        fastavro.parse_schema(schema)


def test_a_record_is_a_row() -> None:
    """Where it stands, what it is, and its value."""
    status = e.a_status()
    headers = ce_headers(status, ce_id="ev-status-1", source="/test", time=e.NOW)

    row = row_of(a_read(encode(status), headers), "interrupt-status", None)

    assert (row["topic"], row["partition"], row["offset"]) == ("interrupt-status", 3, 17)
    assert (row["ce_type"], row["key"]) == ("interrupt.opened", "acme/pkg-1")
    assert row["value"]["status"] == "pending"
    assert "error" not in row


def test_what_cannot_be_read_is_a_row_too() -> None:
    """With the reason, and nothing of its bytes."""
    row = row_of(a_read(b"secret", key=b"\xff"), "tool-gate", None)

    assert (row["value"], row["bytes"], row["key"]) == (None, 6, "\\xff")
    assert "no_ce_type" in row["error"]
    assert "secret" not in json.dumps(row)


def test_a_dead_letter_says_where_it_came_from_and_not_what_it_holds() -> None:
    """Its original coordinates and the reason; the bytes stay in the log."""
    headers = [
        ("ce_id", b"cmd-9"), ("dlq_topic", b"decision-command"), ("dlq_partition", b"2"),
        ("dlq_offset", b"41"), ("dlq_reason", b"malformed_avro"), ("dlq_at", b"2026-03-02"),
    ]  # fmt: skip

    row = dead_letter_row(a_read(b"secret", headers, key=None))

    assert (row["topic"], row["partition"], row["offset"]) == ("decision-command", 2, 41)
    assert (row["reason"], row["ce_id"], row["bytes"], row["key"]) == (
        "malformed_avro", "cmd-9", 6, None,
    )  # fmt: skip
    assert "secret" not in json.dumps(row)


def test_a_dead_letter_with_doubled_headers_is_still_listed() -> None:
    """Doubled headers are a reason to be here."""
    headers = [("ce_type", b"a"), ("ce_type", b"b"), ("dlq_reason", b"duplicate_header")]

    row = dead_letter_row(a_read(None, headers))

    assert (row["ce_type"], row["bytes"], row["reason"]) == (None, None, "duplicate_header")

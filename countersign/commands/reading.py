"""`tail`, `decode`, `dlq list`: Avro for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from consumers.reading import Read, follow, read_topic
from countersign.deployment import Deployment, deployment
from countersign.failure import AnswerIsNo, UsageWrong
from countersign.options import examples, group, plain
from countersign.output import JsonFlag, emit, print_json, say, table
from countersign.structured_file import read_bytes
from producers.sealing import has_sealed, leaves
from schemas.canonical import record_json
from schemas.codec import SchemaIds, Undecodable, decode, decode_any
from schemas.headers import (
    CE_ID,
    CE_TYPE,
    CONTENT_TYPE,
    JSON,
    DuplicateHeader,
    Headers,
    header,
    rfc3339,
)
from schemas.model import Record
from schemas.registry import RECORD_TYPES, RECORDS
from schemas.topics import TOPICS, WRAPPED_BYTES_MAX

app = plain()
dlq = group("Records that could not be read, kept as they came.")

_NOT_TAILED: Final = frozenset({"audit-journal", "audit-checkpoint", "interrupt-state"})
"""They repeat what the others say, at length; name them to see them."""


@app.command(
    epilog=examples(
        "tail", "tail interrupt-status tool-gate --from-start", "tail --json | jq .value"
    )
)
def tail(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Without prefix; all of them.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the first record kept.")
    ] = False,
    count: Annotated[
        int | None, typer.Option("--count", min=1, metavar="N", help="Stop after so many.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Follow topics and print each record; Ctrl-C ends it. JSON is one object a line."""
    unknown = [name for name in topics or [] if name not in TOPICS]
    if unknown:
        raise UsageWrong(f"no such topic: {', '.join(unknown)}; one of {', '.join(TOPICS)}")
    names = topics or [name for name in TOPICS if name not in _NOT_TAILED]
    where = deployment()
    plain_name = {where.named(name): name for name in names}
    records = follow(where.config, list(plain_name), from_start=from_start)
    for number, read in enumerate(records, 1):
        row = row_of(read, plain_name[read.topic], where.kafka.registry)
        row["value"] = _readable(where, row["value"])
        if as_json:
            print_json(row, indent=None)
        else:
            _say_row(row)
        sys.stdout.flush()
        if number == count:
            return


@app.command(
    "decode",
    epilog=examples(
        "decode record.bin",
        "decode - --type human.decision_command < command.json",
    ),
)
def decode_(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="One record's value; - for standard input.")
    ] = "-",
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="NAME", help="ce_type or record name; Avro names itself."),
    ] = None,
) -> None:
    """Print one record's value, Avro or JSON, as JSON."""
    value = sys.stdin.buffer.read() if file == "-" else read_bytes(Path(file))
    form = record_json(_decoded(value, type_))
    # Sealed texts need the settings; a record without any is read wherever it lies.
    print_json(_readable(deployment(), form) if any(map(has_sealed, leaves(form))) else form)


@dlq.callback()
def _group() -> None:
    pass


@dlq.command("list", epilog=examples("dlq list", "dlq list --json"))
def dlq_list(as_json: JsonFlag = False) -> None:
    """List what could not be read, and why; the newest last."""
    where = deployment()
    rows = [dead_letter_row(read) for read in read_topic(where.config, where.named("dead-letter"))]
    rows.sort(key=lambda row: (row["at"] or "", row["topic"] or ""))
    columns = (
        "at",
        "topic",
        "partition",
        "offset",
        "reason",
        "detail",
        "ce_type",
        "ce_id",
        "bytes",
    )

    def text() -> None:
        if rows:
            table(columns, ([row[name] for name in columns] for row in rows))
        else:
            say("there are no dead letters")

    emit(rows, as_json=as_json, text=text)


def row_of(read: Read, topic: str, registry: SchemaIds | None) -> dict[str, Any]:
    """A record as `tail` shows it; `error` where it is no record of ours."""
    row: dict[str, Any] = {
        "topic": topic,
        "partition": read.partition,
        "offset": read.offset,
        "appended": rfc3339(read.appended),
        "key": text_of(read.key),
        "ce_type": head(read.headers, CE_TYPE),
        "ce_id": head(read.headers, CE_ID),
        "value": None,
    }
    if read.value is None:
        return row
    try:
        record = decode(read.value, read.headers, registry=registry, bytes_max=WRAPPED_BYTES_MAX)
    except Undecodable as error:
        return row | {"error": str(error), "bytes": len(read.value)}
    return row | {"value": record_json(record)}


def dead_letter_row(read: Read) -> dict[str, Any]:
    """A dead letter: where it came from and why; its bytes are not shown, for nobody knows them."""

    def number(name: str) -> int | None:
        text = head(read.headers, name)
        return int(text) if text is not None and text.isdecimal() else None

    return {
        "at": head(read.headers, "dlq_at"),
        "topic": head(read.headers, "dlq_topic"),
        "partition": number("dlq_partition"),
        "offset": number("dlq_offset"),
        "reason": head(read.headers, "dlq_reason"),
        "detail": head(read.headers, "dlq_detail"),
        "ce_type": head(read.headers, CE_TYPE),
        "ce_id": head(read.headers, CE_ID),
        "key": text_of(read.key),
        "bytes": len(read.value) if read.value is not None else None,
        "dead_letter": {"partition": read.partition, "offset": read.offset},
    }


def head(headers: Headers, name: str) -> str | None:
    """A header as text; None when it is missing, null or doubled."""
    try:
        return text_of(header(headers, name))
    except DuplicateHeader:
        return None


def text_of(data: bytes | None) -> str | None:
    """Bytes as text for people; what is not UTF-8 is escaped."""
    return None if data is None else data.decode("utf-8", errors="backslashreplace")


def _readable(where: Deployment, value: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record with its sealed texts as what they say, or why that cannot be read."""
    if value is None or value.get("tenant_id") is None:
        return value
    form: dict[str, Any] = where.readable(value, value["tenant_id"])
    return form


def _say_row(row: dict[str, Any]) -> None:
    place = f"{row['topic']}/{row['partition']}/{row['offset']}"
    say(f"{row['appended']} {place} {row['ce_type'] or '?'} {row['key'] or '-'}")
    if "error" in row:
        say(f"  {row['error']} ({row['bytes']} bytes)")
    for name, value in (row["value"] or {}).items():
        if value not in (None, [], ""):
            say(f"  {name}: {value}")


def _decoded(value: bytes, name: str | None) -> Record:
    try:
        if name is None:
            return decode_any(value)
        errors: list[Undecodable] = []
        for ce_type in _ce_types(name):
            headers = [(CE_TYPE, ce_type.encode()), (CONTENT_TYPE, JSON.encode())]
            try:
                return decode(value, headers, bytes_max=WRAPPED_BYTES_MAX)
            except Undecodable as error:
                errors.append(error)
        raise errors[-1]
    except Undecodable as error:
        hint = "; name it with --type" if name is None and value[:1] in (b"{", b"\x00") else ""
        raise AnswerIsNo(f"not a record of ours: {error}{hint}") from None


def _ce_types(name: str) -> list[str]:
    """The ce_types that a name may stand for."""
    if name in RECORD_TYPES:
        return [name]
    if name in RECORDS:
        return [known for known, model in RECORD_TYPES.items() if model is RECORDS[name]]
    raise UsageWrong(f"--type: no such record: {name}; a ce_type or one of {', '.join(RECORDS)}")

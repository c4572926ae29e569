"""The schemas that data may have been written with: current ones and every released one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import fastavro

from schemas.avro_bounds import Walk, compile_walk
from schemas.avro_schema import (
    AVRO_DIR,
    HISTORY_DIR,
    NAMESPACE,
    SUFFIX,
    AvroSchema,
    derive,
    fingerprint,
)
from schemas.model import Record
from schemas.registry import RECORDS


@dataclass(frozen=True, slots=True)
class Writer:
    """A schema that bytes may have been written with."""

    model: type[Record]
    fingerprint: bytes
    parsed: AvroSchema
    walk: Walk
    current: bool
    name: str
    text: str


@cache
def current(model: type[Record]) -> Writer:
    """The writer schema of today for a record, from its model."""
    return _writer(derive(model), is_current=True)


@cache
def writers() -> Mapping[bytes, Writer]:
    """Every known schema by its fingerprint."""
    known = {}
    for path in sorted(HISTORY_DIR.glob(f"*/*{SUFFIX}")):
        writer = _writer(json.loads(path.read_text(encoding="utf-8")), is_current=False)
        known[writer.fingerprint] = writer
    for model in RECORDS.values():
        writer = current(model)
        known[writer.fingerprint] = writer
    return MappingProxyType(known)


def schema_files() -> list[Path]:
    """The files of the current schemas, as they are given to other programs."""
    return sorted(AVRO_DIR.glob(f"*{SUFFIX}"))


def _writer(schema: AvroSchema, *, is_current: bool) -> Writer:
    parsed = fastavro.parse_schema(schema)
    assert isinstance(parsed, dict)
    return Writer(
        model=RECORDS[schema["name"]],
        fingerprint=fingerprint(schema),
        parsed=parsed,
        walk=compile_walk(parsed),
        current=is_current,
        name=f"{NAMESPACE}.{schema['name']}",
        text=json.dumps(schema, ensure_ascii=False),
    )

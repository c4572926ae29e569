"""Whether two schemas read each other's data, tried with values made from the schemas."""

from __future__ import annotations

import copy
import io
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError


def problems(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What goes wrong when each schema reads what the other wrote; empty when nothing does."""
    found = []
    for writer, reader, way in ((one, other, "new reads old"), (other, one, "old reads new")):
        for full in (True, False):
            try:
                _round(copy.deepcopy(writer), copy.deepcopy(reader), full=full)
            except (SchemaResolutionError, ValueError, TypeError, KeyError, EOFError) as error:
                found.append(f"{writer['name']}, {way}: {type(error).__name__} {error}")
    return found


def _round(writer: dict[str, Any], reader: dict[str, Any], *, full: bool) -> None:
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, fastavro.parse_schema(writer), _value(writer, {}, full=full))
    sink.seek(0)
    fastavro.schemaless_reader(sink, fastavro.parse_schema(writer), fastavro.parse_schema(reader))


def _value(schema: Any, named: dict[str, Any], *, full: bool) -> Any:
    """A value of the schema: every branch and item there (full), or as little as it allows."""
    if isinstance(schema, list):
        return _value(schema[-1 if full else 0], named, full=full)
    if isinstance(schema, str):
        if schema in named:
            return _value(named[schema], named, full=full)
        return {"string": "s", "long": 7, "double": 0.5, "boolean": full, "bytes": b"b"}.get(schema)
    match schema["type"]:
        case "record":
            named[f"{schema.get('namespace', 'countersign')}.{schema['name']}"] = schema
            return {f["name"]: _value(f["type"], named, full=full) for f in schema["fields"]}
        case "array":
            return [_value(schema["items"], named, full=full)] * 2 if full else []
        case "map":
            return {"k": _value(schema["values"], named, full=full)} if full else {}
        case inner:
            return _value(inner, named, full=full)

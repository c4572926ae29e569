"""Bytes to records and back. What comes in is hostile until it has come out of here.

In: Avro single-object encoding, Confluent framing, or JSON where the headers say so. Out: Avro
single-object encoding; Confluent framing with a registry; JSON for shells.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final, Literal, Protocol, TypeVar

import fastavro
from pydantic import ValidationError

from schemas.avro_bounds import check_shape
from schemas.avro_files import Writer, current, writers
from schemas.avro_schema import fingerprint
from schemas.canonical import parse_json_strict
from schemas.headers import AVRO, CE_TYPE, CONTENT_TYPE, JSON, DuplicateHeader, Headers, header
from schemas.model import Record
from schemas.registry import ce_type_of, models_of, topic_of

VALUE_BYTES_MAX: Final = 256 * 1024
"""Of an input value; checked before anything is parsed."""
_SINGLE_OBJECT: Final = b"\xc3\x01"
_SINGLE_OBJECT_HEAD_BYTES: Final = 10
_CONFLUENT: Final = b"\x00"
_CONFLUENT_HEAD_BYTES: Final = 5

OutputFormat = Literal["avro", "json"]
R = TypeVar("R", bound=Record)


class Undecodable(Exception):
    """The value is not a record. `reason` is a stable slug, `detail` says more; neither repeats
    what stood in the value."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class RegistryUnavailable(Exception):
    """The schema registry did not answer; try again, the record is not to blame."""


class SchemaIds(Protocol):
    """A schema registry, as far as the codec needs it. Both raise RegistryUnavailable."""

    def schema_id(self, topic: str, schema_name: str, schema: str) -> int:
        """The id of our schema under TopicRecordName, registered if new. `topic` has no prefix."""
        ...

    def schema(self, schema_id: int) -> str | None:
        """The Avro schema with this id as JSON text; None if the registry has none."""
        ...


def content_type_of(output: OutputFormat) -> str:
    """The `content-type` header that goes with an output format."""
    return JSON if output == "json" else AVRO


def encode(
    record: Record, *, output: OutputFormat = "avro", registry: SchemaIds | None = None
) -> bytes:
    """The value of a record to publish.

    A registry frames what has a topic; what stands in the journal only stays self-describing.
    """
    if output == "json":
        return record.model_dump_json().encode()
    writer = current(type(record))
    sink = io.BytesIO()
    topic = topic_of(record) if registry is not None else None
    if registry is not None and topic is not None:
        schema_id = registry.schema_id(topic, writer.name, writer.text)
        sink.write(_CONFLUENT + schema_id.to_bytes(4, "big"))
    else:
        sink.write(_SINGLE_OBJECT + writer.fingerprint)
    fastavro.schemaless_writer(sink, writer.parsed, record.model_dump())
    return sink.getvalue()


def decode(
    value: bytes | None,
    headers: Headers | None,
    *,
    registry: SchemaIds | None = None,
    bytes_max: int = VALUE_BYTES_MAX,
) -> Record:
    """The record of a value. Raises Undecodable, or RegistryUnavailable.

    `bytes_max` is for readers of what the worker wrote, which may be larger than any input.
    """
    if value is None:
        raise Undecodable("null_value")
    if len(value) > bytes_max:
        raise Undecodable("value_too_large", f"{len(value)} bytes, at most {bytes_max}")
    ce_type, content_type = _names(headers)
    models = models_of(ce_type)
    if not models:
        raise Undecodable("unknown_ce_type")
    if value.startswith(_SINGLE_OBJECT):
        writer = _writer_of(value)
        record = _read(value[_SINGLE_OBJECT_HEAD_BYTES:], writer, _bound(writer, models))
    elif content_type == JSON:
        record = _read_json(value, models)
    elif value.startswith(_CONFLUENT):
        writer = _registered_writer(value, registry)
        record = _read(value[_CONFLUENT_HEAD_BYTES:], writer, _bound(writer, models))
    else:
        raise Undecodable("unknown_encoding", f"neither Avro nor {CONTENT_TYPE} {JSON}")
    if ce_type_of(record) != ce_type:
        raise Undecodable("ce_type_mismatch", f"the record is a {ce_type_of(record)}")
    return record


def decode_bytes(value: bytes, model: type[R]) -> R:
    """A record of ours, single-object encoded, without headers. Raises Undecodable."""
    record = decode_any(value)
    if not isinstance(record, model):
        raise Undecodable("ce_type_mismatch", f"a {type(record).__name__}, not {model.__name__}")
    return record


def decode_any(value: bytes) -> Record:
    """The record of ours that the fingerprint names, such as an event of the journal.

    No limit of size: what we wrote may be as large as a topic allows. Raises Undecodable.
    """
    writer = _writer_of(value)
    return _read(value[_SINGLE_OBJECT_HEAD_BYTES:], writer, writer.model)


def _names(headers: Headers | None) -> tuple[str, str]:
    try:
        ce_type, content_type = header(headers, CE_TYPE), header(headers, CONTENT_TYPE)
        if not ce_type:
            raise Undecodable("no_ce_type", f"header {CE_TYPE} is missing")
        media_type = (content_type or b"").decode().partition(";")[0].strip().lower()
        return ce_type.decode(), media_type
    except DuplicateHeader as duplicate:
        raise Undecodable("duplicate_header", str(duplicate)) from None
    except UnicodeDecodeError:
        raise Undecodable("header_not_utf8", f"{CE_TYPE} or {CONTENT_TYPE}") from None


def _writer_of(value: bytes) -> Writer:
    if len(value) < _SINGLE_OBJECT_HEAD_BYTES or not value.startswith(_SINGLE_OBJECT):
        raise Undecodable("unknown_encoding", "not an Avro single object")
    writer = writers().get(value[len(_SINGLE_OBJECT) : _SINGLE_OBJECT_HEAD_BYTES])
    if writer is None:
        raise Undecodable("unknown_fingerprint")
    return writer


def _registered_writer(value: bytes, registry: SchemaIds | None) -> Writer:
    if registry is None:
        raise Undecodable("no_registry", "Confluent framing needs COUNTERSIGN_SCHEMA_REGISTRY_URL")
    if len(value) < _CONFLUENT_HEAD_BYTES:
        raise Undecodable("truncated", "the schema id is cut off")
    schema = registry.schema(int.from_bytes(value[1:_CONFLUENT_HEAD_BYTES], "big"))
    if schema is None:
        raise Undecodable("unknown_schema_id")
    try:
        # Only shapes that we have released are read: anyone may register anything.
        writer = writers().get(fingerprint(schema))
    except Exception:  # noqa: BLE001 - a stranger's schema; the parser raises many things
        raise Undecodable("unknown_schema_id", "its schema cannot be parsed") from None
    if writer is None:
        raise Undecodable("unknown_fingerprint", "the registered schema is not one of ours")
    return writer


def _bound(writer: Writer, models: Sequence[type[Record]]) -> type[Record]:
    if writer.model not in models:
        raise Undecodable("ce_type_mismatch", f"the value is a {writer.model.__name__}")
    return writer.model


def _read(body: bytes, writer: Writer, model: type[Record]) -> Record:
    try:
        check_shape(writer.walk, body)
    except ValueError as error:
        raise Undecodable("malformed_avro", str(error)) from None
    reader = None if writer.current else current(model).parsed
    try:
        form = fastavro.schemaless_reader(io.BytesIO(body), writer.parsed, reader)
    except Exception:  # noqa: BLE001 - text not UTF-8, instants out of range, unresolvable
        raise Undecodable("malformed_avro", "a value has no meaning in its type") from None
    try:
        return model.model_validate(form)
    except ValidationError as error:
        raise _invalid(error) from None


def _read_json(value: bytes, models: Sequence[type[Record]]) -> Record:
    try:
        form = parse_json_strict(value)
    except (ValueError, RecursionError):
        raise Undecodable(
            "malformed_json", "not I-JSON text with unique keys and bounded depth"
        ) from None
    if not isinstance(form, dict):
        raise Undecodable("malformed_json", "not an object")
    model = next((m for m in models if form.keys() <= m.model_fields.keys()), models[0])
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Undecodable:
    """Names the field and the rule; never the text, which may be a secret or a bomb of its own."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "extra_forbidden":
        # The last part of its path is a name the sender made up.
        place = ".".join(map(str, first["loc"][:-1])) or "the record"
        return Undecodable("unknown_field", f"{place} has a field that is not known")
    place = ".".join(str(part) for part in first["loc"])
    return Undecodable("invalid_field", f"{place}: {first['type']}")

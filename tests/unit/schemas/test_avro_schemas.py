"""Models, committed schemas and releases agree."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import load_schema, to_parsing_canonical_form

from schemas.avro_files import current, schema_files, writers
from schemas.avro_schema import (
    AVRO_DIR,
    HISTORY_DIR,
    MANIFEST,
    SUFFIX,
    derive,
    fingerprint,
    release,
)
from schemas.codec import decode_any, encode
from schemas.model import Record
from schemas.registry import RECORDS
from tests.unit.schemas.cases import EXAMPLES
from tests.unit.schemas.compatibility import problems

RELEASED = sorted(HISTORY_DIR.glob(f"*/*{SUFFIX}"))


def _read(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _records(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _records(branch)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            yield schema
            for field in schema["fields"]:
                yield from _records(field["type"])
        for key in ("items", "values"):
            yield from _records(schema.get(key))


def test_there_is_a_file_for_each_record_and_no_other() -> None:
    """Each record has its schema directly under schemas/avro/, named after it."""
    assert [path.stem for path in schema_files()] == sorted(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_model_and_schema_agree(name: str) -> None:
    """Fields, order, types and defaults of the file are those of the model.

    When it fails: `python -m schemas.avro_schema --write`, and look at the difference.
    """
    assert _read(AVRO_DIR / f"{name}{SUFFIX}") == derive(RECORDS[name])


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_says_what_it_is(name: str) -> None:
    """Each record and each field has a doc, and the names are those of the model."""
    for record in _records(_read(AVRO_DIR / f"{name}{SUFFIX}")):
        assert record["doc"]
        for field in record["fields"]:
            assert field["doc"], f"{record['name']}.{field['name']} has no doc"
    fields = [field["name"] for field in _read(AVRO_DIR / f"{name}{SUFFIX}")["fields"]]
    assert fields == list(RECORDS[name].model_fields)


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_value_needs_nothing_but_the_files_and_fastavro(record: Record) -> None:
    """Another program finds the schema by its fingerprint and reads the value with it."""
    value = encode(record)
    by_fingerprint = {}
    for path in AVRO_DIR.glob("*.avsc"):
        schema = load_schema(str(path))
        canonical = to_parsing_canonical_form(schema)
        crc = avro_fingerprint(canonical, "CRC-64-AVRO")
        by_fingerprint[bytes.fromhex(crc)] = schema

    form = fastavro.schemaless_reader(io.BytesIO(value[10:]), by_fingerprint[value[2:10]], None)

    assert form == record.model_dump()
    assert decode_any(value) == record


def test_fingerprints_are_unique() -> None:
    """A fingerprint names one record, so the writer's schema is never a guess."""
    assert len({current(model).fingerprint for model in RECORDS.values()}) == len(RECORDS)


def test_releases_never_change() -> None:
    """The kept schemas are, byte for byte, what their release said."""
    manifests = sorted(HISTORY_DIR.glob(f"*/{MANIFEST}"))
    assert manifests

    for manifest in manifests:
        listed = json.loads(manifest.read_text(encoding="utf-8"))
        files = {path.stem: path for path in manifest.parent.glob(f"*{SUFFIX}")}
        assert sorted(listed) == sorted(files)
        for name, path in files.items():
            content = path.read_bytes()
            assert hashlib.sha256(content).hexdigest() == listed[name]["sha256"]
            assert fingerprint(content.decode()).hex() == listed[name]["fingerprint"]
            assert bytes.fromhex(listed[name]["fingerprint"]) in writers()


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_releases_and_the_current_schemas_read_each_other(path: Path) -> None:
    """Data of a released schema is read with the current one, and the other way round."""
    released = _read(path)

    assert problems(released, derive(RECORDS[path.stem])) == []


_FIELD: dict[str, Any] = {"name": "x", "type": "string", "doc": "Planted."}


@pytest.mark.parametrize(
    "plant",
    [
        lambda fields: [*fields, _FIELD],
        lambda fields: fields[1:],
        lambda fields: [fields[0] | {"type": "long"}, *fields[1:]],
        lambda fields: [fields[0] | {"name": "renamed"}, *fields[1:]],
        lambda fields: [fields[0] | {"type": ["null", "string"]}, *fields[1:]],
    ],
    ids=["no-default", "removed", "retyped", "renamed", "made-nullable"],
)
def test_a_breaking_change_is_seen(plant: Any) -> None:
    """A planted change that one side cannot read is named."""
    old = derive(RECORDS["GrantTake"])
    new = old | {"fields": plant(old["fields"])}

    assert problems(old, new)


def test_a_field_with_a_default_breaks_nothing() -> None:
    """The allowed way to grow."""
    old = derive(RECORDS["GrantTake"])
    new = old | {"fields": [*old["fields"], _FIELD | {"default": ""}]}

    assert problems(old, new) == []


def test_a_release_is_kept_once(tmp_path: Path) -> None:
    """Keeping the same release again is refused."""
    release("9.9.9", tmp_path)

    with pytest.raises(FileExistsError):
        release("9.9.9", tmp_path)

"""Avro schemas, derived from the record models and committed under `schemas/avro/`.

`python -m schemas.avro_schema --write` brings the files up to date; a test holds them to the
models, so neither can change alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import types
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from schemas.model import Record
from schemas.registry import RECORDS

NAMESPACE: Final = "countersign"
AVRO_DIR: Final = Path(__file__).parent / "avro"
HISTORY_DIR: Final = AVRO_DIR / "history"
SUFFIX: Final = ".avsc"
MANIFEST: Final = "manifest.json"

AvroSchema = dict[str, Any]


def derive(model: type[Record]) -> AvroSchema:
    """The self-contained Avro schema of a record: same names, same order, docs, defaults."""
    return _record(model, set())


def schema_text(model: type[Record]) -> str:
    """The text of the committed file."""
    return json.dumps(derive(model), indent=2, ensure_ascii=False) + "\n"


def fingerprint(schema: AvroSchema | str) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, little-endian, as single-object encoding has it.

    fastavro gives the eight bytes in that order already (Avro 1.12, "Single-object encoding").
    """
    parsed = fastavro.parse_schema(json.loads(schema) if isinstance(schema, str) else schema)
    return bytes.fromhex(avro_fingerprint(to_parsing_canonical_form(parsed), "CRC-64-AVRO"))


def _record(model: type[Record], seen: set[str]) -> AvroSchema:
    seen.add(model.__name__)
    return {
        "type": "record",
        "name": model.__name__,
        "namespace": NAMESPACE,
        "doc": " ".join((model.__doc__ or "").split()),
        "fields": [_field(name, info, seen) for name, info in model.model_fields.items()],
    }


def _field(name: str, info: FieldInfo, seen: set[str]) -> AvroSchema:
    field: AvroSchema = {
        "name": name,
        "type": _type(info.annotation, seen),
        "doc": info.description or "",
    }
    if not info.is_required():
        field["default"] = info.get_default(call_default_factory=True, validated_data={})
    return field


def _type(annotation: Any, seen: set[str]) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0], seen)
    if origin is Literal:
        return "string"
    if origin in (Union, types.UnionType):
        return _union(args, seen)
    if origin is list:
        return {"type": "array", "items": _type(args[0], seen)}
    if origin is dict:
        return {"type": "map", "values": _type(args[1], seen)}
    if annotation in (datetime, AwareDatetime):
        return {"type": "long", "logicalType": "timestamp-micros"}
    if isinstance(annotation, type) and issubclass(annotation, Record):
        if annotation.__name__ in seen:
            return f"{NAMESPACE}.{annotation.__name__}"
        return _record(annotation, seen)
    return {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}[
        annotation
    ]


def _union(args: tuple[Any, ...], seen: set[str]) -> Any:
    branches: list[Any] = []
    for arg in args:
        if arg is not type(None) and (branch := _type(arg, seen)) not in branches:
            branches.append(branch)  # two closed sets of strings are one Avro string
    if len(branches) != 1:
        raise TypeError(f"no Avro form for a union of {args}")
    return ["null", branches[0]] if type(None) in args else branches[0]


def write_all(directory: Path = AVRO_DIR) -> list[Path]:
    """Writes every current schema; the files written."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, model in RECORDS.items():
        path = directory / f"{name}{SUFFIX}"
        path.write_text(schema_text(model), encoding="utf-8")
        paths.append(path)
    return paths


def release(version: str, history: Path = HISTORY_DIR) -> Path:
    """Keeps the current schemas as released: from now on their data must stay readable.

    Raises FileExistsError if that release is kept already; a release never changes.
    """
    folder = history / version
    folder.mkdir(parents=True)
    manifest = {}
    for path in write_all(folder):
        content = path.read_bytes()
        manifest[path.stem] = {
            "fingerprint": fingerprint(content.decode()).hex(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    target = folder / MANIFEST
    target.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return target


def main() -> None:
    """Checks the files against the models, writes them, or keeps them as a release."""
    parser = argparse.ArgumentParser(description="Derive schemas/avro/ from the record models.")
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--release", metavar="VERSION", help="keep them as released")
    arguments = parser.parse_args()
    if arguments.write:
        write_all()
    for name, model in RECORDS.items():
        path = AVRO_DIR / f"{name}{SUFFIX}"
        if not path.exists() or path.read_text(encoding="utf-8") != schema_text(model):
            print(f"{path.name} differs from the model: run with --write")
            raise SystemExit(1)
    if arguments.release:
        print(release(arguments.release))


if __name__ == "__main__":
    main()

"""What stands in bytes, for people: decoded by the schema that they name, whatever release wrote it."""

from __future__ import annotations

import base64
import io
import json
from datetime import datetime
from typing import Any, Final

import fastavro

from schemas.avro_files import Writer, writers
from schemas.headers import rfc3339

_HEAD: Final = b"\xc3\x01"
_HEAD_BYTES: Final = 10


def schemas_in(values: Readable) -> list[Writer]:
    """The schemas that were met, by name."""
    known = writers()
    return sorted((known[mark] for mark in values.met), key=lambda found: found.name)


class Readable:
    """Turns values into JSON forms, and notes by which schemas."""

    def __init__(self) -> None:
        self.met: set[bytes] = set()

    def form(self, value: bytes | None) -> Any:
        """The JSON form of a value: a record by its name, else text, else base64."""
        if value is None:
            return None
        record = self._record(value)
        if record is not None:
            return record
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}

    def line(self, seq: int, value: bytes) -> bytes:
        """One line of JSON about one value, with nothing in it that a terminal acts on."""
        return dumped({"seq": seq, **self.form(value)})

    def _record(self, value: bytes) -> dict[str, Any] | None:
        mark = value[len(_HEAD) : _HEAD_BYTES]
        writer = writers().get(mark) if value.startswith(_HEAD) else None
        if writer is None:
            return None
        try:
            form = fastavro.schemaless_reader(io.BytesIO(value[_HEAD_BYTES:]), writer.parsed, None)
        except Exception:  # noqa: BLE001 - an input that was refused may be anything
            return None
        self.met.add(mark)
        return {writer.name.rpartition(".")[2]: self._plain(form)}

    def _plain(self, value: Any) -> Any:
        match value:
            case bytes():
                return self.form(value)
            case datetime():
                return rfc3339(value)
            case dict():
                return {name: self._plain(part) for name, part in value.items()}
            case list():
                return [self._plain(part) for part in value]
            case _:
                return value


def dumped(form: Any) -> bytes:
    """One line of JSON, ASCII only; the same for the same form."""
    return json.dumps(form, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def schema_text(writer: Writer) -> bytes:
    """A schema as it stands in a bundle."""
    return (json.dumps(json.loads(writer.text), indent=1, ensure_ascii=True) + "\n").encode()

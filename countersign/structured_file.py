"""Reads a YAML or JSON file so that an error can name its line.

YAML is read without its timestamps (a date stays text, and the model reads it), without duplicate
keys and without tags; JSON strictly, with the lines found by the YAML reader.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from countersign.failure import UsageWrong
from countersign.wording import sentence
from schemas.canonical import parse_json_strict

Loc = tuple[str | int, ...]
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Far above any directory of people; far below what would hurt."""
_QUOTED: Final = re.compile(r"'([^']*)'")
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader whose dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class StructuredFile:
    """A parsed file: its document, the line of every key and item, and its SHA-256."""

    path: Path
    document: object
    lines: Mapping[Loc, int]
    sha256: str

    def line(self, loc: Sequence[str | int]) -> int:
        """The line of the nearest thing the location names; 1 for the document."""
        known = tuple(loc)
        while known and known not in self.lines:
            known = known[:-1]
        return self.lines.get(known, 1)

    def complaint(self, loc: Sequence[str | int], what: str) -> str:
        """`file:line: where: what`."""
        where = _dotted(loc)
        return f"{self.path}:{self.line(loc)}: {f'{where}: ' if where else ''}{what}"


def read_structured(path: Path) -> StructuredFile:
    """The file's document. Raises UsageWrong naming the file and the line."""
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageWrong(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    is_json = path.suffix == ".json"
    document: object = None
    if is_json:
        try:
            document = parse_json_strict(text)
        except ValueError as error:
            line = getattr(error, "lineno", 1)
            raise UsageWrong(f"{path}:{line}: not JSON: {error}; mend it") from None
        text = text.replace("\t", " ")  # YAML knows no tabs; JSON strings cannot hold them
    loader = _Loader(text)
    lines: dict[Loc, int] = {}
    try:
        node = loader.get_single_node()
        if node is not None:
            for loc, line in _lines(node, (), path):
                lines[loc] = line
            if not is_json:
                document = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise UsageWrong(f"{path}:{line}: not YAML: {error.problem}; mend it") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageWrong(f"{path}: not YAML: {error}; mend it") from None
    finally:
        loader.dispose()
    return StructuredFile(path, document, lines, hashlib.sha256(data).hexdigest())


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises UsageWrong when it cannot be read or is absurdly large."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageWrong(f"{path}: {error.strerror}; name a file that can be read") from None
    if len(data) > FILE_BYTES_MAX:
        raise UsageWrong(f"{path}: larger than {FILE_BYTES_MAX} bytes; split it by tenant")
    return data


def validated(file: StructuredFile, model: type[Model], *, wire: bool = False) -> Model:
    """The document as `model`. Raises UsageWrong with one line per error: line and mend.

    wire: it is the JSON form of a record, whose times are text.
    """
    try:
        if wire:
            return model.model_validate_json(json.dumps(file.document))
        return model.model_validate(file.document)
    except ValidationError as error:
        schema = model.model_json_schema()
        found = [
            (loc, sentence(one, _keys_at(schema, loc[:-1])))
            for one in error.errors(include_url=False)
            for loc in [one["loc"] or _meant(file, one["msg"])]
        ]
        found.sort(key=lambda one: file.line(one[0]))
        raise UsageWrong(*(file.complaint(loc, what) for loc, what in found)) from None


def _meant(file: StructuredFile, message: str) -> Loc:
    """Where the thing stands that an error about the whole document names: the last value it
    quotes, below the key that it begins with, if it begins with one."""
    quoted = _QUOTED.findall(message)
    about = re.split(r"[ :]", message.removeprefix("Value error, "))[0]
    below = [loc for loc in file.lines if loc[:1] == (about,)]
    named = [
        loc for loc in below or file.lines if quoted and _value_at(file.document, loc) == quoted[-1]
    ]
    return (named or below[:1] or [()])[-1]


def _value_at(document: Any, loc: Loc) -> object:
    """What stands there; None where YAML has made something else of it, as of a merge."""
    try:
        for part in loc:
            document = document[part]
    except (LookupError, TypeError):
        return None
    return document


def _lines(node: yaml.Node, loc: Loc, path: Path) -> Iterator[tuple[Loc, int]]:
    yield loc, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                raise UsageWrong(f"{path}:{line}: {_dotted((*loc, name))}: stands twice; keep one")
            seen.add(name)
            yield from _lines(value, (*loc, name), path)
            yield (*loc, name), line
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*loc, index), path)


def _dotted(loc: Sequence[str | int]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_at(schema: dict[str, Any], loc: Loc) -> list[str]:
    definitions = schema.get("$defs", {})

    def resolve(part: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rsplit("/", 1)[1]])
        for option in part.get("anyOf", []):
            found = resolve(option)
            if found.get("type") in ("object", "array"):
                return found
        return part

    here = resolve(schema)
    for step in loc:
        inner = (
            here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step)
        )
        if not inner:
            return []
        here = resolve(inner)
    return sorted(here.get("properties", {}))

"""Canonical JSON and the digests that rest on it (RFC 8785, RFC 7493).

One text for one value: a digest over it means the same to the agent, the reviewer, the worker and
the executor, whatever language each is written in.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Set as AbstractSet
from typing import Any, Final, NoReturn

import rfc8785

from schemas.model import Record

JSON_DEPTH_MAX: Final = 32
"""Nesting of arrays and objects; far above any real argument, far below Python's stack."""
_I_JSON_INTEGER_MAX: Final = 2**53 - 1
_INTEGER_CHARS_MAX: Final = 17
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def canonical_json(value: object) -> str:
    """The RFC 8785 text of a JSON value. Raises ValueError if it has none (NaN, too big)."""
    return _canonical_bytes(value).decode()


def parse_json_strict(text: str | bytes, *, depth_max: int = JSON_DEPTH_MAX) -> object:
    """The value of an I-JSON text.

    Raises ValueError for what two readers could read differently: equal keys in an object, NaN and
    infinities, numbers outside I-JSON, lone surrogates, a byte order mark; and for nesting deeper
    than `depth_max`, before anything is built.
    """
    if isinstance(text, bytes):
        text = text.decode()  # UnicodeDecodeError is a ValueError
    _check_depth(text, depth_max)
    value: object = json.loads(
        text,
        object_pairs_hook=_object,
        parse_constant=_refuse_constant,
        parse_int=_integer,
        parse_float=_real,
    )
    if _SURROGATE_ESCAPE.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # a lone one cannot be encoded
    return value


def is_canonical(text: str) -> bool:
    """Whether the text is, byte for byte, the RFC 8785 text of the value that it stands for."""
    try:
        return canonical_json(parse_json_strict(text)) == text
    except ValueError:
        return False


def sha256_hex(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def action_digest(tool_name: str, effect_type: str, args_json: str) -> str:
    """The one digest of an action: SHA-256 over RFC 8785 of args, effect type and tool name.

    Raises ValueError if `args_json` is not I-JSON.
    """
    action = {
        "args": parse_json_strict(args_json),
        "effect_type": effect_type,
        "tool_name": tool_name,
    }
    return sha256_hex(_canonical_bytes(action))


def record_json(record: Record) -> dict[str, Any]:
    """The JSON form of a record: every field, nulls and empty lists included."""
    return record.model_dump(mode="json")


def record_digest(record: Record, *, without: AbstractSet[str] = frozenset()) -> str:
    """SHA-256 over RFC 8785 of the record's JSON form, some fields left out."""
    form = record.model_dump(mode="json", exclude=set(without) or None)
    return sha256_hex(_canonical_bytes(form))


def _canonical_bytes(value: object) -> bytes:
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks at run time
    except RecursionError:
        raise ValueError("nested too deep") from None


def _check_depth(text: str, depth_max: int) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth > depth_max:
                    raise ValueError(f"nested deeper than {depth_max}")
            case "]" | "}":
                depth -= 1


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has two equal keys")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _INTEGER_CHARS_MAX or abs(int(text)) > _I_JSON_INTEGER_MAX:
        raise ValueError("an integer is outside I-JSON")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is outside I-JSON")
    return value

"""Checks the shape of Avro bytes against their schema before anything is built from them.

fastavro reads a union or enum index of -1 as the last branch, takes any byte for a boolean and
ignores what comes after the value. Here each length and count is held against the bytes that are
left, so nothing is allocated that the sender did not pay for, and the value must end where the
bytes end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

DEPTH_MAX: Final = 16
"""Nesting of a schema; ours are at most 6 deep and none is recursive."""
_LONG_BYTES_MAX: Final = 10

Walk = Callable[[bytes, int], int]
"""From the bytes and a position to the position after the value. Raises ValueError."""


def compile_walk(schema: Any) -> Walk:
    """A checker for values of a parsed schema. Raises ValueError for a recursive one."""
    return _walk(schema, {}, 0)


def check_shape(walk: Walk, body: bytes) -> None:
    """Raises ValueError unless the body is exactly one value of the walk's schema."""
    end = walk(body, 0)
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes after the end of the record")


def _walk(schema: Any, named: dict[str, Walk], depth: int) -> Walk:
    if depth > DEPTH_MAX:
        raise ValueError("schema nested too deep")
    if isinstance(schema, list):
        return _union([_walk(branch, named, depth + 1) for branch in schema])
    if isinstance(schema, str):
        if (known := named.get(schema) or _PRIMITIVES.get(schema)) is None:
            raise ValueError(f"{schema} is recursive or not read here")
        return known
    kind = schema["type"]
    if kind == "record":
        walk = _sequence([_walk(field["type"], named, depth + 1) for field in schema["fields"]])
        # Registered only now: a record that names itself is not found, and so is refused.
        named[schema["name"]] = walk
        return walk
    if kind == "array":
        return _blocks(_walk(schema["items"], named, depth + 1))
    if kind == "map":
        return _blocks(_sequence([_bytes, _walk(schema["values"], named, depth + 1)]))
    if isinstance(kind, (dict, list)) or kind in _PRIMITIVES:
        return _walk(kind, named, depth + 1)
    raise ValueError(f"no records with {kind} here")


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long and where it ends. Raises ValueError."""
    value = shift = 0
    for index in range(at, min(at + _LONG_BYTES_MAX, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), index + 1
        shift += 7
    raise ValueError("a number is cut off or too long")


def _long(data: bytes, at: int) -> int:
    return read_long(data, at)[1]


def _null(data: bytes, at: int) -> int:
    return at


def _boolean(data: bytes, at: int) -> int:
    if data[at : at + 1] not in (b"\0", b"\1"):
        raise ValueError("a boolean is neither 0 nor 1")
    return at + 1


def _double(data: bytes, at: int) -> int:
    if len(data) - at < struct.calcsize("<d"):
        raise ValueError("a number is cut off")
    return at + struct.calcsize("<d")


def _bytes(data: bytes, at: int) -> int:
    length, at = read_long(data, at)
    if not 0 <= length <= len(data) - at:
        raise ValueError("a length is negative or runs past the end")
    return at + length


_PRIMITIVES: Final[dict[str, Walk]] = {
    "null": _null,
    "boolean": _boolean,
    "long": _long,
    "double": _double,
    "bytes": _bytes,
    "string": _bytes,
}


def _sequence(parts: list[Walk]) -> Walk:
    def walk(data: bytes, at: int) -> int:
        for part in parts:
            at = part(data, at)
        return at

    return walk


def _union(branches: list[Walk]) -> Walk:
    def walk(data: bytes, at: int) -> int:
        index, at = read_long(data, at)
        if not 0 <= index < len(branches):
            raise ValueError("a union index is out of range")
        return branches[index](data, at)

    return walk


def _blocks(item: Walk) -> Walk:
    def walk(data: bytes, at: int) -> int:
        while True:
            count, at = read_long(data, at)
            if count == 0:
                return at
            block_end = None
            if count < 0:
                size, at = read_long(data, at)
                count, block_end = -count, at + size
            # Each item of our schemas takes at least a byte.
            if count > len(data) - at:
                raise ValueError("a count runs past the end")
            for _ in range(count):
                at = item(data, at)
            if block_end is not None and at != block_end:
                raise ValueError("a block does not end where it says")

    return walk

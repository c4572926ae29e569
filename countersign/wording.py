"""What pydantic finds wrong, in plain sentences that say the mend."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

_PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Za-z0-9._:@-]{1,128}$": "write 1 to 128 letters, digits, or . _ : @ -",
    r"^[A-Za-z0-9._@-]{1,64}$": "write 1 to 64 letters, digits, or . _ @ -",
    r"^[A-Za-z0-9._@-]+:[a-z_]+$": "write a scope as subject:decision, such as notice:approve",
}
_NAMED: Final[Mapping[str, str]] = {
    "missing": "is missing; add it",
    "string_type": "must be text; put it in quotes",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "list_type": "must be a list",
    "invalid_key": "a key must be text; put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "datetime_type": "write a time such as 2027-01-01T00:00:00Z",
    "datetime_parsing": "write a time such as 2027-01-01T00:00:00Z",
    "datetime_from_date_parsing": "write a time such as 2027-01-01T00:00:00Z",
    "timezone_aware": "add the time zone, such as 2027-01-01T00:00:00Z",
}
_TIMEOUT: Final = "on_timeout"


def sentence(error: ErrorDetails, known: Sequence[str] = ()) -> str:
    """The mend of one error; `known` are the keys that may stand beside an unknown one."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _NAMED:
        return _NAMED[kind]
    match kind:
        case "extra_forbidden":
            return _unknown_key(str(error["loc"][-1]), known)
        case "literal_error":
            if error["loc"] and error["loc"][-1] == _TIMEOUT:  # whatever word was tried for a yes
                return f"a timeout never approves; write {context['expected']}"
            return _not_one_of(error["input"], str(context["expected"]))
        case "string_pattern_mismatch":
            return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
        case "string_too_short" | "too_short":
            least = context["min_length"]
            return "is empty; write it" if least == 1 else f"is too short; it has at least {least}"
        case "string_too_long" | "too_long":
            what = "characters" if kind.startswith("string") else "entries"
            return f"is too long; it has at most {context['max_length']} {what}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case _:
            return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _unknown_key(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; remove it (known here: {', '.join(known)})" if known else "unknown key"


def _not_one_of(given: Any, expected: str) -> str:
    near = difflib.get_close_matches(str(given), expected.replace(" or ", ", ").split(", "), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must be {expected}{hint}"

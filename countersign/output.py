"""What commands print: JSON for programs, text for people.

Package text is hostile until shown otherwise: control and bidirectional characters are shown as
escapes, a line stays one line, and nothing in it is read as markup. Times are shown in one form,
for people as in JSON: RFC 3339 in UTC, with Z.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.canonical import parse_json_strict
from schemas.headers import rfc3339

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_NOT_A_TERMINAL_COLUMNS: Final = 160


def inert(value: object) -> str:
    """One line of text: every character that a terminal would act on is shown as an escape."""
    return "".join(_escaped(char) if _acts(char) else char for char in _text(value))


def outline(value: Any) -> Iterator[str]:
    """Data as indented lines for people, inert; what is empty is left out.

    Text that is itself JSON (`args_json`, a preview) is shown as what it stands for.
    """
    match value:
        case dict():
            for name, part in value.items():
                if part not in (None, [], {}, ""):
                    yield from _headed(f"{inert(name)}:", _opened(str(name), part))
        case list():
            for part in value:
                yield from _headed("-", part)
        case str():
            yield from (inert(line) for line in value.rstrip("\n").split("\n"))
        case _:
            yield inert(json.dumps(value, default=_text))


def markup(value: object) -> str:
    """`inert`, and safe inside rich markup."""
    return escape(inert(value))


def console() -> Console:
    """A console on standard output as it is now; wide where it is not a terminal."""
    width = None if sys.stdout.isatty() else _NOT_A_TERMINAL_COLUMNS
    return Console(highlight=False, soft_wrap=True, width=width, emoji=False)


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """One JSON document on standard output; the same data, with nothing a terminal acts on."""
    text = json.dumps(data, indent=indent, ensure_ascii=False, default=_text)
    print("".join(json.dumps(c)[1:-1] if c != "\n" and _acts(c) else c for c in text))


def emit(data: Any, *, as_json: bool, text: Callable[[], None]) -> None:
    """Prints `data` as JSON, or calls `text`, which prints it for people."""
    if as_json:
        print_json(data)
    else:
        text()


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A plain table; cells are made inert."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(markup("–" if cell is None else cell) for cell in row))
    console().print(shown)


def say(line: str) -> None:
    """One line of text for people on standard output, made inert."""
    print(inert(line))


def note(line: str) -> None:
    """One line beside the data, on standard error, so that standard output stays data."""
    print(inert(line), file=sys.stderr)


def _headed(head: str, value: Any) -> Iterator[str]:
    lines = list(outline(value))
    if len(lines) == 1 and not isinstance(value, dict | list):
        yield f"{head} {lines[0]}"
    elif head == "-":
        yield from (f"{'- ' if not number else '  '}{line}" for number, line in enumerate(lines))
    else:
        yield head
        yield from (f"  {line}" for line in lines)


def _opened(name: str, value: Any) -> Any:
    if isinstance(value, str) and (name.endswith("_json") or name == "side_effect_preview"):
        try:
            return parse_json_strict(value)
        except ValueError:
            return value
    return value


def _text(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"

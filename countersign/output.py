"""What commands print: JSON for programs, text for people.

Package text is hostile until shown otherwise: control and bidirectional characters are shown as
escapes, a line stays one line, and nothing in it is read as markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_NOT_A_TERMINAL_COLUMNS: Final = 160


def inert(value: object) -> str:
    """One line of text: every character that a terminal would act on is shown as an escape."""
    return "".join(_escaped(char) if _acts(char) else char for char in str(value))


def block(value: object, indent: str = "    ") -> str:
    """Text of several lines, each inert and set in, so that none can pass for a line of ours."""
    return "\n".join(f"{indent}{inert(line)}" for line in str(value).split("\n"))


def markup(value: object) -> str:
    """`inert`, and safe inside rich markup."""
    return escape(inert(value))


def console() -> Console:
    """A console on standard output as it is now; wide where it is not a terminal."""
    width = None if sys.stdout.isatty() else _NOT_A_TERMINAL_COLUMNS
    return Console(highlight=False, soft_wrap=True, width=width, emoji=False)


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """One JSON document on standard output; the same data, with nothing a terminal acts on."""
    text = json.dumps(data, indent=indent, ensure_ascii=False, default=str)
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


def _acts(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"

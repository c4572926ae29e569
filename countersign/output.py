"""What commands print: JSON for programs, text for people.

Package text is hostile until shown otherwise: control and bidirectional characters are shown as
escapes, and nothing in it is read as markup.
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

_SHOWN_AS_THEY_ARE: Final = frozenset("\n")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def inert(value: object) -> str:
    """The text with every character that a terminal would act on shown as an escape."""
    return "".join(
        char
        if char in _SHOWN_AS_THEY_ARE or unicodedata.category(char) not in _HIDDEN
        else f"\\u{ord(char):04x}"
        for char in str(value)
    )


def markup(value: object) -> str:
    """`inert`, and safe inside rich markup."""
    return escape(inert(value))


def console() -> Console:
    """A console on standard output as it is now; wide where it is not a terminal."""
    return Console(
        highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160, emoji=False
    )


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


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

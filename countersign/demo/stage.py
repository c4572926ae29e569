"""What the audience of the demo sees: scenes, lines, and one question.

Every text is made inert. On a terminal it comes at a pace to read; elsewhere at once.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable
from threading import Event
from time import monotonic
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from countersign.output import inert

_LINE_S: Final = 0.2
"""To read a short line."""
_PAUSE_S_MAX: Final = 3.0
"""Of one pause; a page can be scrolled back to, and the whole must stay under two minutes."""
_INDENT: Final = 2
_LABEL_COLUMNS: Final = 14
_BAR: Final = "| "
_READ_BYTES: Final = 4096


class Stage:
    """Prints the story. `paced`: with pauses to read. Not for several threads at once."""

    def __init__(self, console: Console, *, paced: bool) -> None:
        self._console = console
        self._paced = paced
        self._unread = 0

    def scene(self, title: str) -> None:
        """A new part of the story, after a pause."""
        self.pause()
        self._console.print()
        self._write(Text(inert(title), style="bold"), indent=0)

    def say(self, line: str, style: str = "") -> None:
        """One line."""
        self._write(Text(inert(line), style=style))

    def facts(self, rows: Iterable[tuple[str, object]]) -> None:
        """Names and values; what is None or empty is left out."""
        for name, value in rows:
            if value in (None, "", []):
                continue
            text = inert("; ".join(map(str, value)) if isinstance(value, list) else value)
            if not self._console.is_terminal:
                self._write(Text(f"{name:<{_LABEL_COLUMNS}}{text}"), indent=2 * _INDENT)
                continue
            row = Table.grid(padding=0)
            row.add_column(width=_LABEL_COLUMNS, style="dim")
            row.add_column(overflow="fold")
            row.add_row(Text(name), Text(text))
            self._console.print(Padding(row, (0, 0, 0, 2 * _INDENT)))
            self._unread += 1

    def quote(self, text: str) -> None:
        """Somebody else's words, such as a mail: each line inert and behind a bar."""
        width = self._console.width - 2 * _INDENT - len(_BAR)
        for line in text.rstrip("\n").split("\n"):
            shown = Text(inert(line))
            # Wrapped here, so that every line on the terminal has its bar.
            folded = shown.wrap(self._console, width) if self._console.is_terminal else [shown]
            for part in folded:
                bar = _BAR if part.plain else _BAR.rstrip()
                self._write(Text.assemble((bar, "dim"), part), indent=2 * _INDENT)

    def page(self, text: str) -> None:
        """What another command of ours printed, set in."""
        for line in text.rstrip("\n").split("\n"):
            self._write(Text(inert(line)), indent=2 * _INDENT if line else 0)

    def pause(self) -> None:
        """Time to read what came since the last pause; none where nobody reads along."""
        if self._paced and self._unread:
            Event().wait(min(self._unread * _LINE_S, _PAUSE_S_MAX))
        self._unread = 0

    def ask(self, question: str, answers: dict[str, str], default: str, within_s: float) -> str:
        """The answer that a person types, by its first letter; the default on Enter or silence.

        answers: letter to answer. Anything else is asked again, within the same time.
        """
        until = monotonic() + within_s
        while True:
            self._console.print(Padding(Text(inert(question), style="bold"), (0, 0, 0, _INDENT)))
            self._unread = 0
            typed = _typed(until - monotonic())
            if typed is None:
                self.say(f"no answer within {within_s:.0f} s: {default}", style="dim")
                return default
            if not typed:
                return default
            if (chosen := answers.get(typed[0].lower())) is not None:
                return chosen

    def _write(self, text: Text, *, indent: int = _INDENT) -> None:
        self._unread += 1
        if self._console.is_terminal:
            self._console.print(Padding(text, (0, 0, 0, indent)))
        else:
            self._console.print(Text(" " * indent).append_text(text), soft_wrap=True)
            self._console.file.flush()


def stage(*, as_json: bool) -> Stage:
    """The stage on standard output; on standard error where that carries JSON."""
    out = sys.stderr if as_json else sys.stdout
    return Stage(Console(file=out, highlight=False, emoji=False, markup=False), paced=out.isatty())


def _typed(within_s: float) -> str | None:
    """A line from the terminal, stripped; empty at its end; None when none came in time."""
    descriptor = sys.stdin.fileno()
    ready, _, _ = select.select([descriptor], [], [], max(within_s, 0))
    if not ready:
        return None
    # Not through sys.stdin: its buffer would keep from `select` what it holds.
    return os.read(descriptor, _READ_BYTES).decode(errors="replace").strip()

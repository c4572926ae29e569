"""The stage: what is printed is inert, and a question never waits for ever."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from countersign.demo.stage import Stage

HOSTILE = "\x1b[2Jgone\u202e [bold]loud[/bold]"
Typing = Callable[[bytes], int | None]


def plain() -> tuple[Stage, io.StringIO]:
    """A stage that is no terminal, and what it printed."""
    out = io.StringIO()
    return Stage(Console(file=out, highlight=False, markup=False, width=80), paced=False), out


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Typing]:
    """Makes standard input a pipe; what is typed comes, and then nothing."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as source, os.fdopen(write, "wb", buffering=0) as sink:
        monkeypatch.setattr("sys.stdin", source)
        yield sink.write


@pytest.mark.parametrize("how", ["say", "quote", "page", "scene"])
def test_hostile_text_is_shown_and_not_obeyed(how: str) -> None:
    """Escapes and bidirectional overrides come out as text; markup stays as it was written."""
    stage, out = plain()

    getattr(stage, how)(HOSTILE)

    assert "\\u001b[2Jgone\\u202e [bold]loud[/bold]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_hostile_values_are_inert_on_a_terminal_too() -> None:
    """The value of a fact cannot clear the screen."""
    out = io.StringIO()
    stage = Stage(Console(file=out, force_terminal=True, markup=False, width=80), paced=False)

    stage.facts([("because", HOSTILE)])

    assert "\x1b[2J" not in out.getvalue()
    assert "\\u001b" in out.getvalue()


def test_facts_leave_out_what_is_empty() -> None:
    """No line for nothing."""
    stage, out = plain()

    stage.facts([("a", None), ("b", ""), ("c", []), ("d", ["x", "y"]), ("e", 0.5)])

    assert out.getvalue().split() == ["d", "x;", "y", "e", "0.5"]


def test_a_line_is_never_broken_where_it_is_no_terminal() -> None:
    """So that a program that reads the output finds a whole line."""
    stage, out = plain()

    stage.say(f"notice.sent {'x' * 300}")

    assert out.getvalue() == f"  notice.sent {'x' * 300}\n"


def test_every_line_of_a_folded_quote_has_its_bar() -> None:
    """Long words of others cannot pass for a line of ours."""
    out = io.StringIO()
    stage = Stage(Console(file=out, force_terminal=True, no_color=True, width=30), paced=False)

    stage.quote("one two three four five six seven eight nine ten\n\nend")

    lines = out.getvalue().splitlines()
    assert len(lines) > 3
    assert all("|" in line for line in lines)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [(b"r\n", "reject"), (b"REJECT\n", "reject"), (b"a\n", "approve"), (b"\n", "approve")],
)
def test_a_letter_or_enter_answers(typing: Typing, typed: bytes, answer: str) -> None:
    """The first letter counts; Enter alone takes the default."""
    stage, _ = plain()
    typing(typed)

    assert stage.ask("?", {"a": "approve", "r": "reject"}, "approve", 5) == answer


def test_silence_takes_the_default(typing: Typing) -> None:
    """It says so, and goes on."""
    stage, out = plain()
    typing(b"")

    assert stage.ask("?", {"a": "approve"}, "approve", 0) == "approve"
    assert "no answer" in out.getvalue()

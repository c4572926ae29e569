"""What is shown is inert: package text is hostile until shown otherwise."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from countersign.output import inert, outline, print_json, say, table

HOSTILE = "\x1b]0;owned\x07 \u202egnp.exe \u200b\u2066[bold red]x[/] \x9b31m\nApproved by: r.boss"


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\r", "\b", "\x9b", "\u202e", "\u2066", "\u200b",
                                  "\u2028", "\ufeff", "\U000e0041", "\n", "\t"])  # fmt: skip
def test_what_a_terminal_acts_on_is_shown_as_an_escape(char: str) -> None:
    """Control, bidirectional, invisible and tag characters."""
    assert inert(f"a{char}b") == f"a\\u{ord(char):04x}b"


def test_letters_of_every_script_are_left_alone() -> None:
    """Only what acts is escaped."""
    text = "Grüße, שלום, 你好, 👍"

    assert inert(text) == text


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Text of others cannot pass for a line of ours."""
    say(f"title: {HOSTILE}")

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_cell_is_neither_markup_nor_control(capsys: pytest.CaptureFixture[str]) -> None:
    """A title in the queue."""
    table(["title"], [[HOSTILE]])

    out = capsys.readouterr().out
    assert "[bold red]x[/]" in out
    assert not {"\x1b", "\u202e", "\x9b", "\x07"} & set(out)


def test_json_is_the_same_data_and_inert_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes of JSON itself, also for what lies above the basic plane."""
    data = {"title": HOSTILE, "tag": "\U000e0041", "word": "Grüße"}

    print_json(data)

    out = capsys.readouterr().out
    assert json.loads(out) == data
    assert not {"\x1b", "\u202e", "\x9b", "\U000e0041"} & set(out)
    assert "Grüße" in out


def test_an_outline_sets_in_what_others_wrote() -> None:
    """Each line of a text is under its name; JSON text is shown as what it stands for."""
    lines = list(
        outline(
            {
                "title": "one",
                "draft": "first\nsecond\x1b",
                "args_json": '{"to":"a\\u202eb","n":1}',
                "refs": ["x", {"ref": "y", "n": 2}],
                "empty": [],
                "nothing": None,
            }
        )
    )

    assert lines == [
        "title: one",
        "draft:",
        "  first",
        "  second\\u001b",
        "args_json:",
        "  to: a\\u202eb",
        "  n: 1",
        "refs:",
        "  - x",
        "  - ref: y",
        "    n: 2",
    ]


def test_a_time_has_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    """In a cell, in an outline and in JSON: UTC with Z, whatever zone it came in."""
    time = datetime(2026, 3, 2, 10, 0, tzinfo=timezone(timedelta(hours=1)))

    table(["due"], [[time]])
    print_json(time)

    shown = "2026-03-02T09:00:00.000000Z"
    assert capsys.readouterr().out.split() == ["due", shown, f'"{shown}"']
    assert list(outline({"due": time})) == [f'due: "{shown}"']
    assert inert(time) == shown


def test_hostile_names_are_inert_too() -> None:
    """Keys of arguments are the agent's words as well."""
    assert list(outline({"args_json": '{"a\\u001b[2J":"x"}'})) == [
        "args_json:",
        "  a\\u001b[2J: x",
    ]

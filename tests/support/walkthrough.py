"""Pages that are typed along: their commands run as they stand, and say what the page shows.

A page is a row of steps: a block of `sh`, and below it, where the page shows it, a block of `text`
with what the commands print. Ids, digests and times differ from run to run, as does the number of partitions; empty lines do not
count; a line with an ellipsis alone stands for any number of lines.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"```(sh|text)\n(.*?)```", re.DOTALL)
_MARK: Final = "\x1e"
_VARIES: Final = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00| UTC)?"), "<time>"),
    (re.compile(r"\b\d+ partitions\b"), "<partitions>"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """What is typed, and what the page says it prints; None: it does not say."""

    commands: str
    shown: str | None


def steps_of(page: str) -> list[Step]:
    """The steps of a page, in their order."""
    found: list[Step] = []
    for kind, text in _BLOCK.findall(page):
        if kind == "sh":
            found.append(Step(text, None))
        else:
            assert found and found[-1].shown is None, f"output without commands: {text}"
            found[-1] = Step(found[-1].commands, text)
    return found


def run(
    steps: Sequence[Step], *, cwd: Path, env: Mapping[str, str], timeout_s: float
) -> tuple[int, list[str]]:
    """Types all steps into one shell that stops at the first failure; its exit status, and what
    each step printed. What it left running is ended."""
    ended = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"
    script = "".join(f"{step.commands}\nprintf '{_MARK}'\n" for step in steps)
    done = subprocess.run(
        ["bash", "-eu", "-c", f"exec 2>&1\n{ended}\n{script}"],
        cwd=cwd,
        env={**env, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout.split(_MARK)


def told_alike(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, but for what differs from run to run."""
    parts = [_plain(part) for part in re.split(r"^…\n", shown, flags=re.MULTILINE)]
    pattern = "(?:.*\n)*".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _plain(printed)) is not None


def path_with(folder: Path) -> str:
    """PATH with the programs of an environment first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _plain(text: str) -> str:
    for pattern, name in _VARIES:
        text = pattern.sub(name, text)
    return "".join(f"{line.rstrip()}\n" for line in text.split("\n") if line.strip())

"""What `doctor` finds: each finding with its mend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` is empty where nothing is to be done."""

    part: str
    level: Level
    what: str
    mend: str = ""

    def form(self) -> dict[str, str]:
        """The finding as JSON."""
        return {"part": self.part, "level": self.level, "what": self.what, "mend": self.mend}


def ok(part: str, what: str) -> Finding:
    """It is as it must be."""
    return Finding(part, "ok", what)


def warning(part: str, what: str, mend: str) -> Finding:
    """It works, and somebody should look."""
    return Finding(part, "warning", what, mend)


def error(part: str, what: str, mend: str) -> Finding:
    """It does not work, or must not be relied on."""
    return Finding(part, "error", what, mend)

"""What stops the development stack from starting."""

from __future__ import annotations


class CannotStart(Exception):
    """The stack cannot be started here; the last line is the mend."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

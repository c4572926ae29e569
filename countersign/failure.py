"""The one funnel: every way a command can fail becomes one line and an exit code.

Exit codes: 0 ok, 1 the answer is no, 2 usage or settings, 3 a server is out of reach, 4 no outcome
in time. A traceback means a bug of ours.
"""

from __future__ import annotations

import sys
from typing import Final

OK: Final = 0
NO: Final = 1
USAGE: Final = 2
OUT_OF_REACH: Final = 3
NO_OUTCOME: Final = 4
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


class CommandFailed(Exception):
    """A command ends with one line that names the thing and its mend.

    `lines` may be more where a file has several errors, each naming its own line.
    """

    exit_code = NO

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class AnswerIsNo(CommandFailed):
    """The system works and says no."""


class UsageWrong(CommandFailed):
    """A flag, a file or a setting is wrong."""

    exit_code = USAGE


class OutOfReach(CommandFailed):
    """A server did not answer."""

    exit_code = OUT_OF_REACH


class NoOutcome(CommandFailed):
    """No outcome in time; nothing is known, and nothing is assumed."""

    exit_code = NO_OUTCOME


def report(failed: CommandFailed) -> int:
    """Prints the lines to standard error and returns the exit code."""
    for line in failed.lines:
        print(line, file=sys.stderr)
    return failed.exit_code

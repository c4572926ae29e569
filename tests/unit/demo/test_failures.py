"""A demo that fails: one line, the ends of the logs, and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from countersign.demo.failures import explained
from countersign.demo.services import ServiceEnded, Services
from countersign.failure import NO, OUT_OF_REACH, CommandFailed
from producers.agent import NoOutcome
from producers.answers import NoAnswer
from producers.connection import BrokerUnreachable


class WithALog(Services):
    """Services whose log is known."""

    def tails(self) -> list[str]:
        """One line."""
        return ["the end of the worker's log:", "  it was Redis"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerUnreachable("127.0.0.1:9092 did not answer"), OUT_OF_REACH),
        (ServiceEnded("the worker ended by itself"), NO),
        (NoOutcome("int-1", "no outcome"), NO),
        (NoAnswer("no answer"), NO),
    ],
)
def test_a_failure_is_one_line_and_the_log(error: Exception, code: int) -> None:
    """3 when a server is away, else 1; the log's end comes after the line."""
    with pytest.raises(CommandFailed) as failed, explained(WithALog()):
        raise error

    assert failed.value.exit_code == code
    assert failed.value.lines[0].startswith("the demo failed: ")
    assert failed.value.lines[-1] == "  it was Redis"


def test_a_bug_keeps_its_traceback() -> None:
    """What nobody expects is not dressed up."""
    with pytest.raises(KeyError), explained(WithALog()):
        raise KeyError("x")


def test_a_service_that_ends_is_named(tmp_path: Path) -> None:
    """The check names it, and its log can be shown after it is gone."""
    services = Services()
    with services:
        services.start("no-such-service", env={}, directory=tmp_path)

        with pytest.raises(ServiceEnded, match="no-such-service ended by itself"):
            services.wait_ready()

        assert any("No such command" in line for line in services.tails())

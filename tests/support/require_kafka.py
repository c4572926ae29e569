"""`--require-kafka=N`: a run in which the real broker was not really used has failed.

A plugin, loaded by `-p tests.support.require_kafka`: tests that were deselected, skipped or not
found do not count.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest

_passed: Final = pytest.StashKey[set[str]]()
_skipped: Final = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption(
        "--require-kafka",
        type=int,
        default=0,
        metavar="N",
        help="fail unless at least N tests marked kafka passed and none of them was skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has run yet."""
    config.stash[_passed] = set()
    config.stash[_skipped] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes how tests marked kafka end."""
    report = yield
    if item.get_closest_marker("kafka") is not None:
        if report.skipped and not hasattr(report, "wasxfail"):
            item.config.stash[_skipped].add(item.nodeid)
        elif report.when == "call" and report.passed:
            item.config.stash[_passed].add(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run when the broker was not really used."""
    if _fault(session.config) is not None and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says why."""
    fault = _fault(config)
    if fault is not None:
        terminalreporter.write_line(f"FAILED: {fault}", red=True, bold=True)


def _fault(config: pytest.Config) -> str | None:
    needed = int(config.getoption("--require-kafka") or 0)
    passed, skipped = config.stash[_passed], config.stash[_skipped]
    if needed and skipped:
        return f"tests against the real broker were skipped: {', '.join(sorted(skipped))}"
    if len(passed) < needed:
        return f"{len(passed)} tests against the real broker passed; at least {needed} must"
    return None

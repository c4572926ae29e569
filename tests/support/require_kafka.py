"""`--require-kafka=N`: a run in which the real broker was not really used has failed.

A plugin, loaded by `-p tests.support.require_kafka`: tests that were deselected, skipped or not
found do not count.
"""

from __future__ import annotations

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
    config.pluginmanager.register(_Noting(config))


class _Noting:
    """Notes how tests marked kafka end, wherever they ran: reports come from every process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test is over."""
        if "kafka" not in report.keywords:
            return
        if report.skipped and not hasattr(report, "wasxfail"):
            self._config.stash[_skipped].add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._config.stash[_passed].add(report.nodeid)


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
    if hasattr(config, "workerinput"):
        return None  # one process of several: the one that collects their reports judges
    needed = int(config.getoption("--require-kafka") or 0)
    passed, skipped = config.stash[_passed], config.stash[_skipped]
    if needed and skipped:
        return f"tests against the real broker were skipped: {', '.join(sorted(skipped))}"
    if len(passed) < needed:
        return f"{len(passed)} tests against the real broker passed; at least {needed} must"
    return None

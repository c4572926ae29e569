"""`make test` fails when the real broker was not really used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_TESTS = """
import pytest

@pytest.mark.kafka
def test_one(): pass

@pytest.mark.kafka
def test_two(): pass

def test_other(): pass
"""
_SKIPPED = """
@pytest.mark.kafka
@pytest.mark.skip(reason="no broker")
def test_three(): pass
"""


def outcome(folder: Path, tests: str, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a run over these tests."""
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = kafka\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "tests.support.require_kafka", "--rootdir", str(folder), *arguments),
            str(folder / "test_it.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_enough_of_them_passed(tmp_path: Path) -> None:
    """Then the run stands as it is."""
    status, said = outcome(tmp_path, _TESTS, "--require-kafka=2")

    assert status == 0, said


@pytest.mark.parametrize("selection", [("-m", "not kafka"), ("-k", "one"), ("-k", "none_of_them")])
def test_deselected_tests_fail_the_run(tmp_path: Path, selection: tuple[str, str]) -> None:
    """What was left out was not shown."""
    status, said = outcome(tmp_path, _TESTS, "--require-kafka=2", *selection)

    assert status == 1
    assert "at least 2 must" in said


def test_a_skipped_test_fails_the_run(tmp_path: Path) -> None:
    """Even where enough others passed."""
    status, said = outcome(tmp_path, _TESTS + _SKIPPED, "--require-kafka=2")

    assert status == 1
    assert "were skipped" in said
    assert "test_three" in said


def test_nothing_is_asked_of_other_runs(tmp_path: Path) -> None:
    """Without the option, a selection is a selection."""
    status, said = outcome(tmp_path, _TESTS, "-m", "not kafka")

    assert status == 0, said

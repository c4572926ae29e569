"""A process is ended only while it is the one that was started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev_stack.process import Started, born, start, tail
from tests.support.eventually import eventually

_WAITS = "import signal; print('here', flush=True); signal.pause()"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Started]:
    """A process that waits for a signal."""
    started = start([sys.executable, "-c", _WAITS], cwd=tmp_path, log=tmp_path / "log")
    yield started
    started.kill()


def test_it_lives_until_it_is_stopped(process: Started, tmp_path: Path) -> None:
    """Stop asks, waits, and leaves no zombie."""
    assert process.alive

    process.stop()

    assert not process.alive
    assert born(process.pid) == ""


def test_a_process_that_took_over_the_id_is_left_alone(process: Started) -> None:
    """The same id with another start time is somebody else's."""
    other = Started(process.pid, "another start")

    other.stop()
    other.kill()

    assert not other.alive
    assert process.alive


def test_a_record_without_a_start_time_ends_nothing(process: Started) -> None:
    """What died before it could be looked at is gone, whoever has its id now."""
    unknown = Started(process.pid, "")

    assert not unknown.signal(signal.SIGKILL)
    assert process.alive


def test_the_last_log_is_kept(process: Started, tmp_path: Path) -> None:
    """A new start moves the old output aside."""
    log = tmp_path / "log"
    eventually(lambda: tail(log) == ["here"], 10)

    again = start([sys.executable, "-c", "print('again')"], cwd=tmp_path, log=log)

    assert again.wait(10)
    assert tail(log) == ["again"]
    assert tail(tmp_path / "log.1") == ["here"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_tethered_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Even when that one was killed: no broker outlives a test run."""
    code = (
        "import sys; from pathlib import Path; from deploy.dev_stack.process import born, start; "
        "import signal; here = Path(sys.argv[1]); "
        f"child = start([sys.executable, '-c', {_WAITS!r}], cwd=here, log=here / 'child', "
        "tethered=True); print(child.pid, child.born, flush=True); signal.pause()"
    )
    log = tmp_path / "parent"
    parent = start([sys.executable, "-c", code, str(tmp_path)], cwd=Path.cwd(), log=log)
    pid, began = eventually(lambda: tail(log), 10)[0].split()
    child = Started(int(pid), began)
    eventually(lambda: tail(tmp_path / "child") == ["here"], 10)
    assert child.alive

    parent.kill()

    assert child.wait(10)

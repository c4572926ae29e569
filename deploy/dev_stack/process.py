"""A server process that outlives the command that started it, and is known again by its start.

A process id alone is not enough to end a process by: ids are used again. The start time that the
system keeps for it is recorded beside it, and nothing is signalled unless both agree.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

POLL_S: Final = 0.05
STOP_WITHIN_S: Final = 30.0
"""A broker flushes its log when asked to stop; after that it is killed."""
_TETHER: Final = Path(__file__).with_name("tethered.py")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, so that ends are collected and no zombie stays."""


def pause(seconds: float) -> None:
    """Waits a moment between two looks at something outside."""
    Event().wait(seconds)


@dataclass(frozen=True, slots=True)
class Started:
    """A process that we started. `born`: the system's word for when it began."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        """Whether it is still there, and still the one we started."""
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            del _children[self.pid]
            return False
        return self.born != "" and born(self.pid) == self.born

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal if it is ours still; False when it is gone."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, within_s: float) -> bool:
        """Whether it ended within the time."""
        deadline = monotonic() + within_s
        while self.alive:
            if monotonic() >= deadline:
                return False
            pause(POLL_S)
        return True

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_WITHIN_S)

    def stop(self) -> None:
        """SIGTERM; SIGKILL when it has not gone after STOP_WITHIN_S."""
        self.signal(signal.SIGTERM)
        if not self.wait(STOP_WITHIN_S):
            self.kill()


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    tethered: bool = False,
) -> Started:
    """Starts a process in a session of its own, its output in `log`, the last one in `log`.1.

    A session of its own, so that Ctrl-C at the terminal does not reach it. tethered: it is killed
    when the calling thread ends, even if by SIGKILL.
    """
    if tethered:
        command = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]
    if log.exists():
        os.replace(log, log.with_name(f"{log.name}.1"))
    with log.open("wb") as out:
        child = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    return Started(child.pid, born(child.pid))


def born(pid: int) -> str:
    """When the process began, in the system's words; empty when it is gone or a zombie."""
    try:
        # proc(5): the name in brackets may hold spaces; 22nd field = start time in clock ticks
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else f"{_BOOT_ID.read_text().strip()}/{fields[19]}"
    except FileNotFoundError:
        if _BOOT_ID.exists():
            return ""
    except (ProcessLookupError, PermissionError):
        return ""
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - where it is, differs
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, began = found.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


def tail(log: Path, lines: int = 15) -> list[str]:
    """The last lines of a log; empty when there is none."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []

"""The servers that the demo uses, and which of them it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from countersign.demo import servers as demo_servers
from countersign.demo.servers import lent_servers
from deploy.dev_stack import CannotStart, Servers, Status
from deploy.dev_stack.stack import How


class Stack:
    """Stands for deploy.dev_stack."""

    def __init__(self, home: Path, before: Status, how: How = "processes") -> None:
        self.place, self.before = home, before
        self.servers = Servers("127.0.0.1:1", "redis://127.0.0.1:2/0", how)
        self.downs = 0
        self.cannot = False

    def home(self) -> Path:
        """Its directory."""
        return self.place

    def status(self) -> Status:
        """What stood before."""
        return self.before

    def up(self, *, say: object) -> Servers:
        """Starts, or cannot."""
        if self.cannot:
            raise CannotStart("no java", "mend: install it")
        return self.servers

    def down(self, *, say: object) -> bool:
        """Counts."""
        self.downs += 1
        return True


NOTHING = Status(None, "nothing was started", "nothing was started")
STANDING = Servers("127.0.0.1:1", "redis://127.0.0.1:2/0", "processes")


def installed(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> Stack:
    """The stack in the place of the real one."""
    monkeypatch.setattr(demo_servers, "dev_stack", stack)
    return stack


@pytest.mark.parametrize(
    ("before", "downs"),
    [
        (NOTHING, 1),
        (Status(STANDING, "no broker is there", "no Redis is there"), 1),
        (Status(STANDING, None, None), 0),
        (Status(STANDING, None, "no Redis is there"), 0),
        (Status(Servers("kafka:9092", "redis://redis", "settings"), "away", "away"), 0),
    ],
)
def test_only_what_nothing_of_ran_before_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: Status, downs: int
) -> None:
    """Servers of somebody else, or of settings, stay."""
    stack = installed(monkeypatch, Stack(tmp_path, before))

    with lent_servers(lambda line: None) as lent:
        assert lent.ours == bool(downs)

    assert stack.downs == downs


def test_what_could_not_start_is_ended_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half a start leaves nothing behind."""
    stack = installed(monkeypatch, Stack(tmp_path, NOTHING))
    stack.cannot = True

    with pytest.raises(CannotStart), lent_servers(lambda line: None):
        raise AssertionError("not reached")

    assert stack.downs == 1


def test_servers_stay_while_another_demo_uses_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one that started them says how to end them, and leaves them."""
    stack = installed(monkeypatch, Stack(tmp_path, NOTHING))
    said: list[str] = []

    with (tmp_path / "demo.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with lent_servers(said.append):
            pass

    assert stack.downs == 0
    assert "countersign dev down" in said[-1]

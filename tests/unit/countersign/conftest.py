"""What tests of commands share: no broker, no settings of the shell they run in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumers.settings import PREFIX
from tests.unit.countersign.command import Command


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs commands."""
    return Command(capsys, monkeypatch)


@pytest.fixture
def trial(command: Command) -> Path:
    """What `init` wrote."""
    assert command("init", "trial").code == 0
    return Path("trial")

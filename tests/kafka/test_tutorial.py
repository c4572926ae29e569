"""The tutorial runs as it is written, and prints what it shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.dev_stack.ports import free_port
from tests.kafka.test_demo import environment
from tests.support.servers import TestServers
from tests.support.walkthrough import Step, path_with, run, steps_of, told_alike

TUTORIAL: Final = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.timeout(300)
def test_the_tutorial_runs_and_prints_what_it_shows(servers: TestServers, tmp_path: Path) -> None:
    """Request, revise, version 2, a quorum of two teams, one mail, its audit and the proof."""
    folder = tmp_path / "tutorial"
    folder.mkdir()
    env = environment(servers.bootstrap_servers, servers.redis_url, tmp_path / "cache") | {
        "COUNTERSIGN_TOPIC_PREFIX": f"tutorial-{os.getpid()}.",
        "COUNTERSIGN_PARTITIONS": "2",
        "PATH": path_with(Path(sys.executable).parent),
    }
    port = str(free_port())
    steps = [
        Step(step.commands.replace("2525", port), step.shown)
        for step in steps_of(TUTORIAL.read_text(encoding="utf-8"))
    ]

    status, printed = run(steps, cwd=folder, env=env, timeout_s=270)

    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    assert status == 0, printed[-1] + logs
    for step, text in zip(steps, printed, strict=False):
        if step.shown is not None:
            assert told_alike(step.shown, text), f"{step.commands}\nprinted:\n{text}"

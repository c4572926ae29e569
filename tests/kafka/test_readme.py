"""What the README shows runs as it stands: the tour, and the three programs of ten lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.dev_stack.ports import free_port
from producers.attempt import receipt_id
from schemas.execution import ToolExecuted
from tests.examples import AGENT, EXECUTOR, REVIEWER
from tests.kafka.test_demo import environment
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import TestServers

README: Final = Path(__file__).parents[2] / "README.md"
_PATH: Final = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def block(name: str) -> str:
    """The code that stands below the mark `<!-- name -->`."""
    found = re.search(
        rf"<!-- {name} -->\n```[a-z]+\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None, f"the README has no block {name}"
    return found[1]


@contextmanager
def running(
    name: str, env: Mapping[str, str], directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The program of a block, its output in `<name>.out`; it is ended with the block."""
    program = directory / f"{name}.py"
    program.write_text(block(name), encoding="utf-8")
    with (directory / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", str(program)],
            cwd=directory,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def said(name: str, directory: Path) -> str:
    """What the program of a block has printed so far."""
    return (directory / f"{name}.out").read_text(encoding="utf-8")


@pytest.mark.timeout(240)
def test_the_tour_runs_as_it_is_written(servers: TestServers, tmp_path: Path) -> None:
    """From `init` to `audit verify` in an empty folder, every command with exit 0."""
    tour = tmp_path / "tour"
    tour.mkdir()
    env = environment(servers.bootstrap_servers, servers.redis_url, tmp_path / "cache") | {
        "COUNTERSIGN_TOPIC_PREFIX": f"tour-{os.getpid()}.",
        "COUNTERSIGN_PARTITIONS": "2",
        "PATH": _PATH,
    }
    script = block("tour").replace("2525", str(free_port()))

    done = subprocess.run(
        ["bash", "-eu", "-c", f"trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}"],
        cwd=tour,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    logs = "".join(path.read_text() for path in tour.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    for wanted in (
        "no errors",
        "notice-1: open; wait for its outcome with: countersign wait notice-1",
        "may approve: r.boss, r.haas, r.okafor",
        "notice-1: approve recorded, final",
        "notice-1: decided with approve",
        "complete: every question has its answer",
        "follow from their genesis",
    ):
        assert wanted in done.stdout, (wanted, done.stdout)
    assert "Subject: Enforcement notice EN-2041" in (tour / "mails.txt").read_text()


def test_the_three_programs_work_together(deployment: Deployment, tmp_path: Path) -> None:
    """The agent asks and waits, the reviewer approves, the executor acts once and reports."""
    keys = tmp_path / "trial" / "keys"
    keys.mkdir(parents=True)
    for theirs, ours in {"agent": AGENT, REVIEWER: REVIEWER, "executor": EXECUTOR}.items():
        shutil.copy(deployment.key_file(ours), keys / f"{theirs}.pem")
    shutil.copy(deployment.directory / "grant-trusted.json", tmp_path / "trial/grant-keys.json")
    deployment.worker()
    with (
        running("executor", deployment.env, tmp_path),
        running("agent", deployment.env, tmp_path) as agent,
    ):
        eventually(lambda: deployment.records("interrupt-status"))
        with running("reviewer", deployment.env, tmp_path) as reviewer:
            assert reviewer.wait(timeout=60) == 0, said("reviewer", tmp_path)

        assert said("reviewer", tmp_path).startswith("recorded: approve, final: True")
        assert agent.wait(timeout=60) == 0, said("agent", tmp_path)
        assert said("agent", tmp_path) == "approved\n"
        (receipt,) = eventually(lambda: deployment.records("tool-execution", ToolExecuted))
        assert "EN-2107" in said("executor", tmp_path)
        assert receipt.event_id == receipt_id(receipt.attempt_id, "executed")

    with running("executor", deployment.env, tmp_path):
        eventually(lambda: "not acting: GRANT_TAKEN" in said("executor", tmp_path))

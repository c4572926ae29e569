"""What `init` says to type next runs as it is printed, down to the proof."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from countersign.__main__ import run as countersign
from countersign.starter import MAIL_PORT
from deploy.dev_stack.ports import free_port
from tests.kafka.test_demo import environment
from tests.support.servers import TestServers
from tests.support.walkthrough import Step, path_with, run, steps_of


@pytest.mark.timeout(300)
def test_the_page_of_the_trial_runs_from_top_to_bottom(
    servers: TestServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One notice to its complete audit, then every mode, an override, a memory and an audit."""
    monkeypatch.chdir(tmp_path)
    assert countersign(["init", "trial"]) == 0
    exports, port = tmp_path / "trial" / "env", str(free_port())
    exports.write_text(exports.read_text().replace(str(MAIL_PORT), port))
    env = environment(servers.bootstrap_servers, servers.redis_url, tmp_path / "cache") | {
        "COUNTERSIGN_TOPIC_PREFIX": f"trial-{os.getpid()}.",
        "COUNTERSIGN_PARTITIONS": "2",
        "PATH": path_with(Path(sys.executable).parent),
    }
    steps = [
        Step(step.commands.replace(str(MAIL_PORT), port), None)
        for step in steps_of((tmp_path / "trial" / "COUNTERSIGN.md").read_text())
    ]

    status, printed = run(steps, cwd=tmp_path, env=env, timeout_s=270)

    logs = "".join(path.read_text() for path in (tmp_path / "trial").glob("*.log"))
    assert status == 0, printed[-1] + logs
    first, on_the_loop, human_led, override, memory, out_of_the_loop, proof, _ = printed[:8]
    assert "complete: every question has its answer" in first
    assert "note-1: object recorded, final" in on_the_loop
    assert "notice-2: approve recorded, not final yet (1 of 2 approvals)" in human_led
    assert "notice-2: approve recorded, final (2 of 2 approvals)" in human_led
    assert "notice-3: approve recorded, final (2 of 2 approvals)" in override
    assert "memory-1: approve recorded, final" in memory
    assert "lookup-1: decided with approve" in out_of_the_loop
    assert "lookup-1: audit_verdict recorded" in out_of_the_loop
    assert "follow from their genesis" in proof
    mails = (tmp_path / "trial" / "mails.txt").read_text()
    for subject in ("Enforcement notice EN-2041", "Stop-work order SW-0107", "Warning EN-2042"):
        assert f"Subject: {subject}" in mails
    assert "Enforcement notice EN-2042" not in mails

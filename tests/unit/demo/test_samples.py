"""What the demo's executors are tried with: a policy, people and requests that fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.actions import action_of
from core.planning import matching_rule
from countersign.commands.policy import read_policy
from countersign.commands.reviewers import read_directory_file
from deploy.demo.memory_store import MemoryStore
from deploy.demo.payments import Ledger
from deploy.demo.samples import main
from schemas.canonical import is_canonical, parse_json_strict
from schemas.requests import InterruptRequested, ToolCall
from tests.unit.demo.permits import a_permit


def request(directory: Path, name: str) -> tuple[InterruptRequested, ToolCall]:
    """A sample request and the action it asks for."""
    text = (directory / name).read_text(encoding="utf-8")
    found = InterruptRequested.model_validate_json(text)
    call = action_of(found.package)
    assert call is not None
    return found, call


def test_the_samples_fit_each_other(tmp_path: Path) -> None:
    """Each request has its rule, its rule an approver, and its executor does it."""
    assert main([str(tmp_path)]) == 0
    policy, _ = read_policy(tmp_path / "tools-policy.yaml")
    people, _ = read_directory_file(tmp_path / "tools-directory.yaml")
    doers = {
        "memory.json": MemoryStore(tmp_path / "memories.sqlite3").write,
        "payment.json": Ledger(tmp_path / "payments.sqlite3").pay,
    }

    for name, do in doers.items():
        asked, call = request(tmp_path, name)
        rule = matching_rule(policy, asked, asked.package.risk_level)
        args = parse_json_strict(call.args_json)
        assert rule is not None and rule.approvals is not None
        assert rule.approvals[0].scope in people.reviewers[0].scopes
        assert is_canonical(call.args_json) and isinstance(args, dict)
        assert do(a_permit(1, call.tool_name, call.effect_type, args)).detail


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the user changed stays."""
    (tmp_path / "payment.json").write_text("mine")

    main([str(tmp_path)])

    assert (tmp_path / "payment.json").read_text() == "mine"
    assert "left as it is" in capsys.readouterr().out

"""`init`: what it writes works together."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import get_args

from core.directory import Directory
from core.jwk import TrustedKeys
from core.planning import plan_for
from countersign import starter
from countersign.commands.policy import read_policy
from countersign.commands.reviewers import read_directory_file
from countersign.directory_file import entries
from producers.keys import read_key
from schemas.canonical import is_canonical
from schemas.requests import InterruptRequested
from schemas.vocabulary import RecordedDecision
from tests.unit.countersign.command import Command


def test_every_file_is_valid_by_its_own_command(trial: Path, command: Command) -> None:
    """The policy and the directory pass their checks, the request decodes."""
    assert command("policy", "check", trial / "policy.yaml").code == 0
    assert command("reviewers", "check", trial / "directory.yaml").code == 0
    decoded = command("decode", trial / "request.json", "--type", "interrupt.requested")
    assert decoded.json["package"]["decision_package_id"] == starter.PACKAGE_ID


def test_the_request_is_planned_for_a_reviewer_of_the_directory(trial: Path) -> None:
    """The policy asks for a role that somebody in the directory has, with its scope."""
    policy, _ = read_policy(trial / "policy.yaml")
    request = InterruptRequested.model_validate_json((trial / "request.json").read_bytes())
    directory = Directory()
    for entry in entries(*read_directory_file(trial / "directory.yaml")):
        directory = directory.apply(entry)

    plan = plan_for(policy, request, signed=True)

    assert plan.mode == "in_the_loop"
    okafor = directory.tenant(starter.TENANT).reviewers["r.okafor"]
    assert plan.slots[0].role in okafor.roles
    assert plan.slots[0].scope in okafor.scopes
    assert is_canonical(request.package.side_effect_preview)


def test_every_command_can_be_tried_by_somebody_of_the_directory(trial: Path) -> None:
    """Between them the reviewers have each scope there is."""
    directory, _ = read_directory_file(trial / "directory.yaml")

    held = {scope for row in directory.reviewers for scope in row.scopes}

    assert held == {f"notice:{decision}" for decision in (*get_args(RecordedDecision), "assign")}


def test_the_keys_are_private_and_trusted(trial: Path) -> None:
    """Each PEM is 0600 and its public half stands in the right set; the grant key stands alone."""
    trusted = TrustedKeys.from_jwks(json.loads((trial / "trusted-keys.json").read_text()))
    granting = TrustedKeys.from_jwks(json.loads((trial / "grant-keys.json").read_text()))
    files = {path.stem: path for path in (trial / "keys").glob("*.pem")}

    assert set(files) == {"agent", "executor", "grant", *starter.REVIEWERS}
    for name, path in files.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        kid = read_key(path).kid
        assert ((trusted.find(kid) is not None), (granting.find(kid) is not None)) == (
            (False, True) if name == "grant" else (True, False)
        )
    assert stat.S_IMODE((trial / "keys").stat().st_mode) == 0o700
    assert granting.by_kid[read_key(files["grant"]).kid].is_bare


def test_no_private_key_is_printed_or_written_elsewhere(command: Command) -> None:
    """Secrets stand in their own files only."""
    ran = command("init", "trial")

    for path in Path("trial/keys").glob("*.pem"):
        secret = path.read_text().splitlines()[1]
        assert secret not in ran.out + ran.err
        others = [p for p in Path("trial").rglob("*") if p.is_file() and p != path]
        assert not [p for p in others if secret in p.read_text()]


def test_nothing_is_written_over(trial: Path, command: Command) -> None:
    """A second init names each file that is there, and changes nothing."""
    before = {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()}

    ran = command("init", "trial")

    assert ran.code == 2
    assert "trial/policy.yaml exists" in ran.err
    assert before == {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()}


def test_a_file_in_the_way_leaves_nothing_half_written(command: Command) -> None:
    """One file of the same name is enough to write none."""
    Path("env").write_text("mine")

    ran = command("init")

    assert (ran.code, sorted(path.name for path in Path().iterdir())) == (2, ["env"])


def test_the_next_commands_name_files_that_are_there(trial: Path, command: Command) -> None:
    """What is printed can be pasted."""
    text = (trial / "COUNTERSIGN.md").read_text()

    for word in text.split():
        if word.startswith("trial/"):
            assert Path(word).exists(), word


def test_the_exports_hold_in_every_directory(trial: Path) -> None:
    """Whole paths."""
    lines = (trial / "env").read_text().splitlines()
    paths = [line.partition("=")[2] for line in lines if "KEY" in line]

    assert len(paths) == 4
    assert all(Path(path).is_absolute() and Path(path).exists() for path in paths)

"""`init`: what it writes works together."""

from __future__ import annotations

import itertools
import json
import stat
from pathlib import Path
from typing import get_args

from core.authority import Claim, can_be_decided, failures
from core.directory import Directory
from core.jwk import TrustedKeys
from countersign import starter
from countersign.commands.policy import read_policy
from countersign.commands.reviewers import read_directory_file
from countersign.directory_file import entries
from producers.keys import read_key
from schemas.canonical import is_canonical
from schemas.requests import InterruptRequested
from schemas.vocabulary import RecordedDecision
from tests import examples as e
from tests.unit.core.world import World
from tests.unit.countersign.command import Command


def requests_of(trial: Path) -> dict[str, InterruptRequested]:
    """The sample requests by their package ids."""
    files = [trial / "request.json", *(trial / "requests").glob("*-*.json")]
    made = [InterruptRequested.model_validate_json(path.read_bytes()) for path in files]
    return {request.package.decision_package_id: request for request in made}


def directory_of(trial: Path) -> Directory:
    """The policy and the directory as a worker knows them."""
    policy, text = read_policy(trial / "policy.yaml")
    directory = Directory().apply(
        e.a_policy_document(policy_version=policy.policy_version, document_json=text)
    )
    for entry in entries(*read_directory_file(trial / "directory.yaml")):
        directory = directory.apply(entry)
    return directory


def test_every_file_is_valid_by_its_own_command(trial: Path, command: Command) -> None:
    """The policy and the directory pass their checks without a remark, the requests decode."""
    for ran in (
        command("policy", "check", trial / "policy.yaml"),
        command("reviewers", "check", trial / "directory.yaml"),
    ):
        assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1), ran.out
    decoded = command("decode", trial / "request.json", "--type", "interrupt.requested")
    assert decoded.json["package"]["decision_package_id"] == "notice-1"
    assert set(requests_of(trial)) == {
        "notice-1", "notice-2", "notice-3", "note-1", "memory-1", "lookup-1"
    }  # fmt: skip


def test_every_request_is_accepted_and_can_be_decided(trial: Path) -> None:
    """By the rules themselves; between them the requests show every mode."""
    directory, modes = directory_of(trial), {}
    for package_id, request in requests_of(trial).items():
        world = World(directory)
        world.send(request)
        assert world.now.accepted is not None, world.events
        modes[package_id] = world.now.accepted.plan.mode
        assert can_be_decided(world.now, directory.tenant(starter.TENANT), e.NOW), package_id
        assert is_canonical(request.package.side_effect_preview)

    assert modes == {
        "notice-1": "in_the_loop",
        "notice-2": "human_led",
        "notice-3": "in_the_loop",
        "note-1": "on_the_loop",
        "memory-1": "in_the_loop",
        "lookup-1": "out_of_the_loop",
    }


def test_two_heads_of_two_teams_can_override_together(trial: Path) -> None:
    """Neither of them answers for the agent, and others may not override at all."""
    world = World(directory_of(trial))
    world.send(requests_of(trial)["notice-1"])
    tenant = world.directory.tenant(starter.TENANT)

    able = [
        name
        for name in tenant.reviewers
        if not failures(world.now, Claim(name, "override"), tenant, e.NOW)
    ]

    assert sorted(able) == ["r.boss", "r.haas"]
    assert len({tenant.reviewers[name].team for name in able}) == 2


def test_every_command_can_be_tried_by_somebody_of_the_directory(trial: Path) -> None:
    """Between them the reviewers have each scope of notices there is."""
    directory, _ = read_directory_file(trial / "directory.yaml")

    held = {scope for row in directory.reviewers for scope in row.scopes}

    decisions = (*get_args(RecordedDecision), "assign", "balance")
    assert {scope for scope in held if scope.startswith("notice:")} == {
        f"notice:{decision}" for decision in decisions
    }


def test_the_keys_are_private_and_trusted(trial: Path) -> None:
    """Each PEM is 0600 and its public half stands in the right set; the grant key stands alone."""
    trusted = TrustedKeys.from_jwks(json.loads((trial / "trusted-keys.json").read_text()))
    granting = TrustedKeys.from_jwks(json.loads((trial / "grant-keys.json").read_text()))
    files = {path.stem: path for path in (trial / "keys").glob("*.pem")}

    assert set(files) == {"agent", "balancer", "executor", "grant", *starter.REVIEWERS}
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


def test_the_next_commands_name_files_that_are_there(trial: Path) -> None:
    """What is printed can be pasted; only what is written into need not be there yet."""
    words = (trial / "COUNTERSIGN.md").read_text().split()

    for before, word in itertools.pairwise(words):
        name = word.removeprefix("@")
        if name.startswith("trial/") and before != ">":
            assert Path(name).exists(), name


def test_the_next_commands_are_those_of_the_page(command: Command) -> None:
    """Up to the audit of a notice that was sent, then how to end it."""
    ran = command("init", "trial")

    printed = [line.strip() for line in ran.out.splitlines() if line.startswith("  ")]
    page = [line.strip() for line in Path("trial/COUNTERSIGN.md").read_text().splitlines()]
    assert [line for line in printed if line not in page] == []
    for wanted in ("deploy.mail_sink", "countersign worker", "countersign notifier", "dev down"):
        assert any(wanted in line for line in printed), wanted


def test_a_folder_with_a_space_is_quoted(command: Command) -> None:
    """In every command."""
    assert command("init", "my trial").code == 0

    page = Path("my trial/COUNTERSIGN.md").read_text()
    assert ". 'my trial'/env" in page
    assert " my trial/" not in page


def test_the_exports_hold_in_every_directory(trial: Path) -> None:
    """Whole paths."""
    lines = (trial / "env").read_text().splitlines()
    paths = [line.partition("=")[2] for line in lines if "KEY" in line]

    assert len(paths) == 5
    assert all(Path(path).is_absolute() and Path(path).exists() for path in paths)

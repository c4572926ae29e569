"""`keys new`: a private file and a public JWK."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from core.jwk import TrustedKeys, trusted_key
from producers.keys import read_key
from tests.unit.countersign.command import Command


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reviewer", "r.okafor", "--tenant", "acme"], {"reviewer_id": "r.okafor", "tenant_id": "acme"}),
        (["--agent", "agent:drafter", "--tenant", "acme"], {"agent_id": "agent:drafter", "tenant_id": "acme"}),
        (
            ["--executor", "notifier", "--tool", "notice.*", "--tenant", "acme", "--tenant", "b"],
            {"executor_id": "notifier", "tools": ["notice.*"], "tenant_ids": ["acme", "b"]},
        ),
        (["--gateway", "--tenant", "acme"], {"tenant_ids": ["acme"]}),
        (["--grant"], {}),
        (["--grant", "--tenant", "acme"], {}),
    ],
)  # fmt: skip
def test_the_jwk_says_for_whom_the_key_may_sign(
    command: Command, options: list[str], said: dict[str, Any]
) -> None:
    """Standard output is the JWK alone; the PEM signs with the same kid."""
    ran = command("keys", "new", *options, "--out", "key.pem")

    assert ran.code == 0
    names = {"reviewer_id", "agent_id", "executor_id", "tools", "tenant_id", "tenant_ids"}
    assert {name: value for name, value in ran.json.items() if name in names} == said
    assert ran.json["kid"] == read_key("key.pem").kid == trusted_key(ran.json).kid
    assert stat.S_IMODE(Path("key.pem").stat().st_mode) == 0o600


def test_a_grant_key_is_bare_and_a_gateway_is_one(command: Command) -> None:
    """Entitlements decide what a key is."""
    grant = trusted_key(command("keys", "new", "--grant").json)
    gateway = trusted_key(command("keys", "new", "--gateway", "--tenant", "acme").json)

    assert (grant.is_bare, gateway.is_gateway) == (True, True)


def test_the_private_key_is_never_printed(command: Command) -> None:
    """Neither the PEM nor the member d."""
    ran = command("keys", "new", "--grant", "--out", "g.pem")

    assert Path("g.pem").read_text().splitlines()[1] not in ran.out + ran.err
    assert "d" not in ran.json
    assert "PRIVATE" not in ran.out + ran.err


def test_keys_are_added_to_a_set_and_the_others_stay(command: Command) -> None:
    """The file is made, then grows; its mode stays."""
    command("keys", "new", "--reviewer", "a", "--tenant", "t", "--add-to", "set.json")
    Path("set.json").chmod(0o640)
    ran = command("keys", "new", "--reviewer", "b", "--tenant", "t", "--add-to", "set.json")

    keys = TrustedKeys.from_jwks(json.loads(Path("set.json").read_text()))
    assert ran.code == 0
    assert {key.reviewer_id for key in keys.by_kid.values()} == {"a", "b"}
    assert stat.S_IMODE(Path("set.json").stat().st_mode) == 0o640
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"keys": 1}', '{"keys": [{"kty": "oct"}]}'])
def test_a_broken_set_is_named_and_left_as_it_is(command: Command, text: str) -> None:
    """And the new private key is gone again: nobody would trust it."""
    Path("set.json").write_text(text)

    ran = command("keys", "new", "--reviewer", "a", "--tenant", "t", "--add-to", "set.json")

    assert (ran.code, "set.json" in ran.err) == (2, True)
    assert Path("set.json").read_text() == text
    assert not Path("a.pem").exists()


def test_a_key_file_is_never_written_over(command: Command) -> None:
    """The old key may be the only one somebody has."""
    command("keys", "new", "--grant", "--out", "g.pem")
    before = Path("g.pem").read_bytes()

    ran = command("keys", "new", "--grant", "--out", "g.pem")

    assert (ran.code, Path("g.pem").read_bytes()) == (2, before)
    assert "g.pem exists" in ran.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "name one of"),
        (["--grant", "--gateway"], "--gateway and --grant"),
        (["--reviewer", "a"], "--tenant: is missing"),
        (["--reviewer", "a/b", "--tenant", "t"], "--reviewer: ids are"),
        (["--reviewer", "a", "--tenant", "t t"], "--tenant: ids are"),
        (["--reviewer", "a", "--tenant", "t", "--tenant", "u"], "one key a tenant"),
        (["--reviewer", "a", "--tenant", "t", "--tool", "x"], "--tool: only an executor"),
    ],
)
def test_what_makes_no_key_says_why(command: Command, options: list[str], why: str) -> None:
    """Usage errors are exit 2 and write nothing."""
    ran = command("keys", "new", *options)

    assert (ran.code, why in ran.err, list(Path().iterdir())) == (2, True, [])


def test_an_executor_for_every_tool_is_said_aloud(command: Command) -> None:
    """Wide by default, and told so."""
    ran = command("keys", "new", "--executor", "e", "--tenant", "t")

    assert ran.json["tools"] == ["*"]
    assert "narrow it with --tool" in ran.err

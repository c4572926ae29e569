"""`policy apply` and `reviewers apply` in a governor's name: what would be refused is said before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from core.jwk import TrustedKeys
from countersign.failure import OUT_OF_REACH, USAGE
from producers.keys import new_key, write_key
from tests.unit.countersign.command import NOBODY, Command, Ran

POLICY: Final = """
tenant_id: acme
policy_version: "1"
role_order: [reviewer]
"""
DIRECTORY: Final = """
tenant_id: acme
reviewers: []
agents: []
"""
GROUPS: Final = ["policy", "reviewers"]


@pytest.fixture
def keys(command: Command) -> Path:
    """Two governors of acme, one of another tenant, and a reviewer; each with a PEM."""
    for option, name, tenant in (
        ("--admin", "g.vance", "acme"),
        ("--admin", "g.moreno", "acme"),
        ("--admin", "g.other", "globex"),
        ("--reviewer", "r.okafor", "acme"),
    ):
        made = command("keys", "new", option, name, "--tenant", tenant, "--add-to", "trusted.json")
        assert made.code == 0, made.err
    write_key(Path("stranger.pem"), new_key())
    return Path("trusted.json")


def applied(command: Command, group: str, text: str, *options: str, keys: Path | None) -> Ran:
    """A file applied where no broker answers: what gets that far exits 3."""
    Path("f.yaml").write_text(text)
    settings = {"BOOTSTRAP_SERVERS": NOBODY}
    if keys is not None:
        settings["TRUSTED_KEYS"] = str(keys)
    return command(group, "apply", "f.yaml", *options, settings=settings)


def file_of(group: str) -> str:
    """A good file."""
    return POLICY if group == "policy" else DIRECTORY


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "acme has governors"),
        (["--cosign", "g.vance.pem"], "name the first key with --key"),
        (["--key", "stranger.pem"], "not in COUNTERSIGN_TRUSTED_KEYS"),
        (["--key", "r.okafor.pem"], "no policy_admin"),
        (["--key", "g.other.pem"], "governs other tenants"),
        (["--key", "g.vance.pem", "--cosign", "g.vance.pem"], "both keys are g.vance's"),
        (["--key", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_what_the_worker_would_refuse_is_said_before_it_is_sent(
    command: Command, keys: Path, group: str, options: list[str], why: str
) -> None:
    """Exit 2 without asking a server; the option is named."""
    ran = applied(command, group, file_of(group), *options, keys=keys)

    assert (ran.code, why in ran.err) == (USAGE, True), ran.err


@pytest.mark.parametrize("group", GROUPS)
def test_a_governor_may(command: Command, keys: Path, group: str) -> None:
    """It goes on to the broker, which is not there."""
    ran = applied(command, group, file_of(group), "--key", "g.vance.pem", keys=keys)

    assert ran.code == OUT_OF_REACH, ran.err


def test_a_policy_of_dual_control_needs_two(command: Command, keys: Path) -> None:
    """Also the one that brings it in."""
    text = POLICY + "dual_control: true\n"

    one = applied(command, "policy", text, "--key", "g.vance.pem", keys=keys)
    two = applied(
        command, "policy", text, "--key", "g.vance.pem", "--cosign", "g.moreno.pem", keys=keys
    )

    assert (one.code, "second governor than g.vance" in one.err) == (USAGE, True)
    assert two.code == OUT_OF_REACH


@pytest.mark.parametrize("group", GROUPS)
def test_without_the_trusted_keys_nobody_knows_whose_key_it_is(
    command: Command, keys: Path, group: str
) -> None:
    """The setting is named; unsigned it still goes out, for a tenant that has no governors."""
    signed = applied(command, group, file_of(group), "--key", "g.vance.pem", keys=None)
    unsigned = applied(command, group, file_of(group), keys=None)

    assert (signed.code, "COUNTERSIGN_TRUSTED_KEYS" in signed.err) == (USAGE, True)
    assert keys.exists()
    assert unsigned.code == OUT_OF_REACH


def test_a_governors_key_begins_when_it_is_made(command: Command) -> None:
    """What was applied unsigned before stands; the command says what changes."""
    ran = command("keys", "new", "--admin", "g.vance", "--tenant", "acme", "--tenant", "globex")

    assert (ran.json["policy_admin"], ran.json["admin_id"]) == (True, "g.vance")
    assert ran.json["tenant_ids"] == ["acme", "globex"]
    assert ran.json["valid_from"].endswith("Z")
    assert "no governor has signed" in ran.err


def test_the_keys_of_grants_are_printed_without_anything_else(command: Command) -> None:
    """From PEM and JWKS files, or the settings; nothing private, no entitlement, no one twice."""
    command("keys", "new", "--grant", "--out", "now.pem", "--add-to", "grants.json")
    command("keys", "new", "--grant", "--out", "former.pem", "--add-to", "former.json")

    named = command("keys", "jwks", "now.pem", "grants.json", "former.json")
    by_setting = command(
        "keys", "jwks", settings={"GRANT_KEY": "now.pem", "GRANT_TRUSTED_KEYS": "former.json"}
    )

    assert named.json == by_setting.json
    assert len(TrustedKeys.from_jwks(named.json).by_kid) == 2
    members = {member for key in named.json["keys"] for member in key}
    assert members == {"kty", "crv", "x", "kid", "alg", "use"}


def test_a_key_that_speaks_for_somebody_is_not_printed_as_a_grant_key(
    command: Command, keys: Path
) -> None:
    """Executors would believe a reviewer's token."""
    refused = command("keys", "jwks", str(keys))
    nothing = command("keys", "jwks")

    assert (refused.code, "speaks for somebody" in refused.err) == (USAGE, True)
    assert (nothing.code, "COUNTERSIGN_GRANT_KEY" in nothing.err) == (USAGE, True)
    assert len(json.loads(keys.read_text())["keys"]) == 4

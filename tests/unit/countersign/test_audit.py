"""`audit verify DIR`: the answer, its exit status, and what is said of keys and digests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumers.audit.bundle import jwks_text
from tests.unit.audit.bundles import GRANTS, PACKAGE, a_told_world, exported
from tests.unit.control.world import trusted
from tests.unit.countersign.command import NOBODY, Command


@pytest.fixture
def evidence(tmp_path: Path) -> str:
    """A bundle in the working directory; its digest."""
    return exported(a_told_world(), tmp_path / "evidence", PACKAGE).manifest_sha256


def test_a_good_bundle_needs_no_server(command: Command, evidence: str) -> None:
    """Exit 0; what was looked at, and whose keys counted."""
    nowhere = {"BOOTSTRAP_SERVERS": NOBODY}

    text = command("audit", "verify", "evidence", settings=nowhere)
    data = command("audit", "verify", "evidence", "--json", settings=nowhere).json

    assert text.code == 0
    assert text.out.startswith("good: ")
    assert "the keys are those in the bundle" in text.err
    assert evidence in text.err
    assert (data["good"], data["manifest_sha256"]) == (True, evidence)
    assert data["covered"] > 0
    assert data["unproven"] == data["unsigned"] == 0


def test_ones_own_keys_and_digest_leave_nothing_to_believe(command: Command, evidence: str) -> None:
    """Nothing more is said on standard error."""
    Path("trusted.json").write_bytes(jwks_text(trusted()))
    Path("grants.json").write_bytes(jwks_text(GRANTS))
    mine = {"TRUSTED_KEYS": "trusted.json", "GRANT_TRUSTED_KEYS": "grants.json"}

    ran = command("audit", "verify", "evidence", "--manifest-sha256", evidence, settings=mine)

    assert (ran.code, ran.err) == (0, "")


def test_a_fault_names_its_file_and_exits_1(command: Command, evidence: str) -> None:
    """In text and as JSON."""
    readme = Path("evidence/README.md")
    readme.write_bytes(readme.read_bytes().replace(b"withheld", b"within", 1))

    text = command("audit", "verify", "evidence")
    data = command("audit", "verify", "evidence", "--json")

    assert (text.code, data.code) == (1, 1)
    assert text.err == "README.md: is not what the manifest says (SHA-256)\n"
    assert json.loads(data.out)["fault"]["file"] == "README.md"


def test_another_digest_than_the_one_given_is_a_fault(command: Command, evidence: str) -> None:
    """However good the rest is."""
    ran = command("audit", "verify", "evidence", "--manifest-sha256", evidence[::-1])

    assert (ran.code, "manifest.json: its SHA-256 is" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("verify", "nowhere"), "no such folder"),
        (("verify", "evidence", "--partition", "1"), "--partition: a bundle is checked whole"),
        (("verify", "--manifest-sha256", "00"), "--manifest-sha256: name the folder"),
        (("export", "x", "--out", "out"), "--tenant: not given"),
        (("export", "--out", "out"), "COUNTERSIGN_GRANT_TRUSTED_KEYS: not set"),
    ],
)
def test_what_cannot_be_meant_is_usage(
    command: Command, evidence: str, argv: tuple[str, ...], said: str
) -> None:
    """Exit 2, before any server is asked."""
    ran = command("audit", *argv)

    assert (ran.code, said in ran.err) == (2, True), ran.err

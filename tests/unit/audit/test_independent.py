"""A second program, in Go, that shares no code with ours: both say the same of every bundle and
grant. Each altered one is described by its name."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from consumers.audit.bundle import BundleFault, Folder, jwks_text
from consumers.audit.bundle_proof import prove_bundle
from consumers.audit.faults import JournalFault
from core.authentication import GRANT_TYP
from core.jwk import TrustedKeys, trusted_key
from core.jws import b64url
from producers.grants import GrantInvalid, verify_grant
from producers.keys import new_key
from schemas.codec import encode
from schemas.events import ToolGateEvent
from tests import examples as e
from tests.unit.audit import bundles
from tests.unit.audit.alterations import ALTERATIONS, GOOD, Evidence
from tests.unit.audit.bundles import PACKAGE, a_told_world, contents
from tests.unit.audit.stories import gate_of
from tests.unit.control.world import KEYS

SOURCE: Final = Path(__file__).parents[2] / "independent"
GO: Final = shutil.which("go")
pytestmark = pytest.mark.skipif(
    GO is None, reason="go is not installed; the independent verifier is written in it"
)
BUILT_WITHIN_S: Final = 240


@pytest.fixture(scope="module")
def independent(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """Runs the program; its answers."""
    program = tmp_path_factory.mktemp("independent") / "independent"
    built = subprocess.run(
        [GO or "go", "build", "-buildvcs=false", "-o", program, "."],
        cwd=SOURCE, capture_output=True, text=True, timeout=BUILT_WITHIN_S, check=False,
    )  # fmt: skip
    assert built.returncode == 0, f"go build: {built.stderr}"

    def run(*argv: object) -> list[dict[str, Any]]:
        done = subprocess.run(
            [program, *map(str, argv)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The story's bundles."""
    world, scratch = a_told_world(), tmp_path_factory.mktemp("evidence")
    bundles.exported(world, scratch / "whole")
    bundles.exported(world, scratch / "scoped", PACKAGE)
    return Evidence(world, contents(scratch / "whole"), contents(scratch / "scoped"), scratch)


def written(files: dict[str, bytes], folder: Path) -> Path:
    """A bundle on the disk."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ours(folder: Path) -> str:
    """The fault that we find; "" for none."""
    try:
        prove_bundle(Folder(folder))
    except (BundleFault, JournalFault) as fault:
        return str(fault)
    return ""


def test_both_agree_on_good_bundles(
    independent: Callable[..., list[dict[str, Any]]], evidence: Evidence, tmp_path: Path
) -> None:
    """Whole or scoped, with checkpoints or without."""
    folders = [written(make(evidence), tmp_path / what) for what, make in GOOD.items()]

    theirs = independent("bundle", *folders)

    assert [one["fault"] for one in theirs] == [""] * len(GOOD)
    assert list(map(ours, folders)) == [""] * len(GOOD)


def test_both_agree_on_each_altered_bundle(
    independent: Callable[..., list[dict[str, Any]]], evidence: Evidence, tmp_path: Path
) -> None:
    """At least twenty, most of them with everything put in order again but for the one thing."""
    folders = [
        written(alter(evidence), tmp_path / str(number))
        for number, alter in enumerate(ALTERATIONS.values())
    ]

    theirs = {
        what: one["good"]
        for what, one in zip(ALTERATIONS, independent("bundle", *folders), strict=True)
    }

    assert len(ALTERATIONS) >= 20
    assert [what for what, good in theirs.items() if good] == []
    mine = dict(zip(ALTERATIONS, map(ours, folders), strict=True))
    assert [what for what, fault in mine.items() if not fault] == []


def resigned(gate: ToolGateEvent, by: str = "grant", typ: str = GRANT_TYP, **over: Any) -> str:
    """The grant with other claims, signed anew."""
    return KEYS[by].sign({**claims_of(gate), **over}, typ=typ)


def claims_of(gate: ToolGateEvent) -> dict[str, Any]:
    """What the grant says."""
    part = (gate.grant_jws or "").split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


def edited(gate: ToolGateEvent, **over: Any) -> str:
    """The grant with other claims under its old signature."""
    head, _, signature = (gate.grant_jws or "").split(".")
    body = b64url(json.dumps({**claims_of(gate), **over}).encode())
    return f"{head}.{body}.{signature}"


def headed(gate: ToolGateEvent, **over: Any) -> str:
    """The grant under another header, signed over it where the grant key can."""
    _, body, signature = (gate.grant_jws or "").split(".")
    head = {"alg": "EdDSA", "kid": KEYS["grant"].kid, "typ": GRANT_TYP, **over}
    said = b64url(json.dumps({k: v for k, v in head.items() if v is not None}).encode())
    private = KEYS["grant"].private.raw_value
    signature = b64url(private.sign(f"{said}.{body}".encode()))  # type: ignore[union-attr, call-arg]
    return f"{said}.{body}.{signature}"


def altered_grants(gate: ToolGateEvent) -> dict[str, ToolGateEvent]:
    """By what was done to them."""
    fields: dict[str, Any] = {
        "args_json": '{"body":"other"}', "tool_name": "payment.make", "effect_type": "payment",
        "action_digest": "00" * 32, "grant_id": "grant-2", "run_id": "run-2", "tenant_id": "other",
        "interrupt_id": "int-2", "decision_package_id": "pkg-2", "package_version": 7,
        "gate": "revoked", "grant_jws": None,
    }  # fmt: skip
    claims: dict[str, Any] = {
        "aud": "payment.make", "sub": "run-2", "jti": "grant-2", "tenant_id": "other",
        "interrupt_id": "int-2", "decision_package_id": "pkg-2", "package_version": 7,
        "effect_type": "payment", "action_digest": "00" * 32, "exp": 4102444800, "nbf": 0,
        "approvers": ["r.boss"], "decision_event_ids": [], "policy_version": "other", "iss": "x",
    }  # fmt: skip
    signed_anew = {"aud", "sub", "jti", "tenant_id", "package_version", "action_digest"}
    heads: dict[str, dict[str, Any]] = {
        "alg none": {"alg": "none"}, "alg HS256": {"alg": "HS256"}, "alg ES256": {"alg": "ES256"},
        "another typ": {"typ": "JWT"}, "no typ": {"typ": None}, "no kid": {"kid": None},
        "crit": {"crit": ["exp"]}, "jku": {"jku": "https://x"}, "a key of its own": {
            "jwk": new_key().public_jwk()}, "another kid": {"kid": KEYS["r.boss"].kid},
    }  # fmt: skip
    jws = {
        **{f"claim {n} edited": edited(gate, **{n: value}) for n, value in claims.items()},
        **{f"claim {n} signed anew": resigned(gate, **{n: claims[n]}) for n in signed_anew},
        **{f"header: {what}": headed(gate, **over) for what, over in heads.items()},
        "signed by a reviewer's key": resigned(gate, "r.boss"),
        "signed by an unknown key": resigned(gate, "r.lind"),
        "the signature cut": (gate.grant_jws or "")[:-1],
        "a part more": f"{gate.grant_jws}.e30",
        "no JWS": "grant",
    }
    return {
        **{f"field {n}": gate.model_copy(update={n: value}) for n, value in fields.items()},
        **{what: gate.model_copy(update={"grant_jws": text}) for what, text in jws.items()},
    }


def test_both_agree_on_grants(
    independent: Callable[..., list[dict[str, Any]]], evidence: Evidence, tmp_path: Path
) -> None:
    """Good in its time; refused before it, after it, and with anything altered."""
    gate = gate_of(evidence.world)
    assert gate.valid_until is not None
    cases = {
        "good": (gate, gate.occurred_at),
        "good until its last second": (gate, gate.valid_until - timedelta(seconds=1)),
        "expired": (gate, gate.valid_until),
        "not begun": (gate, gate.occurred_at - timedelta(minutes=2)),
        **{what: (one, gate.occurred_at) for what, one in altered_grants(gate).items()},
    }
    reviewer = KEYS["r.boss"].public_jwk(reviewer_id="r.boss", tenant_id=e.TENANT)
    keys = TrustedKeys.of([*bundles.GRANTS.by_kid.values(), trusted_key(reviewer)])
    folder = written(evidence.whole, tmp_path / "whole")
    (tmp_path / "keys.json").write_bytes(jwks_text(keys))
    lines = [
        json.dumps({"now": int(now.timestamp()), "value": base64.b64encode(encode(one)).decode()})
        for one, now in cases.values()
    ]
    (tmp_path / "gates.jsonl").write_text("\n".join(lines) + "\n")

    answers = independent(
        "grants", folder / "schemas", tmp_path / "keys.json", tmp_path / "gates.jsonl"
    )

    theirs = {what: one["good"] for what, one in zip(cases, answers, strict=True)}
    mine = {}
    for what, (one, now) in cases.items():
        try:
            verify_grant(one, keys=keys, now=now)
            mine[what] = True
        except GrantInvalid:
            mine[what] = False
    assert theirs == mine
    assert [what for what, good in mine.items() if good] == ["good", "good until its last second"]
    assert len(cases) >= 40

"""Forged grants and checkpoints: no executor acts on one, no audit builds on one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from core.authentication import GRANT_TYP
from core.checkpoints import (
    CHECKPOINT_TYP,
    BadCheckpoint,
    checkpoint_claims,
    signed_checkpoint,
    verify_checkpoint,
)
from core.grants import grant_claims
from core.jwk import TrustedKeys, trusted_key
from core.jws import JWS_BYTES_MAX, BadToken, verify
from producers.grants import GrantInvalid, verify_grant
from producers.keys import SigningKey, new_key
from schemas.journal import JournalCheckpoint
from tests import examples as e
from tests.unit.forge import tokens as t

KEY: Final = new_key()
SPEAKS: Final = {
    name: new_key() for name in ("agent_id", "reviewer_id", "executor_id", "admin_id", "tenant_ids")
}
P256: Final = t.new_p256()
GENESIS: Final = "ab" * 32
GRANT_CLAIMS: Final = frozenset(
    {
        "iss", "aud", "sub", "tenant_id", "interrupt_id", "decision_package_id", "package_version",
        "effect_type", "action_digest", "approvers", "decision_event_ids", "jti", "nbf", "exp",
        "policy_version",
    }
)  # fmt: skip
NOT_COMPARED: Final = {
    "iss", "approvers", "decision_event_ids", "policy_version", "nbf", "exp"
}  # fmt: skip
"""What a gate's executor reads out of the grant and compares with nothing: other values than the
signed ones cannot be had without the key; types and times are still looked at."""


def keys() -> TrustedKeys:
    """The grant key, and keys that stand in the set by mistake."""
    said: Any = {name: ["acme"] if name == "tenant_ids" else "x" for name in SPEAKS}
    wrong = [key.public_jwk(**{name: said[name]}) for name, key in SPEAKS.items()]
    jwks = [KEY.public_jwk(), P256.public_jwk(), *wrong]
    return TrustedKeys.of(trusted_key(jwk) for jwk in jwks)


def grant() -> t.Good:
    """A good grant."""
    claims = grant_claims(e.a_gate_event(), e.a_state(), issuer="countersign")
    head = {"alg": "EdDSA", "kid": KEY.kid, "typ": GRANT_TYP}
    return t.Good(head, json.loads(json.dumps(claims)), KEY)


def checkpoint() -> JournalCheckpoint:
    """A checkpoint, unsigned."""
    return JournalCheckpoint(
        partition=1,
        size=3,
        root="cd" * 32,
        head_hash="ef" * 32,
        occurred_at=e.NOW,
        checkpoint_jws="",
        frontier=[],
    )


def checkpoint_token() -> t.Good:
    """A good signature of it."""
    claims = checkpoint_claims(checkpoint(), genesis=GENESIS)
    head = {"alg": "EdDSA", "kid": KEY.kid, "typ": CHECKPOINT_TYP}
    return t.Good(head, claims, KEY)


def by_others(good: t.Good) -> Iterator[t.Forged]:
    """Really signed by trusted keys that sign neither."""
    for name, key in (*SPEAKS.items(), ("P-256", P256)):
        head = {**good.head, "kid": key.kid, "alg": key.algorithm}
        yield t.Forged(f"by a key with {name}", (good.made(head, key=key),))


def tokens_of(good: t.Good) -> Iterator[t.Forged]:
    """The forgeries that are one token."""
    others = [P256, *SPEAKS.values()]
    for forged in (*t.forgeries(good, others=others), *by_others(good)):
        if forged.tokens and forged.tokens[0] is not None:
            yield forged


def believed_grant(token: bytes, now: Any = e.NOW) -> bool:
    """Whether an executor would act on it."""
    try:
        gate = e.a_gate_event().model_copy(
            update={"grant_jws": token.decode("utf-8", "surrogateescape")}
        )
        verify_grant(gate, keys=keys(), now=now)
    except GrantInvalid:
        return False
    return True


def believed_checkpoint(token: bytes) -> bool:
    """Whether an audit would build on it."""
    signed = checkpoint().model_copy(
        update={"checkpoint_jws": token.decode("utf-8", "surrogateescape")}
    )
    try:
        verify_checkpoint(signed, genesis=GENESIS, keys=keys())
    except BadCheckpoint:
        return False
    return True


def test_no_executor_acts_on_a_forged_grant() -> None:
    """Header, encoding, key, and every claim that the gate names too."""
    good = grant()
    cases = [f for f in tokens_of(good) if f.claim not in NOT_COMPARED]

    assert believed_grant(good.made())
    assert len(cases) > 150
    assert [f.name for f in cases if believed_grant(f.tokens[0] or b"")] == []


@pytest.mark.parametrize("claim", ["approvers", "decision_event_ids", "nbf", "exp"])
def test_a_grants_other_claims_are_what_they_must_be(claim: str) -> None:
    """Of another type they are no grant; who approved may be left out, when it ends may not."""
    good = grant()
    rest = {name: value for name, value in good.claims.items() if name != claim}
    left_out = [good.made(claims=rest)] if claim in t.TIMES else []
    wrong = left_out + [
        good.claiming(**{claim: value}) for value in (None, True, "soon", {"a": 1}, [1])
    ]

    assert [token for token in wrong if believed_grant(token)] == []


@pytest.mark.parametrize(("claim", "at", "believed"), [
    ("exp", 0, False), ("exp", -1, False), ("exp", 1, True), ("nbf", 60, True), ("nbf", 61, False),
])  # fmt: skip
def test_a_grant_has_its_time(claim: str, at: int, believed: bool) -> None:
    """An end is an end, to the second; a beginning may be a minute ahead."""
    token = grant().claiming(**{claim: int(e.NOW.timestamp()) + at})

    assert believed_grant(token) is believed


def test_no_audit_builds_on_a_forged_checkpoint() -> None:
    """Header, encoding, key and every claim."""
    good = checkpoint_token()
    cases = list(tokens_of(good))

    assert believed_checkpoint(good.made())
    assert len(cases) > 150
    assert [f.name for f in cases if believed_checkpoint(f.tokens[0] or b"")] == []


def test_a_checkpoint_is_of_one_journal_and_says_what_it_says() -> None:
    """Another cluster's, another topic's, another partition's; every field altered."""
    signed = signed_checkpoint(
        checkpoint(), genesis=GENESIS, sign=lambda claims: KEY.sign(claims, typ=CHECKPOINT_TYP)
    )
    altered: list[dict[str, Any]] = [
        {"partition": 2}, {"size": 4}, {"root": "ce" * 32}, {"head_hash": "ee" * 32},
        {"occurred_at": e.at(1)},
    ]  # fmt: skip
    for other in altered:
        with pytest.raises(BadCheckpoint):
            verify_checkpoint(signed.model_copy(update=other), genesis=GENESIS, keys=keys())
    with pytest.raises(BadCheckpoint):
        verify_checkpoint(signed, genesis="ba" * 32, keys=keys())
    verify_checkpoint(signed, genesis=GENESIS, keys=keys())


@pytest.mark.parametrize("key", [KEY, P256], ids=["Ed25519", "P-256"])
def test_a_token_has_at_most_8_kib(key: SigningKey) -> None:
    """To the byte, and before anything of it is parsed."""
    head = {"alg": key.algorithm, "kid": key.kid, "typ": GRANT_TYP}

    def padded(letters: int) -> bytes:
        return t.signed(head, {"pad": "A" * letters}, key)

    lengths = {len(padded(letters)): padded(letters) for letters in range(5900, 6100)}
    exact = max(length for length in lengths if length <= JWS_BYTES_MAX)

    assert exact >= JWS_BYTES_MAX - 2
    assert verify(lengths[exact], keys=keys(), typ=GRANT_TYP).key.kid == key.kid
    over = min(length for length in lengths if length > JWS_BYTES_MAX)
    with pytest.raises(BadToken, match="over 8192 bytes"):
        verify(lengths[over], keys=keys(), typ=GRANT_TYP)


def test_the_matrix_of_proofs_is_complete() -> None:
    """Every claim of both."""
    assert grant().claims.keys() == GRANT_CLAIMS
    for good in (grant(), checkpoint_token()):
        assert {forged.claim for forged in tokens_of(good)} >= good.claims.keys()

"""What the producers sign is what the worker believes, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.authentication import (
    Unauthenticated,
    authenticate,
    typ_of,
)
from core.jwk import TrustedKeys, trusted_key
from producers.keys import SigningKey, new_key
from producers.signing import sign_grant, sign_record
from schemas.codec import encode
from schemas.headers import SIGNATURE
from schemas.model import Record
from schemas.registry import ce_type_of
from tests import examples as e

KEY = new_key()
TENANTS = [e.TENANT]
SENT: list[tuple[Record, str, str, dict[str, Any]]] = [
    (e.a_request(), e.AGENT, e.INTERRUPT_ID, {"agent_id": e.AGENT, "tenant_id": e.TENANT}),
    (e.a_cancellation(), e.AGENT, e.INTERRUPT_ID, {"agent_id": e.AGENT, "tenant_id": e.TENANT}),
    (e.a_decision(), e.REVIEWER, "cmd-1", {"reviewer_id": e.REVIEWER, "tenant_id": e.TENANT}),
    (e.a_take(), e.EXECUTOR, e.ATTEMPT_ID,
     {"executor_id": e.EXECUTOR, "tenant_ids": TENANTS, "tools": ["notice.*"]}),
    (e.an_executed(), e.EXECUTOR, "receipt-1",
     {"executor_id": e.EXECUTOR, "tenant_ids": TENANTS, "tools": ["notice.*"]}),
    (e.a_notice_sent(), e.EXECUTOR, "notice-event-1",
     {"executor_id": e.EXECUTOR, "tenant_ids": TENANTS, "tools": ["notice.*"]}),
]  # fmt: skip


def signed(record: Record, sub: str, jti: str, key: SigningKey = KEY, **over: Any) -> str:
    """The token of a record."""
    said: dict[str, Any] = {
        "typ": typ_of(record), "audience": "here", "sub": sub, "tenant_id": e.TENANT,
        "ce_type": ce_type_of(record), "jti": jti, "now": e.NOW,
    }  # fmt: skip
    return sign_record(encode(record), key=key, **(said | over))


@pytest.mark.parametrize(("record", "sub", "jti", "entitled"), SENT, ids=lambda x: type(x).__name__)
def test_each_kind_of_record_is_believed_of_who_signed_it(
    record: Record, sub: str, jti: str, entitled: dict[str, Any]
) -> None:
    """Signed by the producers, verified as the worker does it."""
    keys = TrustedKeys.of([trusted_key(KEY.public_jwk(**entitled))])
    token = signed(record, sub, jti)

    signer = authenticate(
        record, ce_type_of(record), encode(record), [(SIGNATURE, token.encode())],
        keys=keys, audience="here", append_time=e.NOW,
    )  # fmt: skip

    assert (signer.subject, signer.tenant_id, signer.kid) == (sub, e.TENANT, KEY.kid)


def test_a_session_goes_with_a_gateways_signature() -> None:
    """`sid` tells two people behind one gateway key apart; only its digest is kept."""
    keys = TrustedKeys.of([trusted_key(KEY.public_jwk(tenant_ids=TENANTS))])
    record = e.a_decision()
    token = signed(record, e.REVIEWER, "cmd-1", sid="session-1")

    signer = authenticate(
        record, ce_type_of(record), encode(record), [(SIGNATURE, token.encode())],
        keys=keys, audience="here", append_time=e.NOW,
    )  # fmt: skip

    assert signer.kind == "gateway"
    assert signer.sid not in (None, "session-1")


def test_a_signature_ends_after_ten_minutes() -> None:
    """Judged by the append time, not by a clock of ours."""
    keys = TrustedKeys.of([trusted_key(KEY.public_jwk(reviewer_id=e.REVIEWER, tenant_id=e.TENANT))])
    record = e.a_decision()
    token = signed(record, e.REVIEWER, "cmd-1")

    with pytest.raises(Unauthenticated, match="expired"):
        authenticate(
            record, ce_type_of(record), encode(record), [(SIGNATURE, token.encode())],
            keys=keys, audience="here", append_time=e.NOW + timedelta(minutes=10),
        )  # fmt: skip


def test_grants_are_signed_with_ed25519_only() -> None:
    """Executors in every language verify it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from producers.keys import parse_key

    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(ValueError, match="Ed25519"):
        sign_grant({}, parse_key(pem))

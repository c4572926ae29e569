"""Signatures over records, and grants: what `core.authentication` and executors verify."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from core.authentication import GRANT_TYP, LIFETIME_MAX
from core.jws import b64url
from producers.keys import SigningKey


def sign_record(
    value: bytes,
    *,
    key: SigningKey,
    typ: str,
    audience: str,
    sub: str,
    tenant_id: str,
    ce_type: str,
    jti: str,
    now: datetime,
    lifetime: timedelta = LIFETIME_MAX,
    sid: str | None = None,
    auth_time: datetime | None = None,
    amr: Sequence[str] = (),
) -> str:
    """The `countersign-signature` over a record's value bytes.

    sid, auth_time, amr: the session, when its login was and how (RFC 8176), by a gateway.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": sub,
        "aud": audience,
        "sub": sub,
        "tenant_id": tenant_id,
        "type": ce_type,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": jti,
        "body": b64url(hashlib.sha256(value).digest()),
    }
    if sid is not None:
        claims["sid"] = sid
    if auth_time is not None:
        claims["auth_time"] = int(auth_time.timestamp())
    if amr:
        claims["amr"] = list(amr)
    return key.sign(claims, typ=typ)


def sign_grant(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The `grant_jws` of an opened gate. Raises ValueError unless the key is Ed25519."""
    if key.algorithm != "EdDSA":
        raise ValueError("grants are signed with Ed25519; make a key: keys new --grant")
    return key.sign(dict(claims), typ=GRANT_TYP)

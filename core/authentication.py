"""Who sent a record: its signature against the trusted keys. Pure (guarantees 21 and 22).

Nobody is believed because a topic let them write. What a signature says and what the record says
must be the same person, the same deployment, the same bytes, and recent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypedDict

from core.jwk import TrustedKey, TrustedKeys
from core.jws import BadToken, Verified, b64url, verify
from schemas.commands import Command
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.execution import GrantTake, Notice, OutcomeReported, Receipt
from schemas.headers import SIGNATURE, DuplicateHeader, Headers, header
from schemas.model import Record
from schemas.requests import InterruptCancelled, InterruptRequested

REQUEST_TYP: Final = "countersign-request+jwt"
COMMAND_TYP: Final = "countersign-command+jwt"
EXECUTION_TYP: Final = "countersign-execution+jwt"
POLICY_TYP: Final = "countersign-policy+jwt"
GRANT_TYP: Final = "countersign-grant+jwt"
CONTEXT_TYP: Final = "countersign-context+jwt"
"""A worker's proof, with the key of grants, that it wrote a record of `review-context`."""

LIFETIME_MAX: Final = timedelta(minutes=10)
"""From iat to exp: long enough for a slow network, short enough that a stolen one is stale."""
SKEW_MAX: Final = timedelta(seconds=60)
"""How far a signer's clock may be ahead of the broker's."""
_SID_CHARS_MAX: Final = 256
_AMR_MAX: Final = 16
_AMR: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}")

SignerKind = Literal["agent", "reviewer", "gateway", "executor"]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a record, as proven by its key.

    subject: the agent, reviewer or executor. sid: digest of the session, through a gateway; the
    session's own name stays out of the log. auth_time, amr: when and how (RFC 8176) the person
    logged in for it, as the gateway says. tools: the patterns of the tools whose grants an executor
    may take.
    """

    kid: str
    kind: SignerKind
    subject: str
    tenant_id: str
    sid: str | None = None
    tools: tuple[str, ...] = ()
    auth_time: datetime | None = None
    amr: tuple[str, ...] = ()


class Unauthenticated(Exception):
    """The sender is not proven. The message is for CommandRefused and reveals no state."""


class TenantMismatch(Exception):
    """Validly signed, for another tenant than the record's."""

    def __init__(self, signer: Signer) -> None:
        super().__init__(
            f"the signature is for tenant {signer.tenant_id}, the record is of another; "
            "sign for the record's tenant"
        )
        self.signer = signer


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a signature over a record must say. sub None: the key's own subject is enough."""

    typ: str
    sub: str | None
    ids: tuple[str, ...]
    tenant_ids: frozenset[str]


def is_signed(headers: Headers) -> bool:
    """Whether a record carries a signature at all, good or bad."""
    return any(name == SIGNATURE for name, _ in headers)


def typ_of(record: Record) -> str:
    """The `typ` a signature over this record has. Raises Unauthenticated if none is defined."""
    if isinstance(record, PolicyDocument | ReviewerAuthorization | AgentRegistration):
        return POLICY_TYP  # several may sign it: core.governing
    return _expected(record).typ


def authenticate(
    record: Record,
    ce_type: str,
    value: bytes,
    headers: Headers,
    *,
    keys: TrustedKeys,
    audience: str,
    append_time: datetime,
) -> Signer:
    """Who signed `value`, the bytes of `record`, appended at `append_time`.

    Raises Unauthenticated, or TenantMismatch if validly signed for another tenant.
    """
    expected = _expected(record)
    try:
        token = header(headers, SIGNATURE)
    except DuplicateHeader:
        raise Unauthenticated("the record has two signatures; send exactly one") from None
    if token is None:
        raise Unauthenticated(f"the record is not signed; add the header {SIGNATURE}")
    verified = proven(
        token,
        keys=keys,
        typ=expected.typ,
        ce_type=ce_type,
        value=value,
        audience=audience,
        append_time=append_time,
    )
    claims = verified.claims
    if not isinstance(claims.get("jti"), str) or claims["jti"] not in expected.ids:
        raise Unauthenticated("the claim jti is not the record's id")
    signer = _signer(verified.key, claims, expected)
    if expected.tenant_ids != {signer.tenant_id}:
        raise TenantMismatch(signer)
    return signer


def proven(
    token: bytes | str,
    *,
    keys: TrustedKeys,
    typ: str,
    ce_type: str,
    value: bytes,
    audience: str,
    append_time: datetime,
    for_ever: bool = False,
) -> Verified:
    """What a trusted key, usable at `append_time`, says of these very bytes to this deployment.

    for_ever: it has no exp. Raises Unauthenticated. Whether it is entitled to say so is left open.
    """
    try:
        verified = verify(token, keys=keys, typ=typ)
    except BadToken as error:
        raise Unauthenticated(str(error)) from None
    if reason := verified.key.unusable_at(append_time):
        raise Unauthenticated(reason)
    claims = verified.claims
    if not for_ever:
        _check_times(claims, append_time)
    _same(claims, "aud", audience, "sign for this deployment (COUNTERSIGN_AUDIENCE)")
    _same(claims, "type", ce_type, "it must be the record's ce_type")
    digest = b64url(hashlib.sha256(value).digest())
    _same(claims, "body", digest, "it must be the base64url SHA-256 of the value's bytes")
    if not isinstance(claims.get("iss"), str) or not claims["iss"]:
        raise Unauthenticated("the claim iss is missing; name the program that signs")
    return verified


def _expected(record: Record) -> _Expected:
    match record:
        case ReviewerCapChanged():
            # The balancer caps, with the key and in the name in which it hands out tasks.
            tenants = frozenset({record.tenant_id})
            return _Expected(COMMAND_TYP, None, (record.event_id,), tenants)
        case InterruptRequested():
            package = record.package
            tenants = frozenset({record.tenant_id, package.tenant_id})
            return _Expected(REQUEST_TYP, package.proposed_by, (record.interrupt_id,), tenants)
        case InterruptCancelled():
            # requested_by may name on whose behalf; the rules compare the signer with version 1's.
            tenants = frozenset({record.tenant_id})
            return _Expected(REQUEST_TYP, None, (record.interrupt_id,), tenants)
        case Command():
            tenants = frozenset({record.tenant_id})
            return _Expected(COMMAND_TYP, record.reviewer_id, (record.command_id,), tenants)
        case Receipt():
            tenants = frozenset({record.tenant_id})
            return _Expected(EXECUTION_TYP, record.executor_id, (record.event_id,), tenants)
        case GrantTake():
            tenants = frozenset({record.tenant_id})
            return _Expected(EXECUTION_TYP, record.executor_id, (record.attempt_id,), tenants)
        case Notice():
            # It names no executor; the rules compare the signer with the one that took the grant.
            tenants = frozenset({record.tenant_id})
            return _Expected(EXECUTION_TYP, None, (record.event_id,), tenants)
        case OutcomeReported():
            tenants = frozenset({record.tenant_id})
            return _Expected(EXECUTION_TYP, record.reported_by, (record.event_id,), tenants)
        case _:
            raise Unauthenticated("nobody may sign a record of this kind")


def _signer(key: TrustedKey, claims: Mapping[str, Any], expected: _Expected) -> Signer:
    """The signer, once key, claims and record agree on who and for which tenant."""
    sub, tenant_id = claims.get("sub"), claims.get("tenant_id")
    if not isinstance(sub, str) or not isinstance(tenant_id, str):
        raise Unauthenticated("the claims sub and tenant_id are missing")
    session = session_of(key.kid, claims)
    kind, subject = _role(key, expected.typ)
    if subject is not None and sub != subject:
        raise Unauthenticated("the key does not belong to the claimed sub")
    if expected.sub is not None and sub != expected.sub:
        raise Unauthenticated("the claim sub is not who the record says sent it")
    if tenant_id not in key.tenant_ids:
        raise Unauthenticated("the key is not entitled to the claimed tenant_id")
    signer = Signer(
        kid=key.kid,
        kind=kind,
        subject=sub,
        tenant_id=tenant_id,
        tools=key.tools if kind == "executor" else (),
    )
    return replace(signer, **session) if kind == "gateway" else signer


class SessionClaims(TypedDict):
    """What a gateway says of the session it signs in; the fields of Signer."""

    sid: str | None
    auth_time: datetime | None
    amr: tuple[str, ...]


def session_of(kid: str, claims: Mapping[str, Any]) -> SessionClaims:
    """The session claims of a token. `sid` is digested: 32 hex digits stand for it in the log.

    Raises Unauthenticated when one is not what OpenID Connect says it is.
    """
    sid, amr = claims.get("sid"), claims.get("amr", [])
    if sid is not None and not (isinstance(sid, str) and 0 < len(sid) <= _SID_CHARS_MAX):
        raise Unauthenticated(f"the claim sid must be text of 1 to {_SID_CHARS_MAX} characters")
    if not (
        isinstance(amr, list)
        and len(amr) <= _AMR_MAX
        and all(isinstance(one, str) and _AMR.fullmatch(one) for one in amr)
    ):
        raise Unauthenticated("the claim amr must be a short list of methods (RFC 8176)")
    digest = hashlib.sha256(f"{kid}\x00{sid}".encode()).hexdigest()[:32]
    return {
        "sid": digest if sid is not None else None,
        "auth_time": _instant(claims, "auth_time") if "auth_time" in claims else None,
        "amr": tuple(amr),
    }


def _role(key: TrustedKey, typ: str) -> tuple[SignerKind, str | None]:
    """In which role a key signs a `typ`, and for whom; None: for anyone, a gateway."""
    if typ == REQUEST_TYP and key.agent_id is not None:
        return "agent", key.agent_id
    if typ == COMMAND_TYP and key.reviewer_id is not None:
        return "reviewer", key.reviewer_id
    if typ == COMMAND_TYP and key.is_gateway:
        return "gateway", None
    if typ == EXECUTION_TYP and key.executor_id is not None:
        return "executor", key.executor_id
    raise Unauthenticated("the key may not sign records of this kind")


def _check_times(claims: Mapping[str, Any], append_time: datetime) -> None:
    issued, expires = _instant(claims, "iat"), _instant(claims, "exp")
    if not timedelta(0) < expires - issued <= LIFETIME_MAX:
        raise Unauthenticated("exp must be after iat, by at most 10 minutes")
    if issued > append_time + SKEW_MAX:
        raise Unauthenticated("iat is in the future; set the signer's clock")
    if append_time >= expires:
        raise Unauthenticated("the signature had expired when the record arrived; sign it again")
    if "auth_time" in claims and _instant(claims, "auth_time") > append_time + SKEW_MAX:
        raise Unauthenticated("the login is in the future (auth_time); set the gateway's clock")
    if "nbf" in claims and _instant(claims, "nbf") > append_time + SKEW_MAX:
        raise Unauthenticated("the signature is not valid yet (nbf)")


def _instant(claims: Mapping[str, Any], name: str) -> datetime:
    seconds = claims.get(name)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise Unauthenticated(f"the claim {name} must be a number of seconds")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise Unauthenticated(f"the claim {name} is not an instant") from None


def _same(claims: Mapping[str, Any], name: str, expected: str, mend: str) -> None:
    value = claims.get(name)
    if not isinstance(value, str) or not hmac.compare_digest(value.encode(), expected.encode()):
        raise Unauthenticated(f"the claim {name} is wrong; {mend}")

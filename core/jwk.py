"""Keys of the trusted file: who a public key may speak for (RFC 7517, RFC 7638, RFC 8037)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.model import Id, Timestamp

Algorithm = Literal["EdDSA", "ES256"]
CURVES: Final[Mapping[tuple[str, str], Algorithm]] = MappingProxyType(
    {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
)
"""One algorithm a key: its type decides, never the header of a token."""
_POINT: Final = ("kty", "crv", "x", "y")
KEYS_MAX: Final = 10_000
"""Keys in a trusted set; far above any deployment, far below what would hurt."""


class KeySetError(ValueError):
    """A key, or a set of keys, that cannot be used; the message says what to mend."""


class _Members(BaseModel):
    """The members of a JWK that we read. Others (key_ops, x5t, …) are for other readers."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kty: str
    crv: str
    x: str
    y: str | None = None
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    agent_id: Id | None = None
    reviewer_id: Id | None = None
    executor_id: Id | None = None
    admin_id: Id | None = None
    policy_admin: bool = False
    tenant_id: Id | None = None
    tenant_ids: tuple[Id, ...] = ()
    tools: tuple[str, ...] = ()
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    compromised_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and what it is entitled to. `kid` is its RFC 7638 thumbprint."""

    kid: str
    algorithm: Algorithm
    public: OKPKey | ECKey = field(repr=False, compare=False)
    tenant_ids: frozenset[str] = frozenset()
    agent_id: str | None = None
    reviewer_id: str | None = None
    executor_id: str | None = None
    admin_id: str | None = None
    policy_admin: bool = False
    tools: tuple[str, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    compromised_at: datetime | None = None

    @property
    def names_nobody(self) -> bool:
        """Whether no member says for whom it signs."""
        return not (
            self.agent_id
            or self.reviewer_id
            or self.executor_id
            or self.admin_id
            or self.policy_admin
        )

    @property
    def is_gateway(self) -> bool:
        """An identity gateway: speaks for the reviewers of its tenants, and for nobody else."""
        return self.names_nobody and bool(self.tenant_ids)

    @property
    def is_bare(self) -> bool:
        """No entitlement at all: signs for nobody; the only kind that may sign grants."""
        return self.names_nobody and not self.tenant_ids

    def unusable_at(self, moment: datetime) -> str | None:
        """Why it may not be used at that moment; None if it may."""
        if self.valid_from is not None and moment < self.valid_from:
            return "the key is not valid yet (valid_from)"
        if self.valid_until is not None and moment >= self.valid_until:
            return "the key is no longer valid (valid_until)"
        if self.compromised_at is not None and moment >= self.compromised_at:
            return "the key is marked as compromised"
        return None


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Immutable set of trusted public keys, found by thumbprint."""

    by_kid: Mapping[str, TrustedKey]

    @classmethod
    def from_jwks(cls, document: object) -> TrustedKeys:
        """The keys of a JWKS document (RFC 7517, section 5). Raises KeySetError."""
        if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list):
            raise KeySetError('the trusted keys are not a JWKS document: want {"keys": [...]}')
        return cls.of(trusted_key(jwk, place=str(i)) for i, jwk in enumerate(document["keys"]))

    @classmethod
    def of(cls, keys: Iterable[TrustedKey]) -> TrustedKeys:
        """A set of keys. Raises KeySetError if one stands twice."""
        by_kid: dict[str, TrustedKey] = {}
        for key in keys:
            if key.kid in by_kid:
                raise KeySetError(
                    f"key {key.kid} stands twice; one key has one entry with all it may do"
                )
            by_kid[key.kid] = key
            if len(by_kid) > KEYS_MAX:
                raise KeySetError(f"more than {KEYS_MAX} trusted keys")
        return cls(MappingProxyType(by_kid))

    def find(self, kid: str) -> TrustedKey | None:
        """The key with this thumbprint, if it is trusted."""
        return self.by_kid.get(kid)


def trusted_key(jwk: object, *, place: str = "") -> TrustedKey:
    """The trusted key a JWK stands for. Raises KeySetError that names `place` and the mend."""
    where = f"key {place}".rstrip()
    if not isinstance(jwk, Mapping):
        raise KeySetError(f"{where} is not a JSON object")
    if "d" in jwk or "k" in jwk:
        raise KeySetError(f"{where} is a private key; put only its public part in the set")
    try:
        members = _Members.model_validate(dict(jwk))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        member = ".".join(str(part) for part in first["loc"])
        raise KeySetError(f"{where}: member {member}: {first['msg']}") from None
    algorithm = CURVES.get((members.kty, members.crv))
    if algorithm is None:
        raise KeySetError(f"{where} is neither Ed25519 nor P-256; only these may sign")
    if members.use not in (None, "sig"):
        raise KeySetError(f"{where} is not for signatures (use)")
    accepted = {algorithm, "Ed25519"} if algorithm == "EdDSA" else {algorithm}
    if members.alg is not None and members.alg not in accepted:
        raise KeySetError(f"{where} has alg {members.alg}; its type allows only {algorithm}")
    public = _public_key(members, where)
    kid = public.thumbprint()
    if members.kid is not None and not hmac.compare_digest(members.kid.encode(), kid.encode()):
        raise KeySetError(f"{where}: kid must be the RFC 7638 thumbprint, {kid}")
    if members.policy_admin and members.admin_id is None:
        raise KeySetError(f"{where} is a policy_admin without admin_id; add who it is")
    tenants = {*members.tenant_ids, *([members.tenant_id] if members.tenant_id else [])}
    return TrustedKey(
        kid=kid,
        algorithm=algorithm,
        public=public,
        tenant_ids=frozenset(tenants),
        agent_id=members.agent_id,
        reviewer_id=members.reviewer_id,
        executor_id=members.executor_id,
        admin_id=members.admin_id,
        policy_admin=members.policy_admin,
        tools=members.tools,
        valid_from=members.valid_from,
        valid_until=members.valid_until,
        compromised_at=members.compromised_at,
    )


def _public_key(members: _Members, where: str) -> OKPKey | ECKey:
    try:
        if members.kty == "OKP":
            okp = OKPKey.import_key({"kty": "OKP", "crv": members.crv, "x": members.x})
            okp.public_key.public_bytes_raw()  # decodes the point: a bad one fails here
            return okp
        if members.y is None:
            raise KeySetError(f"{where} has no y coordinate")
        ec = ECKey.import_key({"kty": "EC", "crv": members.crv, "x": members.x, "y": members.y})
        ec.public_key.public_numbers()
        return ec
    except KeySetError:
        raise
    except (JoseError, ValueError) as error:
        raise KeySetError(f"{where} is not a point on its curve: {type(error).__name__}") from None


def public_jwks(keys: Iterable[TrustedKey]) -> dict[str, list[dict[str, str]]]:
    """The keys as a JWKS that says nothing but what they are: no entitlements, nothing private."""
    found: list[dict[str, str]] = []
    for key in keys:
        point: Mapping[str, object] = dict(key.public.as_dict(private=False))
        said = {name: str(value) for name, value in point.items() if name in _POINT}
        found.append(said | {"kid": key.kid, "alg": key.algorithm, "use": "sig"})
    return {"keys": found}


def rfc3339_or_none(moment: datetime | None) -> str | None:
    """The text of an instant as a JWK member."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

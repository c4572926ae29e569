"""Compact JWS, as narrow as we need it (RFC 7515, RFC 8037, RFC 8725). The one user of joserfc.

The key decides the algorithm; the header may say nothing but `alg`, `kid` and `typ`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

from core.jwk import Algorithm, TrustedKey, TrustedKeys
from schemas.canonical import parse_json_strict

if TYPE_CHECKING:
    from joserfc._rfc7515.model import JWSAlgModel  # not exported; at run time it is not needed

JWS_BYTES_MAX: Final = 8 * 1024
"""Of a token; ours have about 700 bytes. Checked before anything is parsed."""
_DEPTH_MAX: Final = 4
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_REFUSED_HEADER: Final = frozenset({"crit", "jku", "x5u", "x5c", "jwk", "b64", "zip"})


class BadToken(ValueError):
    """A token that is not believed; the message says why, and repeats nothing of it."""


class _Registry(JWSRegistry):
    """Only our two algorithms. joserfc warns at each use of the name EdDSA (RFC 9864 prefers
    Ed25519), but EdDSA is what RFC 8037 libraries in every language write."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ("EdDSA", "ES256"):
            raise BadToken("the algorithm is not allowed")
        return self.algorithms[name]


_REGISTRY: Final = _Registry(algorithms=["EdDSA", "ES256"])


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token whose signature is good, and the key that made it."""

    key: TrustedKey
    claims: Mapping[str, Any]


def verify(token: str | bytes, *, keys: TrustedKeys, typ: str) -> Verified:
    """The claims of a token of type `typ` signed by a trusted key. Raises BadToken.

    Says nothing about the claims, nor whether the key may be used now.
    """
    if len(token) > JWS_BYTES_MAX:
        raise BadToken(f"the signature is over {JWS_BYTES_MAX} bytes")
    try:
        text = token.decode("ascii") if isinstance(token, bytes) else token
    except UnicodeDecodeError:
        raise BadToken("the signature is not a compact JWS") from None
    if not _COMPACT.fullmatch(text):
        raise BadToken("the signature is not a compact JWS")
    header_part, payload_part, signature_part = text.split(".")
    head = _json_object(header_part, "header")
    if refused := sorted(_REFUSED_HEADER & head.keys()):
        raise BadToken(f"the signature's header has {', '.join(refused)}; leave it out")
    if head.keys() != _HEADER:
        raise BadToken("the signature's header must have alg, kid and typ and nothing else")
    if head["typ"] != typ:
        raise BadToken(f"the signature's typ must be {typ}")
    kid = head["kid"]
    key = keys.find(kid) if isinstance(kid, str) else None
    if key is None:
        raise BadToken("the key (kid) is not trusted; add its JWK to the trusted keys")
    if head["alg"] != key.algorithm:
        raise BadToken(f"this key signs with {key.algorithm} only")
    _decode(signature_part, "signature")
    try:
        jws.deserialize_compact(text, key.public, registry=_REGISTRY)
    except (JoseError, ValueError):
        raise BadToken("the signature does not match the key") from None
    return Verified(key, _json_object(payload_part, "payload"))


def sign(
    claims: Mapping[str, Any], *, key: OKPKey | ECKey, algorithm: Algorithm, kid: str, typ: str
) -> str:
    """A compact JWS over the claims. Raises ValueError if it is over JWS_BYTES_MAX."""
    header = {"alg": algorithm, "kid": kid, "typ": typ}
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
    token = jws.serialize_compact(header, payload, key, registry=_REGISTRY)
    if len(token) > JWS_BYTES_MAX:
        raise ValueError(f"the token would be over {JWS_BYTES_MAX} bytes")
    return token


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(part: str, name: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise BadToken(f"the {name} is not base64url") from None
    if b64url(data) != part:  # other trailing bits: two texts for one token
        raise BadToken(f"the {name} is not base64url")
    return data


def _json_object(part: str, name: str) -> dict[str, Any]:
    try:
        value = parse_json_strict(_decode(part, name), depth_max=_DEPTH_MAX)
    except BadToken:
        raise
    except (ValueError, RecursionError):
        raise BadToken(f"the signature's {name} is not strict JSON") from None
    if not isinstance(value, dict):
        raise BadToken(f"the signature's {name} is not an object")
    return value

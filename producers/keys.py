"""Private keys: making, keeping and reading them. A key file is 0600 or it is not read."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, OKPKey

from core.jwk import Algorithm, rfc3339_or_none
from core.jws import sign

_PEM_BYTES_MAX: Final = 64 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(Exception):
    """A key file that cannot be used; the message says what to mend, never what is in it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs. `kid` is its RFC 7638 thumbprint."""

    kid: str
    algorithm: Algorithm
    private: OKPKey | ECKey = field(repr=False, compare=False)

    def sign(self, claims: dict[str, Any], *, typ: str) -> str:
        """A compact JWS over the claims, with header alg, kid and typ."""
        return sign(claims, key=self.private, algorithm=self.algorithm, kid=self.kid, typ=typ)

    def public_jwk(
        self,
        *,
        agent_id: str | None = None,
        reviewer_id: str | None = None,
        executor_id: str | None = None,
        admin_id: str | None = None,
        tenant_id: str | None = None,
        tenant_ids: Sequence[str] | None = None,
        tools: Sequence[str] | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> dict[str, Any]:
        """The entry for the trusted file: the public key and for whom it may sign.

        With only `tenant_ids` it is a gateway; with nothing, the key of grants. An `admin_id`
        makes it a policy_admin.
        """
        public = self.private.as_dict(private=False)
        point: dict[str, Any] = {n: public[n] for n in ("kty", "crv", "x", "y") if n in public}
        members = {
            "agent_id": agent_id,
            "reviewer_id": reviewer_id,
            "executor_id": executor_id,
            "policy_admin": True if admin_id else None,
            "admin_id": admin_id,
            "tenant_id": tenant_id,
            "tenant_ids": list(tenant_ids) if tenant_ids is not None else None,
            "tools": list(tools) if tools is not None else None,
            "valid_from": rfc3339_or_none(valid_from),
            "valid_until": rfc3339_or_none(valid_until),
        }
        said = {name: value for name, value in members.items() if value is not None}
        return {**point, "kid": self.kid, "alg": self.algorithm, "use": "sig", **said}

    def pem(self) -> bytes:
        """The private key as PKCS#8 PEM. Write it with `write_key` only."""
        raw = self.private.raw_value
        return raw.private_bytes(  # type: ignore[union-attr]  # always private here
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )


def new_key() -> SigningKey:
    """A new Ed25519 key."""
    return _signing_key(Ed25519PrivateKey.generate())


def write_key(path: Path, key: SigningKey) -> None:
    """Writes the private PEM, 0600, never over an existing file. Raises KeyFileError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists; choose another name or remove it") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.pem())


def read_key(path: Path | str) -> SigningKey:
    """The private key in a PEM file (Ed25519, or P-256 for ES256). Raises KeyFileError."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _OTHERS:
                raise KeyFileError(
                    f"{path} can be read by others ({stat.S_IMODE(mode):04o}); "
                    f"mend: chmod 600 {path}"
                )
            pem = file.read(_PEM_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return parse_key(pem)
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None


def parse_key(pem: bytes) -> SigningKey:
    """The private key in PEM bytes. Raises ValueError that repeats nothing of them."""
    if len(pem) > _PEM_BYTES_MAX:
        raise ValueError("too large for a key")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ValueError("not an unencrypted private key in PEM; make one: keys new") from None
    except Exception:  # noqa: BLE001 - UnsupportedAlgorithm and kin; nothing of the text is shown
        raise ValueError("a kind of key that cannot be used; make one: keys new") from None
    if isinstance(private, Ed25519PrivateKey):
        return _signing_key(private)
    if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
        return _signing_key(private)
    raise ValueError("neither Ed25519 nor P-256; make one with: keys new")


def _signing_key(private: Ed25519PrivateKey | EllipticCurvePrivateKey) -> SigningKey:
    if isinstance(private, Ed25519PrivateKey):
        okp = OKPKey.import_key(private)
        return SigningKey(okp.thumbprint(), "EdDSA", okp)
    ec = ECKey.import_key(private)
    return SigningKey(ec.thumbprint(), "ES256", ec)

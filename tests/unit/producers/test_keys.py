"""Private keys: made, kept 0600, read back, never shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from core.jwk import TrustedKeys, trusted_key
from core.jws import verify
from producers.keys import KeyFileError, new_key, parse_key, read_key, write_key

_ANY_KEY = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def pem(key: _ANY_KEY, password: bytes | None = None) -> bytes:
    """PKCS#8."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_a_key_is_written_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask says."""
    before = os.umask(0)
    try:
        key = new_key()
        write_key(tmp_path / "k.pem", key)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    assert read_key(tmp_path / "k.pem").kid == key.kid


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    """Nor followed through a link."""
    write_key(tmp_path / "k.pem", new_key())
    (tmp_path / "link.pem").symlink_to(tmp_path / "elsewhere.pem")

    for name in ("k.pem", "link.pem"):
        with pytest.raises(KeyFileError, match="exists"):
            write_key(tmp_path / name, new_key())
    assert not (tmp_path / "elsewhere.pem").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_not_read(tmp_path: Path, mode: int) -> None:
    """The mend stands in the message."""
    write_key(tmp_path / "k.pem", new_key())
    (tmp_path / "k.pem").chmod(mode)

    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(tmp_path / "k.pem")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And a directory in its place."""
    with pytest.raises(KeyFileError, match="No such file"):
        read_key(tmp_path / "none.pem")
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_key(tmp_path)


def test_p256_signs_with_es256() -> None:
    """The key decides the algorithm."""
    key = parse_key(pem(ec.generate_private_key(ec.SECP256R1())))
    token = key.sign({"a": 1}, typ="t+jwt")

    trusted = TrustedKeys.of([trusted_key(key.public_jwk())])
    assert key.algorithm == "ES256"
    assert verify(token, keys=trusted, typ="t+jwt").claims == {"a": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense SECRET",
        b"x" * 70_000,
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate(), b"password"),
    ],
    ids=["empty", "nonsense", "huge", "rsa", "p384", "encrypted"],
)
def test_what_is_no_key_of_ours_is_refused_and_not_repeated(tmp_path: Path, data: bytes) -> None:
    """The message says what to do, never what was in the file."""
    path = tmp_path / "k.pem"
    path.write_bytes(data)
    path.chmod(0o600)

    with pytest.raises(KeyFileError) as caught:
        read_key(path)

    assert "SECRET" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_private_part_is_shown() -> None:
    """Neither by repr nor in the JWK."""
    key = new_key()

    private = str(key.private.as_dict(private=True)["d"])
    assert private not in repr(key) + str(key)
    assert "d" not in key.public_jwk(reviewer_id="r", tenant_id="t")

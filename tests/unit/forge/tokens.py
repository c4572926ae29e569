"""Forging compact JWS: a good one taken apart, and every way to put it together wrongly."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from core.jws import JWS_BYTES_MAX, b64url
from producers.keys import SigningKey, new_key, parse_key

TYPS: Final = (
    "countersign-request+jwt",
    "countersign-command+jwt",
    "countersign-execution+jwt",
    "countersign-policy+jwt",
    "countersign-grant+jwt",
    "countersign-context+jwt",
    "countersign-checkpoint+jwt",
)
TIMES: Final = frozenset({"iat", "exp", "nbf"})
STRANGER: Final = new_key()
_ORDER_OF_ED25519: Final = 2**252 + 27742317777372353535851937790883648493
_LONG: Final = "A" * JWS_BYTES_MAX


def new_p256() -> SigningKey:
    """A new key that signs with ES256."""
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return parse_key(pem)


@dataclass(frozen=True, slots=True)
class Good:
    """A token that is believed, taken apart."""

    head: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: SigningKey

    @classmethod
    def of(cls, token: str, key: SigningKey) -> Good:
        """Takes it apart."""
        head, claims = (json.loads(_unb64(part)) for part in token.split(".")[:2])
        return cls(head, claims, key)

    def made(self, head: Any = None, claims: Any = None, key: SigningKey | None = None) -> bytes:
        """Put together again and really signed, but for what is replaced."""
        return signed(
            self.head if head is None else head,
            self.claims if claims is None else claims,
            key or self.key,
        )

    def claiming(self, **over: Any) -> bytes:
        """With other claims."""
        return self.made(claims={**self.claims, **over})


@dataclass(frozen=True, slots=True)
class Forged:
    """The signature headers of a record, in their order, and what is wrong with them."""

    name: str
    tokens: tuple[bytes | None, ...]
    claim: str = ""


def signed(head: Any, claims: Any, key: SigningKey) -> bytes:
    """A compact JWS over any head and payload: values, or bytes as they are."""
    text = b".".join(b64url(_bytes(part)).encode() for part in (head, claims))
    return text + b"." + b64url(raw_signature(key, text)).encode()


def raw_signature(key: SigningKey, text: bytes) -> bytes:
    """The signature of RFC 8037 or RFC 7518, section 3.4."""
    private: Any = key.private.raw_value
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(text)
    r, s = decode_dss_signature(private.sign(text, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forgeries(good: Good, *, others: Sequence[SigningKey] = ()) -> Iterator[Forged]:
    """Everything that is wrong whatever it is that is signed. others: trusted keys, not its own."""
    yield Forged("unsigned", ())
    yield Forged("null", (None,))
    yield from heads(good, others)
    yield from encodings(good)
    yield from claims_altered(good)


def claims_altered(good: Good) -> Iterator[Forged]:
    """Each claim left out, of another type, altered and doubled."""
    for name, value in good.claims.items():
        rest = {n: v for n, v in good.claims.items() if n != name}
        yield Forged(f"{name} left out", (good.made(claims=rest),), name)
        for kind, wrong in _wrong_types(value).items():
            yield Forged(f"{name} {kind}", (good.claiming(**{name: wrong}),), name)
        for kind, wrong in _altered(name, value).items():
            yield Forged(f"{name} {kind}", (good.claiming(**{name: wrong}),), name)
        twice = json.dumps(rest)[:-1] + f', "{name}": "x", "{name}": {json.dumps(value)}}}'
        yield Forged(f"{name} twice", (good.made(claims=twice.encode()),), name)
        lone = json.dumps(rest)[:-1] + f', "{name}": "\\ud800"}}'
        yield Forged(f"{name} a lone surrogate", (good.made(claims=lone.encode()),), name)
    text = json.dumps(dict(good.claims)).encode()
    for kind, payload in {
        "no object": b"[]",
        "a number": b"1",
        "nothing": b"{}",
        "not JSON": b"x" + text,
        "more behind": text + b"{}",
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "not UTF-8": text.replace(b'"', b'"\xff', 1),
        "deep": text[:-1] + b', "x": ' + b"[" * 5 + b"]" * 5 + b"}",
        "not a number": text[:-1] + b', "x": NaN}',
        "a comment": text[:-1] + b"/* */}",
    }.items():
        yield Forged(f"payload {kind}", (good.made(claims=payload),))


def _wrong_types(value: Any) -> dict[str, Any]:
    other: Any = 1 if isinstance(value, str) else str(value)
    return {
        "null": None,
        "true": True,
        "of another type": other,
        "in a list": [value],
        "in an object": {"value": value},
        "an empty list": [],
    }


def _altered(name: str, value: Any) -> dict[str, Any]:
    if name == "iss":  # it names the program that signs, whichever that is
        return {"empty": ""}
    if name in TIMES:
        return {"huge": 10**15, "negative": -1, "infinite": 1e308, "in milliseconds": value * 1000}
    if not isinstance(value, str):
        return {}
    found = {
        "empty": "",
        "longer": value + "x",
        "shorter": value[:-1],
        "spaced": f" {value}",
        "ended by a line": f"{value}\n",
        "ended by NUL": f"{value}\0",
        "in another case": value.swapcase(),
        "with a combining mark": f"{value}\u0301",
    }
    return {kind: other for kind, other in found.items() if other != value}


def heads(good: Good, others: Sequence[SigningKey]) -> Iterator[Forged]:
    """Every trick of the header, mostly really signed by the one who may."""
    head = dict(good.head)

    def forged(name: str, other: Any, key: SigningKey | None = None) -> Forged:
        return Forged(f"header: {name}", (good.made(other, key=key),))

    for alg in ("none", "None", "NONE", "", "HS256", "RS256", "PS256", "ES384", "Ed25519", "eddsa"):
        yield forged(f"alg {alg or 'empty'}", head | {"alg": alg})
    other = "ES256" if good.key.algorithm == "EdDSA" else "EdDSA"
    yield forged(f"alg {other}", head | {"alg": other})
    for no_text in (None, 1, ["EdDSA"], {"alg": "EdDSA"}):
        yield forged(f"alg {type(no_text).__name__}", head | {"alg": no_text})
    for name in ("none", "None"):
        unsigned = signed(head | {"alg": name}, good.claims, good.key).rpartition(b".")[0]
        yield Forged(f"header: {name}, no signature", (unsigned + b".",))
        yield Forged(f"header: {name}, two parts", (unsigned,))
    for secret, what in _public_forms(good.key).items():
        for alg in ("HS256", "HS512"):
            yield Forged(f"header: {alg} with {what}", (_hmac_signed(good, alg, secret),))
    members: dict[str, Any] = {
        "crit": ["exp"],
        "crit of its own": ["b64"],
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/cert.pem",
        "x5c": ["MIIB"],
        "x5t": "abc",
        "jwk": good.key.public_jwk(),
        "b64": False,
        "zip": "DEF",
        "cty": "JWT",
        "cty of text": "text/plain",
        "epk": {},
        "url": "https://attacker.example",
        "x": 1,
    }
    for member, value in members.items():
        yield forged(member, head | {member.split(" ", maxsplit=1)[0]: value})
    own = STRANGER.public_jwk()
    yield forged("jwk and key of a stranger", head | {"jwk": own, "kid": STRANGER.kid}, STRANGER)
    yield forged("a stranger's key under our kid", head, STRANGER)
    yield forged("a stranger's kid", head | {"kid": STRANGER.kid}, STRANGER)
    p256 = new_p256()
    yield forged("P-256 under our kid", head | {"alg": "ES256"}, p256)
    for number, key in enumerate(others):
        mine = head | {"kid": key.kid, "alg": key.algorithm}
        yield forged(f"kid of trusted key {number}", mine)
        yield forged(f"trusted key {number} under our kid", head, key)
    for kid in (None, 1, [head["kid"]], "", "../../etc/passwd", head["kid"] + "\0", "*", "A" * 43):
        yield forged(f"kid {kid!r:.20}", head | {"kid": kid})
    for typ in (*TYPS, "JWT", "jwt", head["typ"].upper(), f"application/{head['typ']}", None, ""):
        if typ != head["typ"]:
            yield forged(f"typ {typ}", head | {"typ": typ})
    for name in head:
        yield forged(f"no {name}", {n: v for n, v in head.items() if n != name})
    text = json.dumps(head).encode()
    twice = text[:-1] + b', "alg": "none"}'
    for name, other_text in {
        "alg twice": twice,
        "a list": b"[]",
        "text": b'"EdDSA"',
        "empty": b"{}",
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "UTF-16": text.decode().encode("utf-16"),
        "more behind": text + b" {}",
        "deep": b'{"alg":' * 40 + b"1" + b"}" * 40,
    }.items():
        yield forged(name, other_text)


def encodings(good: Good) -> Iterator[Forged]:
    """What two parsers could read differently, and what is no token at all."""
    token = good.made()
    head, payload, signature = token.split(b".")
    raw = _unb64(signature.decode())
    for name, other in {
        "empty": b"",
        "dots": b"..",
        "one part": head,
        "two parts": head + b"." + payload,
        "four parts": token + b"." + signature,
        "two dots more": token + b"..",
        "a leading dot": b"." + token,
        "padded header": head + b"=." + payload + b"." + signature,
        "padded payload": head + b"." + payload + b"=." + signature,
        "padded signature": token + b"==",
        "standard alphabet": head + b"." + payload + b"." + base64.b64encode(raw).rstrip(b"="),
        "a space before": b" " + token,
        "a line behind": token + b"\n",
        "carriage return": token + b"\r\n",
        "a space inside": head + b". " + payload + b"." + signature,
        "NUL behind": token + b"\0",
        "garbage behind": token + b"AAAA",
        "one byte more": token + b"A",
        "other trailing bits": _other_trailing_bits(token),
        "cut": token[:-1],
        "no signature": head + b"." + payload + b".",
        "zeros": head + b"." + payload + b"." + b64url(bytes(64)).encode(),
        "ones": head + b"." + payload + b"." + b64url(b"\xff" * 64).encode(),
        "halves exchanged": head + b"." + payload + b"." + b64url(raw[32:] + raw[:32]).encode(),
        "payload and header exchanged": payload + b"." + head + b"." + signature,
        "not ASCII": token[:-1] + "é".encode(),
        "full width": token.replace(b".", "．".encode()),
        "quoted": b'"' + token + b'"',
        "a scheme before": b"Bearer " + token,
        "JSON": json.dumps(
            {"protected": head.decode(), "payload": payload.decode(), "signature": "AA"}
        ).encode(),
        "five parts": b".".join([head, payload, signature, payload, signature]),
        "over 8 KiB": good.claiming(pad=_LONG),
        "very long": b"A" * 1_000_000,
        "long header": good.made(head={**good.head, "kid": _LONG}),
    }.items():
        if other != token:
            yield Forged(f"encoding: {name}", (other,))
    if good.key.algorithm == "EdDSA":  # RFC 8032, 5.1.7: S must be below the group's order
        s = int.from_bytes(raw[32:], "little") + _ORDER_OF_ED25519
        if s < 2**256:
            other = raw[:32] + s.to_bytes(32, "little")
            yield Forged(
                "signature: S + L", (head + b"." + payload + b"." + b64url(other).encode(),)
            )
    for at in range(0, 64, 7):
        flipped = bytes([*raw[:at], raw[at] ^ 1, *raw[at + 1 :]])
        text = head + b"." + payload + b"." + b64url(flipped).encode()
        yield Forged(f"signature: bit {at * 8} flipped", (text,))


def doubled(good: Good) -> Iterator[Forged]:
    """Two signature headers where there must be one."""
    token = good.made()
    yield Forged("two headers: the same", (token, token))
    yield Forged("two headers: good and bad", (token, b"x.y.z"))
    yield Forged("two headers: bad and good", (b"x.y.z", token))
    yield Forged("two headers: null and good", (None, token))
    yield Forged("two headers: a stranger's", (token, good.made(key=STRANGER)))


def sessions(good: Good, now: int) -> Iterator[Forged]:
    """Wrong claims of a session, and of time, beside the good ones."""
    for name, value in (
        ("nbf", now + 61), ("nbf", "soon"), ("nbf", True), ("nbf", None),
        ("auth_time", now + 61), ("auth_time", "soon"), ("auth_time", None), ("auth_time", 1e308),
        ("sid", ""), ("sid", "s" * 257), ("sid", 1), ("sid", ["s"]), ("sid", False),
        ("amr", "pwd"), ("amr", [1]), ("amr", ["a b"]), ("amr", ["m"] * 17), ("amr", None),
        ("amr", ["m" * 65]), ("amr", {"m": 1}),
    ):  # fmt: skip
        wrong = good.claiming(**{name: value})
        yield Forged(f"{name} {value!r:.20}", (wrong,), name)


def times(good: Good, now: int) -> Iterator[tuple[Forged, bool]]:
    """The edges of iat and exp, and whether they are within."""
    for name, issued, expires, within in (
        ("exp is now", now - 600, now, False),
        ("exp was a second ago", now - 600, now - 1, False),
        ("exp is in a second", now - 599, now + 1, True),
        ("iat is 60 s ahead", now + 60, now + 600, True),
        ("iat is 61 s ahead", now + 61, now + 600, False),
        ("iat is a hair over 60 s ahead", now + 60.001, now + 600, False),
        ("ten minutes", now, now + 600, True),
        ("ten minutes and a second", now, now + 601, False),
        ("ten minutes and a hair", now, now + 600.001, False),
        ("exp is iat", now, now, False),
        ("exp before iat", now + 10, now + 5, False),
        ("a year", now, now + 31_536_000, False),
        ("a year ago", now - 31_536_000, now - 31_535_400, False),
    ):
        yield Forged(name, (good.claiming(iat=issued, exp=expires),), "exp"), within


def _public_forms(key: SigningKey) -> dict[bytes, str]:
    """What is public of a key, as the secret of an HMAC."""
    public: Any = key.private.raw_value.public_key()  # type: ignore[union-attr]
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(key.public_jwk()).encode()
    return {
        pem: "the public PEM",
        der: "the public DER",
        _unb64(str(key.public_jwk()["x"])): "the public point",
        jwk: "the JWK",
        key.kid.encode(): "the kid",
        b"": "nothing",
    }


def _hmac_signed(good: Good, alg: str, secret: bytes) -> bytes:
    text = b".".join(
        b64url(_bytes(part)).encode() for part in ({**good.head, "alg": alg}, good.claims)
    )
    digest = hashlib.sha256 if alg == "HS256" else hashlib.sha512
    return text + b"." + b64url(hmac.new(secret, text, digest).digest()).encode()


def _other_trailing_bits(token: bytes) -> bytes:
    """The same bytes of signature for a reader that does not look at the last bits."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes([alphabet[alphabet.index(token[-1]) ^ 1]])


def _bytes(part: Any) -> bytes:
    if isinstance(part, bytes):
        return part
    return json.dumps(part if not isinstance(part, Mapping) else dict(part)).encode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Text that one key makes unreadable everywhere: sealed by its sender, before it is signed.

    sealed:1:<subject>:<base64url of nonce and ciphertext>      AES-256-GCM

Every copy in Kafka is this text, and every digest and signature is over it. So when the subject's
key is destroyed all copies are erased, and the record of what was decided still proves. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PSEUDONYM_CHARS: Final = 32
_SEALED: Final = re.compile(r"sealed:1:(?P<subject>[0-9a-f]{32}):(?P<data>[A-Za-z0-9_-]{38,})")
_OVERHEAD_CHARS: Final = len("sealed:1::") + _PSEUDONYM_CHARS


class NotSealed(Exception):
    """The text cannot be sealed, so it was not sent. The message names the mend, never the text."""


class Unsealable(Exception):
    """The text cannot be read here; the message says why: it was erased, or there is no key."""


class NotOpened(Unsealable):
    """It does not open with its subject's key: altered, or taken from somewhere else."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom texts are about, as keys are kept and texts are marked: a tenant and a pseudonym.

    The pseudonym is a digest, since an id may itself be personal and a sealed text outlives its
    key; it has one length and one alphabet, so it is part of a file's name and of a text.
    """

    tenant_id: str
    pseudonym: str

    @classmethod
    def of(cls, tenant_id: str, name: str) -> Subject:
        """The subject that is named `type:id`. Raises NotSealed for none."""
        kind, colon, some_id = name.partition(":")
        if not (colon and kind.strip() and some_id.strip()):
            raise NotSealed(
                "texts are sealed for their subject; name it: subject_type and subject_id, neither "
                "of them empty"
            )
        digest = hashlib.sha256(f"{tenant_id}/{name}".encode()).hexdigest()
        return cls(tenant_id, digest[:_PSEUDONYM_CHARS])

    def bound(self) -> bytes:
        """What every ciphertext is bound to: no other tenant's or subject's can stand for it."""
        return f"{self.tenant_id}/{self.pseudonym}".encode()


def seal(text: str, subject: Subject, key: bytes, *, place: str) -> str:
    """The text, sealed. place: the record and field it is for, such as `int-1/package.title`.

    The nonce is a keyed digest of place and text: the same record sealed again is the same bytes,
    so sending it again is recognised as the same and does no harm, while equal texts at two places
    do not look equal. Two nonces agree by chance as seldom as random ones of that length.
    """
    plain, where = text.encode(), place.encode()
    material = len(where).to_bytes(8, "big") + where + plain
    nonce = hmac.digest(_derived(key, b"nonce"), material, hashlib.sha256)[:_NONCE_BYTES]
    data = AESGCM(_derived(key, b"text")).encrypt(nonce, plain, subject.bound())
    encoded = urlsafe_b64encode(nonce + data).rstrip(b"=").decode()
    return f"sealed:1:{subject.pseudonym}:{encoded}"


def unseal(text: str, subject: Subject, key: bytes) -> str:
    """What a sealed text says. Raises NotOpened."""
    match = _SEALED.fullmatch(text)
    try:
        if match is None:
            raise NotOpened("not a sealed text")
        data = match["data"]
        raw = urlsafe_b64decode(data + "=" * (-len(data) % 4))
        nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return AESGCM(_derived(key, b"text")).decrypt(nonce, sealed, subject.bound()).decode()
    except (InvalidTag, NotBase64, ValueError):
        raise NotOpened("sealed; it does not open with its subject's key") from None


def pseudonym_in(text: str) -> str | None:
    """The subject that a sealed text names; None: it is no sealed text."""
    match = _SEALED.fullmatch(text)
    return match["subject"] if match else None


def has_sealed(text: str) -> bool:
    """Whether a text is or holds a sealed one."""
    return _SEALED.search(text) is not None


def told(text: str, tell: Callable[[str], str]) -> str:
    """A text, each sealed one in it as `tell` has it."""
    return _SEALED.sub(lambda match: tell(match[0]), text)


def room(chars_max: int) -> int:
    """How many bytes of UTF-8 fit, sealed, into a field of so many characters."""
    return (chars_max - _OVERHEAD_CHARS) * 3 // 4 - _NONCE_BYTES - _TAG_BYTES


def leaves(value: object) -> Iterator[str]:
    """Every text in a JSON value; names are none."""
    match value:
        case str():
            yield value
        case Mapping():
            for part in value.values():
                yield from leaves(part)
        case list() | tuple():
            for part in value:
                yield from leaves(part)
        case _:
            return


def mapped(value: Any, change: Callable[[str, str], str], place: str = "") -> Any:
    """A JSON value with every text in it changed; `change` is given its place too."""
    match value:
        case str():
            return change(value, place)
        case Mapping():
            return {name: mapped(one, change, f"{place}.{name}") for name, one in value.items()}
        case list() | tuple():
            return [mapped(one, change, f"{place}[{at}]") for at, one in enumerate(value)]
        case _:
            return value


def _derived(key: bytes, use: bytes) -> bytes:
    """One secret for each use of a subject's key."""
    return hmac.digest(key, b"countersign/sealed/1/" + use, hashlib.sha256)
